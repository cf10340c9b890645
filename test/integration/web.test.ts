import { afterEach, describe, expect, test } from 'vitest';
import {
  annotation,
  beginAt,
  browserAt,
  closeHouses,
  csrfOf,
  locationOf,
  openHouse,
  pendingAt,
  PUBLIC_URL,
  signIn,
  TestProvider,
  type Browser,
  type House,
} from '../unit/web/harness.ts';

afterEach(closeHouses);

const sessionsOf = async (house: House): Promise<number> => house.store.sessions.count();

const cookiesOf = (browser: Browser): string =>
  browser.jar.getCookies({ domain: '127.0.0.1', path: '/', secure: false, script: false }).toValueString();

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
    await browser.get('/me').expect(200);
    house.clock.advance(2);
    await browser.get('/me').expect(303).expect('Location', '/login?to=me');
  });

  test('comes back to the admin page when that was asked for, and never to a foreign place', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await browser.get('/admin').expect(303).expect('Location', '/login?to=admin');
    const state = await beginAt(browser, 'corp', 'admin');
    await browser.get(`/login/finish?code=root&state=${state}`).expect('Location', '/admin');
    const elsewhere = await beginAt(browser, 'corp', 'https://evil.example/');
    await browser.get(`/login/finish?code=root&state=${elsewhere}`).expect('Location', '/me');
  });

  test('answers 503 while this replica has no lease, and keeps nothing', async () => {
    const house = await openHouse({ leased: false });
    const page = await browserAt(house).get('/login/start?provider=corp').expect(503).expect('Retry-After', '1');
    expect(page.headers['set-cookie']).toBeUndefined();
    expect(annotation(house.named('sign-in-refused')[0], 'reason')).toBe('fenced');
  });

  test('stops an address that starts too many, and lets it go on later', async () => {
    const house = await openHouse({ config: { limits: { headerBytes: 1, connections: 1, signInsPerMinute: 2 } } });
    const browser = browserAt(house);
    await beginAt(browser);
    await beginAt(browser);
    await browser.get('/login/start?provider=corp').expect(429).expect('Retry-After', '30');
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

  test('shows a refusal as a page, with a way to try again and one to tell the program', async () => {
    const house = await openHouse();
    const browser = pendingAt(house, 'uid1');
    const started = await browser.get('/login/uid1/start?provider=corp');
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    const page = await browser.get(`/login/uid1/finish?error=access_denied&state=${state}`).expect(403);
    expect(page.text).toContain('You said no at the identity provider.');
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

describe('the own page', () => {
  const post = (browser: Browser, path: string, csrf: string, origin = PUBLIC_URL) =>
    browser.post(path).type('form').set('Origin', origin).send({ csrf });

  async function kubectlSession(house: House, uid: string, person: string): Promise<string> {
    const browser = pendingAt(house, uid);
    const started = await browser.get(`/login/${uid}/start?provider=corp`);
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browser.get(`/login/${uid}/finish?code=${person}&state=${state}`).expect(303);
    return house.authorizations.granted.at(-1)?.id ?? '';
  }

  test('lists my sessions only, and ends the one I choose', async () => {
    const house = await openHouse();
    const mine = await kubectlSession(house, 'uid1', 'alice');
    const hers = await kubectlSession(house, 'uid2', 'root');
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const { text } = await browser.get('/me');
    expect(text).toContain(`/me/sessions/${mine}/end`);
    expect(text).not.toContain(hers);
    const csrf = await csrfOf(browser);
    const ended = await post(browser, `/me/sessions/${mine}/end`, csrf).expect(200);
    expect(ended.text).toContain('Complete.');
    expect(await house.store.sessions.read(mine)).toBeUndefined();
    await post(browser, `/me/sessions/${hers}/end`, csrf).expect(404);
    expect(await house.store.sessions.read(hers)).toBeDefined();
    expect(annotation(house.named('logout')[0], 'target')).toBe(`session:${mine}`);
  });

  test('ends all others and keeps this one', async () => {
    const house = await openHouse();
    for (const uid of ['uid1', 'uid2', 'uid3']) await kubectlSession(house, uid, 'alice');
    const other = await kubectlSession(house, 'uid4', 'root');
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const page = await post(browser, '/me/end-others', await csrfOf(browser)).expect(200);
    expect(page.text).toContain('3 ended');
    await browser.get('/me').expect(200);
    expect(await sessionsOf(house)).toBe(2);
    expect(await house.store.sessions.read(other)).toBeDefined();
  });

  test.each([
    ['without a token', undefined, PUBLIC_URL, 403],
    ['with a wrong token', 'AAAAAAAAAAAAAAAAAAAAAA', PUBLIC_URL, 403],
    ['from a foreign origin', 'own', 'https://evil.example', 403],
    ['from a null origin', 'own', 'null', 403],
    ['from the same host over another scheme', 'own', PUBLIC_URL.replace('http:', 'https:'), 403],
    ['from our own page', 'own', PUBLIC_URL, 303],
  ])('answers a sign-out %s', async (_what, token, origin, status) => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const csrf = token === 'own' ? await csrfOf(browser) : token;
    await browser
      .post('/logout')
      .type('form')
      .set('Origin', origin)
      .send(csrf === undefined ? {} : { csrf })
      .expect(status);
    expect(await sessionsOf(house)).toBe(status === 303 ? 0 : 1);
  });

  test('refuses a change without any Origin', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    await browser.post('/logout').type('form').send({ csrf }).expect(403);
    expect(await sessionsOf(house)).toBe(1);
  });

  test('refuses one person’s token in another one’s browser', async () => {
    const house = await openHouse();
    const [alice, root] = [browserAt(house), browserAt(house)];
    await signIn(alice, 'alice');
    await signIn(root, 'root');
    await post(root, '/logout', await csrfOf(alice)).expect(403);
    expect(await sessionsOf(house)).toBe(2);
  });

  test('signs out for good: the old cookie is worth nothing', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const stolen = cookiesOf(browser);
    await post(browser, '/logout', await csrfOf(browser)).expect(303);
    await browserAt(house).get('/me').set('Cookie', stolen).expect(303).expect('Location', '/login?to=me');
    expect(annotation(house.named('logout')[0], 'reason')).toBe('signed_out');
  });

  test('is gone at the next request after a revocation of the account', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    await house.gate.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    await browser.get('/me').expect(303);
    await post(browser, '/me/end-others', 'any').expect(401);
  });

  test('stays signed in while in use, and ends after the idle time', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    house.clock.advance(11 * 3600);
    await browser.get('/me').expect(200);
    house.clock.advance(11 * 3600);
    await browser.get('/me').expect(200);
    const idle = await openHouse();
    const left = browserAt(idle);
    await signIn(left, 'alice');
    idle.clock.advance(12 * 3600 + 1);
    await left.get('/me').expect(303);
  });

  test('takes a new cookie value at each sign-in', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const first = cookiesOf(browser);
    await signIn(browser, 'alice');
    expect(cookiesOf(browser)).not.toBe(first);
  });

  test('gives a kubeconfig for the clusters that allow me, without a credential', async () => {
    const house = await openHouse();
    const [alice, root] = [browserAt(house), browserAt(house)];
    await signIn(alice, 'alice');
    await signIn(root, 'root');
    const file = await alice
      .get('/me/kubeconfig')
      .expect(200)
      .expect('Content-Disposition', /attachment/);
    expect(file.text).toContain('server: https://staging.k8s.example.com:6443');
    expect(file.text).not.toContain('prod');
    expect(file.text).not.toContain('token:');
    expect((await root.get('/me/kubeconfig')).text).toContain('server: https://prod.k8s.example.com:6443');
  });
});

