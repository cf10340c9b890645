import { afterEach, describe, expect, test } from 'vitest';
import { post } from '../admin-at.ts';
import { cookiesOf } from '../cookies.ts';
import {
  annotation,
  beginAt,
  browserAt,
  closeStages,
  csrfOf,
  locationOf,
  openStage,
  pendingAt,
  PUBLIC_URL,
  sessionsOf,
  signedInAs,
  signIn,
  type AdminAt,
  type Browser,
  type Stage,
} from '../harness.ts';

afterEach(closeStages);

const seconds = (stage: Stage): number => Math.floor(stage.clock.nowMs() / 1000);
const stateAt = (location: string): string => new URL(location).searchParams.get('state') ?? '';
const CONFIRM = '/admin/revoke?kind=account&value=corp%2Fsub-alice&lock=on';
const freshTo = (to: string): string => `/login/fresh?${new URLSearchParams({ to }).toString()}`;

async function staleAdmin(): Promise<AdminAt> {
  const at = await signedInAs('root');
  at.stage.clock.advance(16 * 60 + 1);
  return at;
}

/** Sent to the provider by us. @returns the state that it was given */
async function sentOff(browser: Browser, to = CONFIRM): Promise<string> {
  const sent = locationOf(await browser.get(freshTo(to)).expect(303));
  expect(sent).toMatch(/^https:\/\/idp\.example\.com\/corp\/authorize/);
  return stateAt(sent);
}

/** Comes back from the provider. @returns the step that finishes */
async function back(browser: Browser, state: string, who = 'root') {
  const landed = await browser.get(`/callback/corp?code=${who}&state=${state}`).expect(303);
  return browser.get(locationOf(landed));
}

describe('an admin whose sign-in is too old', () => {
  test('goes from the confirmation to their provider and back to it with all parameters, and can revoke', async () => {
    const { stage, browser } = await staleAdmin();
    expect(locationOf(await browser.get(CONFIRM).expect(303))).toBe(freshTo(CONFIRM));
    const state = await sentOff(browser);
    expect(stage.corp.begun).toEqual([false, true]);
    stage.corp.authTime = seconds(stage);
    expect(locationOf(await back(browser, state))).toBe(CONFIRM);
    const { text } = await browser.get(CONFIRM).expect(200);
    expect(text).toContain('corp/sub-alice');
    const csrf = await csrfOf(browser, CONFIRM);
    await post({ stage, browser, csrf }, 'revocations', { account: 'corp/sub-alice', reason: 'x' }).expect(200);
  });

  test('whose form comes too late is told so, nothing is done, and the way back is to its confirmation', async () => {
    const { stage, browser, csrf } = await staleAdmin();
    const form = {
      csrf,
      kind: 'account',
      value: 'corp/sub-alice',
      lock: 'on',
      reason: 'x',
      requestId: crypto.randomUUID(),
    };
    const page = await browser
      .post('/admin/revoke')
      .set('Origin', PUBLIC_URL)
      .type('form')
      .send(new URLSearchParams(form).toString());
    expect(page.status).toBe(401);
    expect(page.text).toContain(freshTo(CONFIRM).replaceAll('&', '&amp;'));
    expect(stage.named('revocation')).toEqual([]);
    expect(annotation(stage.named('admin-refused')[0], 'reason')).toBe('fresh_sign_in_needed');
  });

  test('has one session at this browser afterwards, with a new cookie and token; the old ones are invalid', async () => {
    const at = await staleAdmin();
    const { stage, browser } = at;
    const old = cookiesOf(browser);
    const state = await sentOff(browser);
    stage.corp.authTime = seconds(stage);
    await back(browser, state);
    expect(await sessionsOf(stage)).toBe(1);
    expect(await csrfOf(browser)).not.toBe(at.csrf);
    const stolen = await browserAt(stage).get('/me').set('Cookie', old).expect(303);
    expect(locationOf(stolen)).toBe('/login?to=me');
    const [ended] = stage.named('logout');
    const [first, second] = stage.named('sign-in');
    expect(annotation(ended, 'session')).toBe(annotation(first, 'session'));
    expect(annotation(ended, 'reason')).toBe('signed_in_anew');
    expect(annotation(second, 'fresh')).toBe('true');
    // An ordinary end: the next sign-in need not be a fresh one because of it.
    stage.corp.authTime = seconds(stage) - 3600;
    await signIn(browserAt(stage), 'root');
  });

  test('who returns as another user is signed in as that one, and the session before stays', async () => {
    const { stage, browser } = await staleAdmin();
    const state = await sentOff(browser);
    stage.corp.authTime = seconds(stage);
    expect(locationOf(await back(browser, state, 'alice'))).toBe(CONFIRM);
    await browser.get(CONFIRM).expect(403);
    expect((await browser.get('/me').expect(200)).text).toContain('corp:alice@example.com');
    expect(await sessionsOf(stage)).toBe(2);
    expect(stage.named('logout')).toEqual([]);
  });

  test.each<[string, (stage: Stage) => number | undefined, string]>([
    ['says nothing of when', () => undefined, 'auth_time_missing'],
    ['says that it will be in an hour', (stage) => seconds(stage) + 3600, 'auth_time_future'],
  ])(
    'is rejected where the provider %s, is redirected only once, and keeps their session',
    async (_lie, authTime, reason) => {
      const { stage, browser } = await staleAdmin();
      const state = await sentOff(browser);
      stage.corp.authTime = authTime(stage);
      const page = await back(browser, state);
      expect(page.status).toBe(403);
      expect(page.text).toContain('A change by an admin needs a fresh sign-in');
      expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe(reason);
      expect(await sessionsOf(stage)).toBe(1);
      await browser.get('/admin').expect(200);
    },
  );

  test('is sent once more where the first time could prove nothing, and the browser is known for as long again', async () => {
    const { stage, browser } = await staleAdmin();
    stage.corp.provesFreshness = false;
    const state = await sentOff(browser);
    stage.corp.provesFreshness = true;
    const again = await back(browser, state);
    expect(locationOf(again)).toMatch(/^https:\/\/idp\.example\.com\/corp\/authorize/);
    expect(again.headers['set-cookie']).toEqual([expect.stringMatching(/^portcullis-sign-in=.*; Max-Age=600;/)]);
  });

  test('cannot be sent back to what another browser was at', async () => {
    const { stage, browser } = await staleAdmin();
    const state = await sentOff(browser);
    stage.corp.authTime = seconds(stage);
    const other = browserAt(stage);
    // It has a cookie of its own.
    await beginAt(other);
    expect((await back(other, state)).status).toBe(400);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('other_browser');
    expect(await sessionsOf(stage)).toBe(1);
  });
});

