import { once } from 'node:events';
import { connect } from 'node:tls';
import { decodeJwt, generateKeyPair } from 'jose';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { Visitor } from '../../demo/visitor.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { CliContext } from '../support/kubectl.ts';
import { startLogoutInstance, type LogoutInstance } from '../support/logout-instance.ts';
import { LOGOUT_CLIENT, LOGOUT_USER, type TokenShape } from '../support/logout-provider.ts';
import type { ClientKey, SignedIn } from '../support/oauth-client.ts';

const ACCOUNT = `demo/${LOGOUT_USER}` as const;
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const PODS = '/api/v1/namespaces/default/pods';
const seconds = (): number => Math.floor(Date.now() / 1000);

describe('logout, both ways', () => {
  let stage: LogoutInstance;

  beforeAll(async () => {
    stage = await startLogoutInstance();
  });
  afterAll(() => stage.stop());

  const visitor = (): Visitor =>
    new Visitor({ name: LOGOUT_USER, password: '' }, { stopAt: 'http://127.0.0.1:9/callback' });

  /** Opens a kubectl session in this browser. */
  async function signInWith(browser: Visitor): Promise<SignedIn> {
    const { callback, verifier } = await stage.client.authorize(LOGOUT_USER, { visitor: browser });
    const answer = await stage.client.redeem(callback.searchParams.get('code') ?? '', verifier);
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    const { session } = answer.body['portcullis'] as { session: { id: string } };
    const [accessToken, refreshToken] = [String(answer.body['access_token']), String(answer.body['refresh_token'])];
    return { accessToken, refreshToken, session: session.id, answer };
  }

  /** Opens a watch, and resolves when it has ended. */
  async function watch({
    accessToken,
  }: SignedIn): Promise<{ readonly ended: Promise<unknown>; readonly isOpen: () => boolean }> {
    const { cert, key } = stage.client.key as ClientKey;
    const port = Number(new URL(stage.client.endpoints.api).port);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: stage.ca, cert, key });
    socket.on('error', () => undefined);
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'secureConnect');
    socket.write(`GET ${PODS}?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${accessToken}\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).toContain('200 OK');
    return { ended, isOpen: () => !socket.destroyed };
  }

  const sidOf = async ({ session }: SignedIn): Promise<string> =>
    (await stage.server.store.sessions.read(session))?.providerSid ?? '';
  const isActive = async ({ session }: SignedIn): Promise<boolean> =>
    (await stage.server.store.sessions.read(session)) !== undefined;

  async function post(form: Record<string, string> | string, name = 'demo') {
    const answer = await request(`${stage.web}/backchannel-logout/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
    });
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  }

  const tell = async (shape: TokenShape) => post({ logout_token: await stage.provider.logoutToken(shape) });

  async function events(name: string): Promise<readonly AuditEvent[]> {
    return (await stage.recorded()).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);
  }
  const lastReason = async (name: string): Promise<string | undefined> =>
    (await events(name)).at(-1)?.annotations['portcullis.dev/reason'];

  describe('at the provider', () => {
    it('ends the session that was opened in that session of the provider, with its open watch, and no other', async () => {
      const [browser, other] = [visitor(), visitor()];
      await browser.visit(`${stage.web}/login/start?provider=demo&to=me`);
      const { sessions } = stage.server.store;
      const own = (await sessions.list({ limit: 100 })).sessions.find(({ client }) => client === 'browser');
      const [here, there] = [await signInWith(browser), await signInWith(other)];
      expect(await sidOf(here)).not.toBe('');
      expect(await sidOf(here)).not.toBe(await sidOf(there));
      const [cut, stays] = [await watch(here), await watch(there)];
      await browser.visit(stage.provider.endSession);
      await cut.ended;
      expect(await isActive(here)).toBe(false);
      expect((await stage.client.refresh(here.refreshToken)).status).toBe(400);
      // The session of the browser here was opened in the same session of the provider.
      expect(own).toBeDefined();
      expect(await sessions.read(own?.id ?? '')).toBeUndefined();
      expect(stays.isOpen()).toBe(true);
      expect(await isActive(there)).toBe(true);
      const ended = (await events('logout')).filter(
        ({ annotations }) => annotations['portcullis.dev/reason'] === 'signed_out_at_provider',
      );
      expect(ended.map(({ annotations }) => annotations['portcullis.dev/session'])).toContain(here.session);
      expect(ended[0]?.user.username).toBe('demo:alice');
    });

    it('ends a watch of kubectl', async () => {
      const laptop = new CliContext(stage, LOGOUT_USER);
      onTestFinished(() => laptop.close());
      const open = laptop.openKubectl('get', 'pods', '--watch');
      await open.until(/NAME/);
      const { sessions } = await stage.server.store.sessions.list({ account: ACCOUNT, limit: 1 });
      const sid = sessions[0]?.providerSid ?? '';
      expect((await tell({ claims: { sid } })).status).toBe(200);
      await open.finished;
      expect(await stage.server.store.sessions.read(sessions[0]?.id ?? '')).toBeUndefined();
    });

    it('ends every session of the user where the token names no session', async () => {
      const [one, two] = [await signInWith(visitor()), await signInWith(visitor())];
      const answer = await tell({});
      expect(answer).toMatchObject({ status: 200, text: '' });
      expect(answer.headers['cache-control']).toBe('no-store');
      expect([await isActive(one), await isActive(two)]).toEqual([false, false]);
      const last = (await events('logout')).at(-1);
      expect(last?.annotations['portcullis.dev/target']).toBe(`account:${ACCOUNT}`);
    });

    it.each<[string, (sid: string) => TokenShape]>([
      ['an audience of several, one of them us', (sid) => ({ claims: { sid, aud: ['other', LOGOUT_CLIENT] } })],
      ['no sub', (sid) => ({ claims: { sid, sub: undefined } })],
      ['an exp claim', (sid) => ({ claims: { sid, exp: seconds() + 120 } })],
      ['the type that older providers send', (sid) => ({ claims: { sid }, header: { typ: 'JWT' } })],
      ['no type', (sid) => ({ claims: { sid }, header: { typ: undefined } })],
      ['a clock a little ahead', (sid) => ({ claims: { sid, iat: seconds() + 30 } })],
    ])('is accepted from a token with %s', async (_name, shape) => {
      const signedIn = await signInWith(visitor());
      expect((await tell(shape(await sidOf(signedIn)))).status).toBe(200);
      expect(await isActive(signedIn)).toBe(false);
    });

    it('applies once: the same token is rejected the second time, and ends no newer session', async () => {
      const token = await stage.provider.logoutToken({});
      expect((await post({ logout_token: token })).status).toBe(200);
      const since = await signInWith(visitor());
      expect((await post({ logout_token: token })).status).toBe(400);
      expect(await lastReason('logout-refused')).toBe('logout_token_replayed');
      expect(await isActive(since)).toBe(true);
    });

    it('that happens before the sign-in here is finished makes the sign-in fail', async () => {
      const browser = visitor();
      const first = await signInWith(browser);
      const sid = await sidOf(first);
      expect((await tell({ claims: { sid } })).status).toBe(200);
      // The session of the provider goes on: the next sign-in there uses the session that it reported as ended.
      const { page } = await stage.client.authorize(LOGOUT_USER, { visitor: browser });
      expect(page).toMatchObject({ status: 400, url: expect.stringContaining('/finish') });
      expect(await lastReason('sign-in-refused')).toBe('session_revoked');
    });
  });

  describe('here', () => {
    const hidden = (name: string, page: string): string =>
      new RegExp(`name="${name}" value="([^"]+)"`).exec(page)?.[1] ?? '';

    async function signedIn(): Promise<{ readonly browser: CookieBrowser; readonly csrf: string }> {
      const browser = new CookieBrowser();
      const { url, html } = await browser.follow(`${stage.web}/login/start?provider=demo&to=me`);
      expect(url).toBe(`${stage.web}/me`);
      return { browser, csrf: hidden('csrf', html) };
    }

    it('sends the browser to the provider, to sign out there, and from there back to our start page', async () => {
      const kubectl = await signInWith(visitor());
      const { browser, csrf } = await signedIn();
      const [newest] = (await stage.server.store.sessions.list({ account: ACCOUNT, limit: 1 })).sessions;
      const answer = await browser.post(`${stage.web}/logout`, { csrf });
      expect(answer.status).toBe(200);
      // This is not a redirect, because Chromium applies `form-action` to redirects.
      expect(answer.headers['content-security-policy']).toContain("form-action 'self'");
      const there = new URL(String(answer.headers['refresh']).replace(/^0; url=/, ''));
      expect(`${there.origin}${there.pathname}`).toBe(stage.provider.endSession);
      expect(there.searchParams.get('client_id')).toBe(LOGOUT_CLIENT);
      expect(there.searchParams.get('post_logout_redirect_uri')).toBe(`${stage.web}/`);
      expect(decodeJwt(there.searchParams.get('id_token_hint') ?? '')).toMatchObject({
        sub: LOGOUT_USER,
        aud: LOGOUT_CLIENT,
      });
      expect(await stage.server.store.sessions.read(newest?.id ?? '')).toBeUndefined();
      const page = await browser.follow(there.href);
      const action = /action="([^"]+)"/.exec(page.html)?.[1] ?? '';
      const back = await browser.post(action, { xsrf: hidden('xsrf', page.html), logout: 'yes' });
      expect(back.location).toBe(`${stage.web}/?state=signed-out`);
      expect((await browser.get(back.location)).html).toContain('You are signed out here.');
      // The kubectl session was opened in the provider session of another browser.
      expect(await isActive(kubectl)).toBe(true);
    });

    it('audits nothing of the ID token', async () => {
      const { browser, csrf } = await signedIn();
      const answer = await browser.post(`${stage.web}/logout`, { csrf });
      const hint = new URL(String(answer.headers['refresh']).replace(/^0; url=/, '')).searchParams.get('id_token_hint');
      expect(hint).toMatch(/^ey/);
      expect(JSON.stringify(await stage.recorded())).not.toContain(hint?.split('.')[1]);
    });
  });

  describe('an invalid logout token', () => {
    let active: SignedIn;
    beforeAll(async () => {
      active = await signInWith(visitor());
    });

    const secret = new TextEncoder().encode(LOGOUT_CLIENT.padEnd(32, '.'));
    const unsigned = (claims: object): string =>
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`;

    it.each<[string, string, () => Promise<string> | string]>([
      ['no token', 'logout_token_missing', () => ''],
      ['a text that is not a JWT', 'logout_token_malformed', () => 'rubbish'],
      ['of 9 kB', 'logout_token_too_large', () => 'a'.repeat(9000)],
      ['larger than any form', 'logout_token_missing', () => 'a'.repeat(20_000)],
      [
        'alg none',
        'logout_token_algorithm',
        () => unsigned({ iss: stage.provider.issuer, aud: LOGOUT_CLIENT, sub: LOGOUT_USER }),
      ],
      [
        'signed with the client id as a secret',
        'logout_token_algorithm',
        () => stage.provider.logoutToken({ header: { alg: 'HS256' }, key: secret }),
      ],
      [
        'signed with the public key as a secret',
        'logout_token_algorithm',
        () =>
          stage.provider.logoutToken({
            header: { alg: 'HS256' },
            key: new TextEncoder().encode(JSON.stringify(stage.provider.jwks.keys[0])),
          }),
      ],
      [
        'signed with another key',
        'logout_token_signature',
        async () => stage.provider.logoutToken({ key: (await generateKeyPair('ES256')).privateKey }),
      ],
      [
        'with a key that the provider does not publish',
        'logout_token_key_unknown',
        () => stage.provider.logoutToken({ header: { kid: 'k2' } }),
      ],
      ['an ID token', 'logout_token_nonce', () => stage.provider.logoutToken({ claims: { nonce: 'n' } })],
      ['with a nonce of null', 'logout_token_nonce', () => stage.provider.logoutToken({ claims: { nonce: null } })],
      ['an access token', 'logout_token_type', () => stage.provider.logoutToken({ header: { typ: 'at+jwt' } })],
      ['without events', 'logout_token_events', () => stage.provider.logoutToken({ claims: { events: undefined } })],
      [
        'of another event',
        'logout_token_events',
        () => stage.provider.logoutToken({ claims: { events: { 'https://x.example/': {} } } }),
      ],
      [
        'whose event is text',
        'logout_token_events',
        () => stage.provider.logoutToken({ claims: { events: { [EVENT]: 'yes' } } }),
      ],
      [
        'whose events are a list',
        'logout_token_events',
        () => stage.provider.logoutToken({ claims: { events: [EVENT] } }),
      ],
      ['without a subject', 'logout_token_subject', () => stage.provider.logoutToken({ claims: { sub: undefined } })],
      ['whose sid is a number', 'logout_token_subject', () => stage.provider.logoutToken({ claims: { sid: 7 } })],
      ['whose sub is empty', 'logout_token_subject', () => stage.provider.logoutToken({ claims: { sub: '' } })],
      ['without jti', 'logout_token_id', () => stage.provider.logoutToken({ claims: { jti: undefined } })],
      ['without iat', 'logout_token_issued_at', () => stage.provider.logoutToken({ claims: { iat: undefined } })],
      ['ten minutes old', 'logout_token_issued_at', () => stage.provider.logoutToken({ clock: -600 })],
      [
        'issued in the future',
        'logout_token_issued_at',
        () => stage.provider.logoutToken({ claims: { iat: seconds() + 120 } }),
      ],
      [
        'that has expired',
        'logout_token_expired',
        () => stage.provider.logoutToken({ claims: { exp: seconds() - 90 } }),
      ],
      ['for another client', 'logout_token_audience', () => stage.provider.logoutToken({ claims: { aud: 'other' } })],
      [
        'for other clients',
        'logout_token_audience',
        () => stage.provider.logoutToken({ claims: { aud: ['other', 'another'] } }),
      ],
      [
        'of another issuer',
        'logout_token_issuer',
        () => stage.provider.logoutToken({ claims: { iss: 'https://idp.example.com' } }),
      ],
    ])('is rejected, audited and without effect: %s', async (_name, reason, token) => {
      const answer = await post({ logout_token: await token() });
      expect(answer.status).toBe(400);
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(JSON.parse(answer.text)).toMatchObject({ error: 'invalid_request' });
      expect(await lastReason('logout-refused')).toBe(reason);
      expect(await isActive(active)).toBe(true);
    });

    it('is rejected where it is sent twice in one form', async () => {
      const token = await stage.provider.logoutToken({});
      expect((await post(`logout_token=${token}&logout_token=${token}`)).status).toBe(400);
      expect(await isActive(active)).toBe(true);
    });

    it('never appears in the audit log', async () => {
      const [header = ''] = (await stage.provider.logoutToken({})).split('.');
      expect(JSON.stringify(await stage.recorded())).not.toContain(header);
    });
  });

  it.each(['unknown', '__proto__'])('is rejected for an unknown provider: %s', async (name) => {
    expect((await post({ logout_token: await stage.provider.logoutToken({}) }, name)).status).toBe(404);
  });
});

describe.each(['okta', 'keycloak'] as const)('logout, both ways, at a provider of type %s', (type) => {
  let stage: LogoutInstance;
  beforeAll(async () => {
    stage = await startLogoutInstance(type);
  });
  afterAll(() => stage.stop());

  async function signIn(): Promise<{ readonly browser: CookieBrowser; readonly page: string }> {
    const browser = new CookieBrowser();
    const { url, html } = await browser.follow(`${stage.web}/login/start?provider=demo&to=me`);
    expect(url).toBe(`${stage.web}/me`);
    return { browser, page: html };
  }

  it('ends the session that was opened at the provider when the user signs out there', async () => {
    const { browser } = await signIn();
    const there = await browser.follow(stage.provider.endSession);
    const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(there.html) ?? [];
    await browser.post(`${stage.provider.endSession}/confirm`, { xsrf, logout: 'yes' });
    expect(await stage.server.store.sessions.count()).toBe(0);
    expect((await browser.get(`${stage.web}/me`)).location).toBe('/login?to=me');
  });

  it('sends the browser to the provider when the user signs out here', async () => {
    const { browser, page } = await signIn();
    const [, csrf = ''] = /name="csrf" value="([^"]+)"/.exec(page) ?? [];
    const answer = await browser.post(`${stage.web}/logout`, { csrf });
    expect(answer.headers['refresh']).toContain(stage.provider.endSession);
    expect(await stage.server.store.sessions.count()).toBe(0);
  });
});
