import { afterEach, expect, test } from 'vitest';
import { SELF_AUDIENCE } from '../../../../src/core/core.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import { createStepUps } from '../../../../src/services/step-up/step-up.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import {
  annotation,
  browserAt,
  closeStages,
  locationOf,
  openSession,
  openStage,
  PUBLIC_URL,
  type Browser,
  type Stage,
} from '../harness.ts';

afterEach(closeStages);

const stepUpsOf = (deps: WebDeps, deviceCode: 'on' | 'sameNetwork') =>
  createStepUps({
    ...deps,
    config: {
      ...deps.config,
      clockSkew: 60,
      stepUp: [],
      sessions: { deviceCode },
      providers: [{ name: 'corp', freshness: 'auto' }],
    },
  });

interface CodeStage {
  readonly stage: Stage;
  /** Outcomes of step-ups. */
  readonly counted: readonly string[];
  readonly browser: Browser;
  /** `sessions.deviceCode` from now on. */
  readonly configure: (deviceCode: 'on' | 'sameNetwork') => void;
  /** Of a terminal at that address. @returns the code that it shows */
  readonly begin: (address: string) => Promise<string>;
}

async function stageWithCodes(configured: 'on' | 'sameNetwork'): Promise<CodeStage> {
  let deviceCode = configured;
  let stepUps: ReturnType<typeof stepUpsOf> | undefined;
  const counted: string[] = [];
  const stage = await openStage({
    change: (deps) => {
      stepUps = stepUpsOf(deps, deviceCode);
      const metrics = { ...deps.metrics, stepUp: (outcome: string) => void counted.push(outcome) };
      const config = {
        ...deps.config,
        get sessions() {
          return { ...deps.config.sessions, deviceCode };
        },
      };
      return { ...deps, stepUps, metrics, config };
    },
  });
  await openSession(stage, 'terminal', 'alice');
  const record = await stage.store.sessions.read('terminal');
  if (record === undefined || stepUps === undefined) throw new Error('no session');
  const all = stepUps;
  const { account, provider, identity } = record;
  const who = { session: 'terminal', account, provider };
  const credential = {
    ...who,
    keys: coveringKeys(who),
    tokenId: 't',
    audience: SELF_AUDIENCE,
    client: 'portcullis-cli',
    issuedAt: 0,
    expiresAt: 0,
    position: await stage.store.log.position(),
  };
  return {
    stage,
    counted,
    browser: browserAt(stage),
    configure: (changed) => void (deviceCode = changed),
    begin: async (address) => {
      const caller = { credential, identity, sessionExpiresAt: 0, sessionIdleAt: 0 };
      const begun = await all.begin(caller, {}, { address, userAgent: 'portcullis/0.1.0', requestId: 'r' });
      return (begun.ok && begun.value.userCode) || '';
    },
  };
}

async function enter(browser: Browser, userCode: string) {
  const { text } = await browser.get('/step-up').expect(200);
  const csrf = /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? '';
  return browser.post('/step-up').set('Origin', PUBLIC_URL).type('form').send({ csrf, user_code: userCode });
}

const linkIn = ({ text }: { readonly text: string }): string =>
  /href="(\/step-up\/[^"]+provider=corp)"/.exec(text)?.[1]?.replaceAll('&amp;', '&') ?? '';

test('with sameNetwork, a code of a terminal in another network leads nowhere, at the page and at the link', async () => {
  const { stage, browser, begin } = await stageWithCodes('sameNetwork');
  const near = await enter(browser, await begin('127.0.0.1'));
  expect(near.status).toBe(200);
  expect(near.text).toContain('Is it you?');
  stage.corp.down = true;
  await browser.get(linkIn(near)).expect(502);
  expect(annotation(stage.named('step-up-refused').at(-1), 'session')).toBe('terminal');
  stage.corp.down = false;
  const provider = locationOf(await browser.get(linkIn(near)).expect(303));
  const far = await enter(browser, await begin('203.0.113.7'));
  expect(far.status).toBe(403);
  expect(far.text).not.toContain('Sign in again with');
  expect(annotation(stage.named('step-up-refused').at(-1), 'reason')).toBe('device_in_other_network');
  expect(annotation(stage.named('step-up-refused').at(-1), 'session')).toBe('terminal');
  expect(stage.corp.begun).toEqual([true]);

  // Back from the provider, it is finished: the moment is that of the provider.
  stage.clock.advance(60);
  stage.corp.authTime = stage.clock.nowMs() / 1000;
  const state = new URL(provider).searchParams.get('state');
  const back = locationOf(await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303));
  await browser.get(back).expect(303).expect('Location', '/step-up/done');
  expect((await stage.store.sessions.read('terminal'))?.authTime).toBe(stage.corp.authTime);
});