describe('every response', () => {
  test('carries the security headers and a request id', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    for (const path of ['/', '/me', '/login/done', '/nowhere', '/callback/corp']) {
      const { headers } = await browser.get(path);
      const csp = String(headers['content-security-policy']);
      expect(csp).toContain("default-src 'none'");
      expect(csp).toContain("frame-ancestors 'none'");
      expect(csp).not.toContain('unsafe');
      expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['strict-transport-security']).toBeUndefined();
    }
  });

  test('has cookies that no script and no other host can reach', async () => {
    const house = await openHouse({ config: { publicUrl: 'https://portcullis.example.com' } });
    const browser = browserAt(house);
    const started = await browser.get('/login/start?provider=corp').expect(303);
    expect(started.headers['set-cookie']?.[0]).toMatch(
      /^__Host-portcullis-sign-in=[\w-]{43}; Max-Age=600; Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=Lax$/,
    );
    expect(started.headers['strict-transport-security']).toBe('max-age=31536000');
    const state = new URL(locationOf(started)).searchParams.get('state');
    const cookie = String(started.headers['set-cookie']?.[0]).split(';', 1)[0] ?? '';
    const done = await browser.get(`/login/finish?code=alice&state=${state}`).set('Cookie', cookie).expect(303);
    expect(done.headers['set-cookie']?.[0]).toMatch(
      /^__Host-portcullis=[\w-]{43}; .*Path=\/; .*HttpOnly; Secure; SameSite=Lax$/,
    );
  });

  test('has no inline script or style and no remote asset', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    await signIn(browser, 'root');
    for (const path of ['/me', '/admin', '/login', '/nowhere']) {
      const { text } = await browser.get(path);
      expect(text).not.toMatch(/<script|<style|style=|\son\w+=|(?:src|href)="(?:https?:)?\/\//i);
    }
    const css = await browser
      .get('/assets/portcullis.css')
      .expect(200)
      .expect('Content-Type', /text\/css/);
    expect(css.text).not.toMatch(/url\(|@import/);
  });

  test('hands OAuth paths over untouched, and nothing that only looks like one', async () => {
    const house = await openHouse();
    const browser = browserAt(house);
    expect((await browser.get('/oauth/jwks?a=b')).text).toBe('oauth /oauth/jwks?a=b');
    expect((await browser.get('/.well-known/openid-configuration')).text).toContain('oauth');
    await browser.get('/oauthx').expect(404);
  });

  test('is 503 while the record cannot be written, and nothing is created', async () => {
    const house = await openHouse();
    house.audit.blocked = true;
    await browserAt(house).get('/login/start?provider=corp').expect(503).expect('Retry-After', '1');
    await browserAt(house)
      .get('/admin/api/v1/sessions')
      .expect(503)
      .expect('Content-Type', /problem\+json/);
  });
});
