import { afterEach, describe, expect, test } from 'vitest';
import {
  annotation,
  beginAt,
  browserAt,
  closeHouses,
  locationOf,
  openHouse,
  pendingAt,
  PUBLIC_URL,
  sessionsOf,
  signIn,
  TestProvider,
} from '../unit/web/harness.ts';

afterEach(closeHouses);

describe('signing in at a browser', () => {
  test('goes from the front page over the provider to the own page, and is on the record', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const front = await browser.get('/').expect(200);
    expect(front.text).toContain('Sign in with corp');
    await signIn(browser, 'alice');
    const page = await browser.get('/me').expect(200);
    expect(page.text).toContain('corp:alice@example.com');
    expect(page.text).toContain('corp:developers');
    expect(page.text).not.toContain('href="/admin"');
    const [event] = house.named('sign-in');
    expect(event?.user.username).toBe('corp:alice@example.com');
    expect(annotation(event, 'account')).toBe('corp/sub-alice');
    expect(annotation(event, 'provider')).toBe('corp');
    expect(house.counted).toEqual(['corp ok']);
  });

  test('redeems the callback at our public URL, whatever the Host header says', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).set('Host', 'evil.example').expect(303);
    await browser.get(locationOf(back)).set('Host', 'evil.example').expect(303).expect('Location', '/me');
    expect(house.corp.finished[0]?.callback.href).toBe(`${PUBLIC_URL}/callback/corp?code=alice&state=${state}`);
  });

  test('keeps no token, code or state in the record, the log or a page', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
    await browser.get(locationOf(back)).expect(303);
    const { text } = await browser.get('/me');
    const written = JSON.stringify([house.events, house.logged]) + text;
    for (const canary of ['canary-refresh-token', state, 'code=alice']) expect(written).not.toContain(canary);
  });

  test('refuses a state that was used already', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    const finish = `/login/finish?code=alice&state=${state}`;
    await browser.get(finish).expect(303);
    await browser.get(finish).expect(400);
    expect(await sessionsOf(house)).toBe(1);
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('state_unknown');
  });

  test('lets exactly one of many racing callbacks finish', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    const attempts = Array.from({ length: 20 }, () => browser.get(`/login/finish?code=alice&state=${state}`));
    const statuses = (await Promise.all(attempts)).map((response) => response.status);
    expect(statuses.filter((status) => status === 303)).toHaveLength(1);
    expect(await sessionsOf(house)).toBe(1);
  });

  test('refuses a state that is older than ten minutes', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    house.clock.advance(601);
    await browser.get(`/callback/corp?code=alice&state=${state}`).expect(400);
    expect(await sessionsOf(house)).toBe(0);
  });

  test('refuses another provider’s answer to the state (mix-up)', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser, 'corp');
    await browser.get(`/callback/lab?code=alice&state=${state}`).expect(403);
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('provider_mismatch');
    expect(house.lab.finished).toHaveLength(0);
  });

  test('refuses to finish in another browser, and leaves the sign-in to the one that began it', async () => {
    const house = await openHouse();
    const [victim, attacker] = [browserAt(house), browserAt(house)];
    const state = await beginAt(attacker);
    await beginAt(victim);
    const refused = await victim.get(`/login/finish?code=root&state=${state}`).expect(400);
    expect(refused.headers['set-cookie']).toBeUndefined();
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('other_browser');
    await attacker.get(`/login/finish?code=root&state=${state}`).expect(303);
  });

  test('shows what a rule said, escaped, with a request id that finds the line in the record', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = await beginAt(browser);
    const page = await browser.get(`/login/finish?code=nobody&state=${state}`).expect(403);
    expect(page.text).toContain('Only &lt;b&gt;example.com&lt;/b&gt; may sign in.');
    const [event] = house.named('sign-in-refused');
    expect(page.text).toContain(event?.auditID);
    expect(page.headers['x-request-id']).toBe(event?.auditID);
    expect(annotation(event, 'reason')).toBe('rule_refused');
    expect(house.counted).toEqual(['corp refused']);
    expect(await sessionsOf(house)).toBe(0);
  });

  test.each(['at the start', 'at the finish'])('creates nothing when the provider is down %s', async (when) => {
    const house = await openHouse();
    const browser = browserAt(house);
    const state = when === 'at the finish' ? await beginAt(browser) : '';
    house.corp.down = true;
    const path = state === '' ? '/login/start?provider=corp' : `/login/finish?code=alice&state=${state}`;
    const page = await browser.get(path).expect(502);
    expect(page.text).toContain(page.headers['x-request-id']);
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(await sessionsOf(house)).toBe(0);
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('provider_unavailable');
    expect(house.counted).toEqual(['corp unavailable']);
  });

  test('refuses somebody who was revoked while at the provider’s page', async () => {
    const house = await openHouse();
    house.corp.meanwhile(async () => {
      await house.gate.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    });
    const browser = browserAt(house);
    const state = await beginAt(browser);
    await browser.get(`/login/finish?code=alice&state=${state}`).expect(400);
    const [event] = house.named('sign-in-refused');
    expect(annotation(event, 'reason')).toBe('session_revoked');
    expect(event?.user.username).toBe('corp:alice@example.com');
    expect(await sessionsOf(house)).toBe(0);
  });

  test('ends the session again when the cookie could not be kept', async () => {
    const house = await openHouse({
      change: (deps) => {
        const artefacts = Object.create(deps.store.artefacts) as typeof deps.store.artefacts;
        artefacts.save = async (kind, id, payload, options) => {
          if (kind === 'BrowserCookie') throw new Error('the store went away');
          await deps.store.artefacts.save(kind, id, payload, options);
        };
        return { ...deps, store: { ...deps.store, artefacts } };
      },
    });
    const browser = browserAt(house);
    const state = await beginAt(browser);
    await browser.get(`/login/finish?code=alice&state=${state}`).expect(500);
    expect(await sessionsOf(house)).toBe(0);
    expect(house.named('sign-in')).toHaveLength(0);
  });

  test('lives an hour at most when the provider gives no refresh token', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'brief');
    house.clock.advance(3599);
    expect((await browser.get('/me')).status).toBe(200);
    house.clock.advance(2);
    expect(locationOf(await browser.get('/me'))).toBe('/login?to=me');
  });

  test('comes back to the admin page when that was asked for, and never to a foreign place', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await browser.get('/admin').expect(303).expect('Location', '/login?to=admin');
    const state = await beginAt(browser, 'corp', 'admin');
    expect(locationOf(await browser.get(`/login/finish?code=root&state=${state}`))).toBe('/admin');
    const elsewhere = await beginAt(browser, 'corp', 'https://evil.example/');
    expect(locationOf(await browser.get(`/login/finish?code=root&state=${elsewhere}`))).toBe('/me');
  });

  test('answers 503 while this replica has no lease, and keeps nothing', async () => {
    const house = await openHouse({ leased: false });
    const page = await browserAt(house).get('/login/start?provider=corp').expect(503).expect('Retry-After', '1');
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('fenced');
  });

  test('answers 503 once its lease has lapsed, although it knows an old place in the log', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    house.lapse();
    expect(house.gate.position).toBeDefined();
    for (const path of ['/login/start?provider=corp', '/me', '/admin/api/v1/sessions']) {
      expect((await browser.get(path)).status).toBe(503);
    }
  });

  test('stops an address that starts too many, and lets it go on later', async () => {
    const limits = { headerBytes: 1, connections: 1, inFlightPerPerson: 1, groups: 1, idle: 600, signInsPerMinute: 2 };
    const house = await openHouse({ config: { limits } });
    const browser = browserAt(house);
    await beginAt(browser);
    await beginAt(browser);
    await browser.get('/login/start?provider=corp').expect(429).expect('Retry-After', '30');
    await pendingAt(house, 'uid1').get('/login/uid1/start?provider=corp').expect(429);
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('too_many_sign_ins');
    house.clock.advance(30);
    await beginAt(browser);
  });
});

