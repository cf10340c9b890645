import { afterEach, describe, expect, test } from 'vitest';
import {
  annotation,
  beginAt,
  browserAt,
  closeStages,
  locationOf,
  openStage,
  pendingAt,
  sessionsOf,
  signIn,
  type Browser,
  type Stage,
} from '../unit/web/harness.ts';
import { TestProvider } from '../unit/web/test-provider.ts';

afterEach(closeStages);

const ALICE = { kind: 'account', account: 'corp/sub-alice' } as const;
const seconds = (stage: Stage): number => Math.floor(stage.clock.nowMs() / 1000);
const stateAt = (location: string): string => new URL(location).searchParams.get('state') ?? '';

/** A user whose account was revoked an hour after the last authentication, and who returns by single sign-on. */
async function revokedStage(): Promise<Stage> {
  const stage = await openStage();
  stage.corp.authTime = seconds(stage) - 3600;
  await stage.guard.revoke({ target: ALICE });
  return stage;
}

/** Goes to the provider and back. @returns the location of the last redirect */
async function finishAt(browser: Browser, state: string): Promise<string> {
  const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
  return locationOf(await browser.get(locationOf(back)).expect(303));
}

async function adminBrowser(stage: Stage): Promise<Browser> {
  const browser = browserAt(stage);
  await signIn(browser, 'root');
  return browser;
}

describe('the first sign-in after a revocation', () => {
  test('is sent to the provider once more, to authenticate again, and goes on from there', async () => {
    const stage = await revokedStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser, 'corp', 'admin');
    const again = await finishAt(browser, state);
    expect(again).toMatch(/^https:\/\/idp\.example\.com\/corp\/authorize/);
    expect(stateAt(again)).not.toBe(state);
    expect(stage.corp.begun).toEqual([false, true]);
    expect(await sessionsOf(stage)).toBe(0);
    stage.corp.authTime = seconds(stage);
    expect(await finishAt(browser, stateAt(again))).toBe('/admin');
    const [event] = stage.named('sign-in');
    expect(annotation(event, 'fresh')).toBe('true');
    const session = await stage.store.sessions.read(annotation(event, 'session') ?? '');
    expect(session?.authTime).toBe(seconds(stage));
    // All three values of the login transaction are new, so that no value of the first one can finish the second.
    const [first, second] = stage.corp.finished.map(({ challenge }) => challenge);
    for (const key of ['state', 'nonce', 'codeVerifier'] as const) expect(first?.[key]).not.toBe(second?.[key]);
  });

  test.each([
    [
      'single sign-on again, because the parameters were stripped',
      (stage: Stage) => seconds(stage) - 3600,
      'fresh_sign_in_needed',
    ],
    ['a provider that does not send auth_time', () => undefined, 'auth_time_missing'],
  ])(
    'ends with a message and an audit event, and is not repeated a third time: %s',
    async (_name, authTime, reason) => {
      const stage = await revokedStage();
      const browser = browserAt(stage);
      const again = await finishAt(browser, await beginAt(browser));
      stage.corp.authTime = authTime(stage);
      const back = await browser.get(`/callback/corp?code=alice&state=${stateAt(again)}`).expect(303);
      const page = await browser.get(locationOf(back)).expect(403);
      expect(page.text).toContain('your next sign-in has to be a fresh one');
      expect(page.text).toContain('portcullis unlock corp/sub-alice --fresh');
      expect(stage.corp.begun).toEqual([false, true]);
      const [event] = stage.named('sign-in-refused');
      expect(annotation(event, 'reason')).toBe(reason);
      expect(event?.user.username).toBe('corp:alice@example.com');
      expect(await sessionsOf(stage)).toBe(0);
    },
  );

  test('does not pass by a login transaction that another replica began without the request, because its setting says that the provider proves nothing', async () => {
    const stage = await openStage();
    const browser = await adminBrowser(stage);
    stage.corp.provesFreshness = false;
    const sent = locationOf(await browser.get('/login/fresh?to=%2Fadmin').expect(303));
    stage.corp.provesFreshness = true;
    stage.corp.authTime = seconds(stage) - 3600;
    const again = await finishAt(browser, stateAt(sent));
    expect(again).toMatch(/^https:\/\/idp\.example\.com\/corp\/authorize/);
    expect(stage.corp.finished).toHaveLength(1);
    stage.corp.authTime = seconds(stage);
    expect(await finishAt(browser, stateAt(again))).toBe('/admin');
  });

  test('of kubectl takes the same steps, and ends at kubectl', async () => {
    const stage = await revokedStage();
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp').expect(303);
    const again = await finishAt(browser, stateAt(locationOf(started)));
    expect(stage.corp.begun).toEqual([false, true]);
    expect(stage.authorizations.granted).toEqual([]);
    stage.corp.authTime = seconds(stage);
    expect(await finishAt(browser, stateAt(again))).toMatch(/^http:\/\/127\.0\.0\.1:51234\//);
    expect(stage.authorizations.granted).toHaveLength(1);
  });

  test('cannot be finished by another browser, nor by a repeated callback of the first login transaction', async () => {
    const stage = await revokedStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const again = await finishAt(browser, state);
    stage.corp.authTime = seconds(stage);
    await browserAt(stage)
      .get(`/login/finish?code=alice&state=${stateAt(again)}`)
      .expect(400);
    await browser.get(`/login/finish?code=alice&state=${state}`).expect(400);
    expect(await sessionsOf(stage)).toBe(0);
    expect(await finishAt(browser, stateAt(again))).toBe('/me');
  });

  test('passes immediately where the provider reports that the user has just authenticated', async () => {
    const stage = await revokedStage();
    stage.clock.advance(5);
    stage.corp.authTime = seconds(stage);
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    expect(stage.corp.begun).toEqual([false]);
    expect(annotation(stage.named('sign-in')[0], 'fresh')).toBe('false');
  });

  test('passes at a provider that cannot prove a fresh sign-in, as the result of the revocation states', async () => {
    const stage = await openStage({ providers: [new TestProvider('corp', { provesFreshness: false })] });
    await stage.guard.revoke({ target: ALICE });
    await signIn(browserAt(stage), 'alice');
    expect(await sessionsOf(stage)).toBe(1);
  });

  test('of another user is unchanged', async () => {
    const stage = await revokedStage();
    await signIn(browserAt(stage), 'root');
    expect(stage.corp.begun).toEqual([false]);
  });
});