test('a code of a terminal elsewhere is not proven by a replica with sameNetwork, whatever the one that began it allowed', async () => {
  const { stage, browser, begin, configure } = await stageWithCodes('on');
  const provider = locationOf(await browser.get(linkIn(await enter(browser, await begin('203.0.113.7')))).expect(303));
  const state = new URL(provider).searchParams.get('state');
  const back = locationOf(await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303));
  configure('sameNetwork');
  await browser.get(back).expect(403);
  expect(annotation(stage.named('step-up-refused').at(-1), 'reason')).toBe('device_in_other_network');
});

test('a step-up is sent to the provider once more where the first time could prove nothing, and the browser is known for as long again', async () => {
  const { stage, browser, begin } = await stageWithCodes('on');
  stage.corp.provesFreshness = false;
  const provider = locationOf(await browser.get(linkIn(await enter(browser, await begin('127.0.0.1')))).expect(303));
  stage.corp.provesFreshness = true;
  const state = new URL(provider).searchParams.get('state');
  const back = locationOf(await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303));
  const again = await browser.get(back).expect(303);
  expect(locationOf(again)).toMatch(/^https:\/\/idp\.example\.com\/corp\/authorize/);
  expect(again.headers['set-cookie']).toEqual([expect.stringMatching(/^portcullis-step-up=.*; Max-Age=600;/)]);
});

test('a step-up that one browser began is not finished by another one, whose user was sent the provider’s address', async () => {
  const { stage, browser, begin } = await stageWithCodes('on');
  const provider = locationOf(await browser.get(linkIn(await enter(browser, await begin('127.0.0.1')))).expect(303));
  const state = new URL(provider).searchParams.get('state');
  stage.clock.advance(60);
  stage.corp.authTime = stage.clock.nowMs() / 1000;
  const { authTime } = (await stage.store.sessions.read('terminal')) ?? {};
  const victim = browserAt(stage);
  // It has a cookie of its own.
  await victim.get('/step-up').expect(200);
  const back = locationOf(await victim.get(`/callback/corp?code=alice&state=${state}`).expect(303));
  await victim.get(back).expect(400);
  expect(annotation(stage.named('step-up-refused').at(-1), 'reason')).toBe('other_browser');
  expect((await stage.store.sessions.read('terminal'))?.authTime).toBe(authTime);
});

test('anyone who guesses codes is soon told to wait, for right ones too, and it is audited', async () => {
  const { stage, browser, begin } = await stageWithCodes('on');
  const right = await begin('127.0.0.1');
  let wrong = 0;
  while ((await enter(browser, 'BCDF-GHJK')).status === 400) wrong += 1;
  expect(wrong).toBeLessThanOrEqual(10);
  const waits = await enter(browser, right);
  expect(waits.status).toBe(429);
  expect(Number(waits.headers['retry-after'])).toBeGreaterThan(0);
  expect(annotation(stage.events.at(-1), 'reason')).toBe('too_many_sign_ins');
  const guesses = stage.named('step-up-refused');
  expect(guesses).toHaveLength(wrong);
  expect(new Set(guesses.map((event) => annotation(event, 'reason')))).toEqual(new Set(['step_up_unknown']));
});

test('anyone who makes up codes, links and callbacks refuses no step-up, and so raises no alert', async () => {
  const { stage, counted, browser, begin } = await stageWithCodes('on');
  await enter(browser, 'BCDF-GHJK');
  await browser.get(`/step-up/${'A'.repeat(43)}/start?ticket=x&provider=corp`).expect(400);
  await browser.get('/step-up/finish?state=made-up').expect(400);
  await browser.get('/step-up/me/start?ticket=x').expect(303);
  expect(stage.named('step-up-refused').length).toBeGreaterThan(2);
  expect(counted).toEqual([]);
  // One that was begun, and is denied, counts.
  const page = await enter(browser, await begin('127.0.0.1'));
  const form = Object.fromEntries([...page.text.matchAll(/name="(csrf|id)" value="([^"]+)"/g)].map(([, ...of]) => of));
  await browser.post('/step-up/deny').set('Origin', PUBLIC_URL).type('form').send(form).expect(200);
  expect(counted).toEqual(['refused']);
});