describe('signing in for kubectl', () => {
  test('offers the providers as links and ends with the grant for a session of that client', async () => {
    const house = await openHouse();
    const browser = pendingAt(house, 'uid1');
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
    const session = await house.store.sessions.read(house.authorizations.granted[0]?.id ?? '');
    expect(session).toMatchObject({ account: 'corp/sub-alice', client: 'portcullis-cli', address: '127.0.0.1' });
    expect(await house.store.sessions.readSecret(session?.id ?? '')).toEqual({
      refreshToken: 'canary-refresh-token-of-alice',
    });
    expect(annotation(house.named('sign-in')[0], 'session')).toBe(session?.id);
  });

  test('goes straight through with a valid hint or a single provider', async () => {
    const house = await openHouse();
    const hinted = pendingAt(house, 'uid1', 'lab');
    await hinted.get('/login/uid1').expect(303).expect('Location', '/login/uid1/start?provider=lab');
    const wrong = await pendingAt(house, 'uid2', 'nope').get('/login/uid2').expect(200);
    expect(wrong.text).toContain('There is no provider “nope” here.');
    const alone = await openHouse({ providers: [new TestProvider('only')] });
    await pendingAt(alone, 'uid3').get('/login/uid3').expect('Location', '/login/uid3/start?provider=only');
  });

  test('refuses a browser without the cookie of the one that began', async () => {
    const house = await openHouse();
    const browser = pendingAt(house, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browserAt(house).get(`/login/uid1/finish?code=root&state=${state}`).expect(400);
    await pendingAt(house, 'uid2').get(`/login/uid2/finish?code=root&state=${state}`).expect(400);
    await pendingAt(house, 'uid3').get(`/login/uid1/finish?code=root&state=${state}`).expect(400);
    const reasons = house.named('sign-in-refused').map((event) => annotation(event, 'reason'));
    expect(reasons).toEqual(['sign_in_expired', 'other_browser', 'uid_mismatch']);
    expect(await sessionsOf(house)).toBe(0);
    await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(303);
  });

  test('ends the session again when the grant fails', async () => {
    const house = await openHouse();
    house.authorizations.failGrant = true;
    const browser = pendingAt(house, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(500);
    expect(await sessionsOf(house)).toBe(0);
    expect(house.named('sign-in')).toHaveLength(0);
    expect(house.named('sign-in-refused')).toHaveLength(1);
  });

  test('tells the program of a refusal at once: the words of the page, whom to ask and the request id', async () => {
    const house = await openHouse();
    const browser = pendingAt(house, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    const told = await browser.get(`/login/uid1/finish?error=access_denied&state=${state}`).expect(303);
    const description = `You said no at the identity provider. Whom to ask: #platform-help Request id: ${told.headers['x-request-id']}`;
    expect(house.authorizations.refused).toEqual([{ error: 'access_denied', description }]);
    expect(house.named('sign-in-refused')).toHaveLength(1);
  });

  test('shows a fault that passes as a page, with a way to try again and one to tell the program', async () => {
    const house = await openHouse();
    const browser = pendingAt(house, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    house.corp.down = true;
    const page = await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(502);
    expect(page.text).toContain('href="/login/uid1/choose"');
    await browser.get('/login/uid1/choose').expect(200);
    await browser.get('/login/uid1/refuse?error=access_denied').expect(303);
    await browser.get('/login/uid1/refuse?error=anything').expect(303);
    expect(house.authorizations.refused.map(({ error }) => error)).toEqual(['access_denied', 'access_denied']);
    await browserAt(house).get('/login/uid1/refuse?error=access_denied').expect(400);
  });

  test('says that the tab may be closed', async () => {
    const house = await openHouse();
    const page = await browserAt(house).get('/login/done').expect(200);
    expect(page.text).toContain('You may close this tab');
  });
});
