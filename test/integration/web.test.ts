import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import {
  annotation,
  beginAt,
  browserAt,
  closeStages,
  locationOf,
  LIMITS,
  openStage,
  pendingAt,
  PUBLIC_URL,
  sessionsOf,
  signIn,
} from '../unit/web/harness.ts';
import { TestProvider } from '../unit/web/test-provider.ts';

afterEach(closeStages);

describe('signing in at a browser', () => {
  test('goes from the front page over the provider to the user’s own page, and is audited', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const front = await browser.get('/').expect(200);
    expect(front.text).toContain('Sign in with corp');
    await signIn(browser, 'alice');
    const page = await browser.get('/me').expect(200);
    expect(page.text).toContain('corp:alice@example.com');
    expect(page.text).toContain('corp:developers');
    expect(page.text).not.toContain('href="/admin');
    const [event] = stage.named('sign-in');
    expect(event?.user.username).toBe('corp:alice@example.com');
    expect(annotation(event, 'account')).toBe('corp/sub-alice');
    expect(annotation(event, 'provider')).toBe('corp');
    expect(stage.counted).toEqual(['corp ok']);
  });

  test('redeems the callback at our public URL, whatever the Host header contains', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).set('Host', 'evil.example').expect(303);
    await browser.get(locationOf(back)).set('Host', 'evil.example').expect(303).expect('Location', '/me');
    expect(stage.corp.finished[0]?.callback.href).toBe(`${PUBLIC_URL}/callback/corp?code=alice&state=${state}`);
  });

  test('writes no token, code or state to the audit log, the log or a page', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
    await browser.get(locationOf(back)).expect(303);
    const { text } = await browser.get('/me');
    const written = JSON.stringify([stage.events, stage.logged]) + text;
    for (const canary of ['canary-refresh-token', state, 'code=alice']) expect(written).not.toContain(canary);
  });

  test('rejects a state that was used already', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const finish = `/login/finish?code=alice&state=${state}`;
    await browser.get(finish).expect(303);
    await browser.get(finish).expect(400);
    expect(await sessionsOf(stage)).toBe(1);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('state_unknown');
  });

  test('lets exactly one of many racing callbacks finish', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const attempts = Array.from({ length: 20 }, () => browser.get(`/login/finish?code=alice&state=${state}`));
    const statuses = (await Promise.all(attempts)).map((response) => response.status);
    expect(statuses.filter((status) => status === 303)).toHaveLength(1);
    expect(await sessionsOf(stage)).toBe(1);
  });

  test('rejects a state that is older than ten minutes', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    stage.clock.advance(601);
    await browser.get(`/callback/corp?code=alice&state=${state}`).expect(400);
    expect(await sessionsOf(stage)).toBe(0);
  });

  test('rejects another provider’s response to the state (mix-up)', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser, 'corp');
    await browser.get(`/callback/lab?code=alice&state=${state}`).expect(403);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('provider_mismatch');
    expect(stage.lab.finished).toHaveLength(0);
  });

  test('does not finish in another browser, and leaves the sign-in to the one that began it', async () => {
    const stage = await openStage();
    const [victim, attacker] = [browserAt(stage), browserAt(stage)];
    const state = await beginAt(attacker);
    await beginAt(victim);
    const refused = await victim.get(`/login/finish?code=root&state=${state}`).expect(400);
    expect(refused.headers['set-cookie']).toBeUndefined();
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('other_browser');
    await attacker.get(`/login/finish?code=root&state=${state}`).expect(303);
  });

  test('shows the message of a rule, escaped, with a request id that finds the audit event', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    const page = await browser.get(`/login/finish?code=unknown&state=${state}`).expect(403);
    expect(page.text).toContain('Only &lt;b&gt;example.com&lt;/b&gt; may sign in.');
    const [event] = stage.named('sign-in-refused');
    expect(page.text).toContain(event?.auditID);
    expect(page.headers['x-request-id']).toBe(event?.auditID);
    expect(annotation(event, 'reason')).toBe('rule_refused');
    expect(stage.counted).toEqual(['corp refused']);
    expect(await sessionsOf(stage)).toBe(0);
  });

  test.each(['at the start', 'at the finish'])('creates nothing when the provider is down %s', async (when) => {
    const stage = await openStage();
    const browser = browserAt(stage);
    const state = when === 'at the finish' ? await beginAt(browser) : '';
    stage.corp.down = true;
    const path = state === '' ? '/login/start?provider=corp' : `/login/finish?code=alice&state=${state}`;
    const page = await browser.get(path).expect(502);
    expect(page.text).toContain(page.headers['x-request-id']);
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(await sessionsOf(stage)).toBe(0);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('provider_unavailable');
    expect(stage.counted).toEqual(['corp unavailable']);
  });

  test('rejects a user who was revoked while at the provider’s page', async () => {
    const stage = await openStage();
    stage.corp.meanwhile(async () => {
      await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    });
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    await browser.get(`/login/finish?code=alice&state=${state}`).expect(400);
    const [event] = stage.named('sign-in-refused');
    expect(annotation(event, 'reason')).toBe('session_revoked');
    expect(event?.user.username).toBe('corp:alice@example.com');
    expect(await sessionsOf(stage)).toBe(0);
  });

  test('ends the session again when the cookie could not be kept', async () => {
    const stage = await openStage({
      change: (deps) => {
        const artefacts = Object.create(deps.store.artefacts) as typeof deps.store.artefacts;
        artefacts.save = async (kind, id, payload, options) => {
          if (kind === 'BrowserCookie') throw new Error('the store is unavailable');
          await deps.store.artefacts.save(kind, id, payload, options);
        };
        return { ...deps, store: { ...deps.store, artefacts } };
      },
    });
    const browser = browserAt(stage);
    const state = await beginAt(browser);
    await browser.get(`/login/finish?code=alice&state=${state}`).expect(500);
    expect(await sessionsOf(stage)).toBe(0);
    expect(stage.named('sign-in')).toHaveLength(0);
  });

  test('lives an hour at most when the provider gives no refresh token', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'brief');
    stage.clock.advance(3599);
    expect((await browser.get('/me')).status).toBe(200);
    stage.clock.advance(2);
    expect(locationOf(await browser.get('/me'))).toBe('/login?to=me');
  });

  test('returns to the admin page when that was requested, and never to a foreign URL', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await browser.get('/admin').expect(303).expect('Location', '/login?to=admin');
    const state = await beginAt(browser, 'corp', 'admin');
    expect(locationOf(await browser.get(`/login/finish?code=root&state=${state}`))).toBe('/admin');
    const elsewhere = await beginAt(browser, 'corp', 'https://evil.example/');
    expect(locationOf(await browser.get(`/login/finish?code=root&state=${elsewhere}`))).toBe('/me');
  });

  test('responds with 503 while this replica has no lease, and keeps nothing', async () => {
    const stage = await openStage({ leased: false });
    const page = await browserAt(stage).get('/login/start?provider=corp').expect(503).expect('Retry-After', '1');
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('fenced');
  });

  test('responds with 503 once its lease has lapsed, although it knows an old position in the log', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    stage.lapse();
    expect(stage.guard.position).toBeDefined();
    for (const path of ['/login/start?provider=corp', '/me', '/admin/api/v1/sessions']) {
      expect((await browser.get(path)).status).toBe(503);
    }
  });

  test('rejects an address that starts too many sign-ins, and accepts it later', async () => {
    const limits = { ...LIMITS, signInsPerMinute: 2 };
    const stage = await openStage({ config: { limits } });
    const browser = browserAt(stage);
    await beginAt(browser);
    await beginAt(browser);
    await browser.get('/login/start?provider=corp').expect(429).expect('Retry-After', '30');
    await pendingAt(stage, 'uid1').get('/login/uid1/start?provider=corp').expect(429);
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('too_many_sign_ins');
    stage.clock.advance(30);
    await beginAt(browser);
  });
});