describe('/login/fresh', () => {
  test.each([
    '//evil.example',
    '/\\evil.example',
    'https://evil.example/admin',
    '/admin/../login',
    '%2f%2fevil.example',
    '/admin/%2f%2fevil.example',
    '/admin\r\nLocation: https://evil.example',
    '/me',
    '',
    `/admin?${'x'.repeat(10_240)}`,
  ])('leads to no page but ours below /admin: %j', async (to) => {
    const { stage, browser } = await staleAdmin();
    const answer = await browser.get(freshTo(to));
    expect(answer.status).toBe(400);
    expect(locationOf(answer)).toBe('');
    expect(stage.corp.begun).toEqual([false]);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('return_path_refused');
  });

  test.each(['/login/fresh', '/login/fresh?to=/admin&to=//evil.example'])('takes one page: %s', async (path) => {
    const { stage, browser } = await staleAdmin();
    await browser.get(path).expect(400);
    expect(stage.corp.begun).toEqual([false]);
  });

  test('of a user who is signed out is a sign-in like any other', async () => {
    const stage = await openStage();
    expect(locationOf(await browserAt(stage).get(freshTo(CONFIRM)).expect(303))).toBe('/login?to=admin');
    expect(stage.corp.begun).toEqual([]);
  });
});

describe('a client that asks for a fresh sign-in', () => {
  test.each([
    [true, [true]],
    [undefined, [false]],
  ] as const)('has its user sent to the provider for one: %s', async (fresh, begun) => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const pending = stage.authorizations.waiting.get('uid1');
    if (pending === undefined) throw new Error('nothing waits');
    stage.authorizations.waiting.set('uid1', { ...pending, ...(fresh === undefined ? {} : { fresh }) });
    await browser.get('/login/uid1/start?provider=corp').expect(303);
    expect(stage.corp.begun).toEqual(begun);
  });
});