describe('a locked account', () => {
  const lock = { reason: 'INC-4711: canary text', by: 'corp:root@example.com', at: 1 };

  test('is reported to the user after authentication, without the message of the admin, and is audited', async () => {
    const stage = await openStage();
    await stage.guard.revoke({ target: ALICE, lock });
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
    const page = await browser.get(locationOf(back)).expect(403);
    expect(page.text).toContain('Your account is locked here');
    expect(page.text).not.toContain('canary');
    expect(page.text).not.toContain('root@example.com');
    const [event] = stage.named('sign-in-refused');
    expect(annotation(event, 'reason')).toBe('account_locked');
    expect(annotation(event, 'account')).toBe('corp/sub-alice');
    expect(await sessionsOf(stage)).toBe(0);
  });

  test('is not mentioned to a client that has not authenticated', async () => {
    const stage = await openStage();
    await stage.guard.revoke({ target: ALICE, lock });
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const page = await browser.get(`/login/finish?code=unknown&state=${state}`).expect(403);
    expect(page.text).not.toContain('locked');
  });

  test('signs in again with a fresh sign-in once it is unlocked', async () => {
    const stage = await openStage();
    await stage.guard.revoke({ target: ALICE, lock });
    await stage.store.locks.remove('corp/sub-alice');
    stage.corp.authTime = seconds(stage) - 3600;
    const browser = browserAt(stage);
    const again = await finishAt(browser, await beginAt(browser));
    stage.corp.authTime = seconds(stage);
    expect(await finishAt(browser, stateAt(again))).toBe('/me');
  });
});

describe('the session that is revoked together with a kubectl session', () => {
  /** Signs a browser in and opens a kubectl session in it. */
  async function kubectlAt(
    stage: Stage,
    user: string,
  ): Promise<{ readonly browser: Browser; readonly kubectl: string }> {
    const browser = pendingAt(stage, 'uid1');
    await signIn(browser, user);
    const started = await browser.get('/login/uid1/start?provider=corp').expect(303);
    await finishAt(browser, stateAt(locationOf(started)));
    return { browser, kubectl: stage.authorizations.granted[0]?.id ?? '' };
  }

  test('is the browser session in which it was opened: a stolen laptop keeps neither', async () => {
    const stage = await openStage();
    const { browser, kubectl } = await kubectlAt(stage, 'alice');
    await browser.get('/me').expect(200);
    await stage.guard.revoke({ target: { kind: 'session', session: kubectl } });
    expect(locationOf(await browser.get('/me').expect(303))).toBe('/login?to=me');
    expect(await sessionsOf(stage)).toBe(0);
  });

  test('is not the session of another user in the same browser', async () => {
    const stage = await openStage();
    const { browser, kubectl } = await kubectlAt(stage, 'root');
    expect((await stage.store.sessions.read(kubectl))?.via).toBeUndefined();
    await stage.guard.revoke({ target: { kind: 'session', session: kubectl } });
    await browser.get('/me').expect(200);
  });

  test('is none where no user is signed in in that browser', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp').expect(303);
    await finishAt(browser, stateAt(locationOf(started)));
    expect((await stage.store.sessions.read(stage.authorizations.granted[0]?.id ?? ''))?.via).toBeUndefined();
  });
});