describe('signing in for kubectl', () => {
  test('offers the providers as links and ends with the grant for a session of that client', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const page = await browser.get('/login/uid1').expect(200);
    expect(page.text).toContain('href="/login/uid1/start?provider=corp"');
    const started = await browser.get('/login/uid1/start?provider=corp').expect(303);
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
    expect(locationOf(back)).toBe(`/login/uid1/finish?code=alice&state=${state}`);
    await browser
      .get(locationOf(back))
      .expect(303)
      .expect('Location', /^http:\/\/127\.0\.0\.1:51234\//);
    const session = await stage.store.sessions.read(stage.authorizations.granted[0]?.id ?? '');
    expect(session).toMatchObject({ account: 'corp/sub-alice', client: 'portcullis-cli', address: '127.0.0.1' });
    expect(await stage.store.sessions.readSecret(session?.id ?? '')).toEqual({
      refreshToken: 'canary-refresh-token-of-alice',
    });
    expect(annotation(stage.named('sign-in')[0], 'session')).toBe(session?.id);
  });

  test('goes straight through with a valid hint or a single provider', async () => {
    const stage = await openStage();
    const hinted = pendingAt(stage, 'uid1', 'lab');
    await hinted.get('/login/uid1').expect(303).expect('Location', '/login/uid1/start?provider=lab');
    const wrong = await pendingAt(stage, 'uid2', 'nope').get('/login/uid2').expect(200);
    expect(wrong.text).toContain('There is no provider “nope” here.');
    const alone = await openStage({ providers: [new TestProvider('only')] });
    await pendingAt(alone, 'uid3').get('/login/uid3').expect('Location', '/login/uid3/start?provider=only');
  });

  test('rejects a browser without the cookie of the one that began', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browserAt(stage).get(`/login/uid1/finish?code=root&state=${state}`).expect(400);
    await pendingAt(stage, 'uid2').get(`/login/uid2/finish?code=root&state=${state}`).expect(400);
    await pendingAt(stage, 'uid3').get(`/login/uid1/finish?code=root&state=${state}`).expect(400);
    const reasons = stage.named('sign-in-refused').map((event) => annotation(event, 'reason'));
    expect(reasons).toEqual(['sign_in_expired', 'other_browser', 'uid_mismatch']);
    expect(await sessionsOf(stage)).toBe(0);
    await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(303);
  });

  test('ends the session again when the grant fails', async () => {
    const stage = await openStage();
    stage.authorizations.failGrant = true;
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(500);
    expect(await sessionsOf(stage)).toBe(0);
    expect(stage.named('sign-in')).toHaveLength(0);
    expect(stage.named('sign-in-refused')).toHaveLength(1);
  });

  test('sends a rejection to the program immediately: the message of the page, whom to ask and the request id', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    const told = await browser.get(`/login/uid1/finish?error=access_denied&state=${state}`).expect(303);
    const description = `You said no at the identity provider. Whom to ask: #platform-help Request id: ${told.headers['x-request-id']}`;
    expect(stage.authorizations.refused).toEqual([{ error: 'access_denied', description }]);
    expect(stage.named('sign-in-refused')).toHaveLength(1);
  });

  test('shows a temporary failure as a page, with a link to try again and one to notify the program', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    stage.corp.down = true;
    const page = await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(502);
    expect(page.text).toContain('href="/login/uid1/choose"');
    await browser.get('/login/uid1/choose').expect(200);
    await browser.get('/login/uid1/refuse?error=access_denied').expect(303);
    await browser.get('/login/uid1/refuse?error=anything').expect(303);
    await browser.get('/login/uid1/refuse').expect(303);
    await browser.get('/login/uid1/refuse?error=temporarily_unavailable').expect(303);
    // Who ended it: the user, at this page, at the one that asks for consent, or because nothing else was left.
    expect(stage.authorizations.refused.map(({ error, description }) => `${error}: ${description}`)).toEqual([
      'access_denied: You cancelled the sign-in in the browser, after it had been rejected.',
      'access_denied: You did not allow this program in the browser.',
      'access_denied: You did not allow this program in the browser.',
      'temporarily_unavailable: You cancelled the sign-in in the browser, because it could not be completed.',
    ]);
    await browserAt(stage).get('/login/uid1/refuse?error=access_denied').expect(400);
  });

  test('ends the program at once where the sign-in cannot even begin, and waiting does not help', async () => {
    const stage = await openStage();
    const broken = new AppError('provider_unavailable', 'Only your platform team can fix it.', {
      reason: 'discovery_issuer',
      cause: new Error('discovery names another issuer'),
      needsOperator: true,
    });
    stage.corp.begin = () => Promise.reject(broken);
    const told = await pendingAt(stage, 'uid1').get('/login/uid1/start?provider=corp').expect(303);
    const id = told.headers['x-request-id'];
    const description = `Only your platform team can fix it. Whom to ask: #platform-help Request id: ${id}`;
    expect(stage.authorizations.refused).toEqual([{ error: 'access_denied', description }]);
    expect(annotation(stage.named('sign-in-refused').at(-1), 'reason')).toBe('discovery_issuer');
    const cause = 'discovery names another issuer';
    expect(stage.logged).toMatchObject([{ requestId: id, reason: 'discovery_issuer', cause }]);
    // No program waits for another browser: it sees the page.
    await browserAt(stage).get('/login/uid1/start?provider=corp').expect(400);
    expect(stage.authorizations.refused).toHaveLength(1);
  });

  test('shows that the tab may be closed', async () => {
    const stage = await openStage();
    const page = await browserAt(stage).get('/login/done').expect(200);
    expect(page.text).toContain('You may close this tab');
  });
});
