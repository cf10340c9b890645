import { afterEach, expect, test } from 'vitest';
import { createStepUps } from '../../../../src/services/step-up/step-up.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { post } from '../admin-at.ts';
import { annotation, closeStages, locationOf, signedInAs, signIn, type AdminAt } from '../harness.ts';

afterEach(closeStages);

const withStepUps = {
  change: (deps: WebDeps): WebDeps => ({
    ...deps,
    stepUps: createStepUps({
      ...deps,
      config: {
        ...deps.config,
        clockSkew: 60,
        stepUp: [],
        providers: [{ name: 'corp', freshness: 'auto' }],
      },
    }),
  }),
};

/** An admin's browser whose sign-in is an hour old, and who authenticates at the provider now. */
async function adminOfAnHourAgo(): Promise<AdminAt> {
  const at = await signedInAs('root', withStepUps);
  at.stage.clock.advance(3600);
  at.stage.corp.authTime = Math.floor(at.stage.clock.nowMs() / 1000);
  return at;
}

/**
 * @param user as the provider has them now
 * @param meanwhile what happens while they are there
 */
async function stepUp({ browser }: AdminAt, user: string, meanwhile = async (): Promise<void> => undefined) {
  const { text } = await browser.get('/step-up/me').expect(200);
  const start = /href="(\/step-up\/me\/start\?[^"]+)"/.exec(text)?.[1]?.replaceAll('&amp;', '&') ?? '';
  const away = await browser.get(start).expect(303);
  const state = new URL(locationOf(away)).searchParams.get('state') ?? '';
  await meanwhile();
  const query = new URLSearchParams({ code: user, state });
  const back = await browser.get(`/callback/corp?${query.toString()}`).expect(303);
  return browser.get(locationOf(back));
}

const order = { account: 'corp/sub-alice', reason: 'x' };

test('a browser’s own session is proven, and its admin may make changes', async () => {
  const at = await adminOfAnHourAgo();
  await post(at, 'revocations', order).expect(401);
  await stepUp(at, 'root').then((response) => expect(response.headers['location']).toBe('/step-up/done'));
  await post(at, 'revocations', order).expect(200);
});

test('is no proof for the session of anyone who has signed in at the browser meanwhile', async () => {
  const at = await adminOfAnHourAgo();
  const { status } = await stepUp(at, 'root', () => signIn(at.browser, 'alice'));
  expect(status).toBe(400);
  expect(at.stage.named('step-up-refused').map((event) => annotation(event, 'reason'))).toEqual(['other_browser']);
});

test('is no proof where the provider has taken a group away since the sign-in: an admin is none any more', async () => {
  const at = await adminOfAnHourAgo();
  const { status } = await stepUp(at, 'root, no admin any more');
  const { body } = await post(at, 'revocations', order);
  expect(body).toMatchObject({ code: 'fresh_sign_in_needed' });
  expect(status).toBe(403);
  expect(at.stage.named('step-up-refused').map((event) => annotation(event, 'reason'))).toEqual(['groups_changed']);
  expect(at.stage.named('revocation')).toEqual([]);
});
