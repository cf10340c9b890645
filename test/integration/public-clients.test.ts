import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allowLinkIn, fieldIn, visitor } from '../support/device-stage.ts';
import type { Kubelogin } from '../support/kubelogin.ts';
import { CLIENT, startPublicClientStage, type PublicClientStage } from '../support/public-client-stage.ts';

const DEMO = 'urn:portcullis:cluster:demo';

describe('kubelogin', () => {
  let stage: PublicClientStage;
  let kubelogin: Kubelogin;

  beforeAll(async () => {
    stage = await startPublicClientStage();
    kubelogin = await stage.kubelogin();
  });
  afterAll(async () => {
    await stage.stop();
  });

  const sessionOf = (accessToken: string): string => String(decodeJwt(accessToken)['sid']);

  it('signs in by the issuer’s discovery alone, and its access token works without a client certificate', async () => {
    const { accessToken, refreshToken } = await kubelogin.login('alice');
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
    expect(decodeProtectedHeader(accessToken)['typ']).toBe('at+jwt');
    const claims = decodeJwt(accessToken);
    expect(claims).toMatchObject({ aud: DEMO, client_id: CLIENT.id, iss: stage.web });
    expect(claims).not.toHaveProperty('cnf');
    expect(refreshToken).not.toBe('');
  });

  it('is rejected at another cluster, and at the admin API', async () => {
    const { accessToken } = await kubelogin.login('root');
    expect((await stage.pods('other', accessToken)).status).toBe(401);
    expect((await stage.bare.get('/-/admin/api/v1/sessions', accessToken)).status).toBe(401);
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
  });

  it('gets no access by its ID token', async () => {
    const { idToken } = await kubelogin.login('alice');
    expect(decodeJwt(idToken)).toMatchObject({ aud: CLIENT.id, iss: stage.web });
    expect((await stage.pods('demo', idToken)).status).toBe(401);
  });

  it('accepts the scopes and ports that kubelogin may be configured to use', async () => {
    const other = await stage.kubelogin({ port: 18_000, extraScopes: ['offline_access', 'email', 'groups'] });
    expect((await stage.pods('demo', (await other.login('alice')).accessToken)).status).toBe(200);
    // RFC 8252 §7.3: kubelogin's --listen-address.
    const elsewhere = await stage.kubelogin({ port: 23_456 });
    expect((await stage.pods('demo', (await elsewhere.login('alice')).accessToken)).status).toBe(200);
  });

  it('refreshes with the newest refresh token, each time another one, and verifies the ID token that comes along', async () => {
    const first = await kubelogin.login('alice');
    const second = await kubelogin.refresh(first);
    const third = await kubelogin.refresh(second);
    expect(new Set([first.refreshToken, second.refreshToken, third.refreshToken]).size).toBe(3);
    expect((await stage.pods('demo', third.accessToken)).status).toBe(200);
    expect(sessionOf(third.accessToken)).toBe(sessionOf(first.accessToken));
  });

  it('works although it tries HTTP Basic first, as releases before 1.35 do', async () => {
    const authorization = await kubelogin.authorize('alice');
    expect((await kubelogin.tokenByBasic(kubelogin.redemption(authorization))).status).toBeGreaterThanOrEqual(400);
    const { refreshToken } = await kubelogin.verify(await kubelogin.redeem(authorization), authorization.nonce);
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken };
    expect((await kubelogin.tokenByBasic(form)).status).toBeGreaterThanOrEqual(400);
    expect((await kubelogin.ask(refreshToken)).status).toBe(200);
  });

  it.each(['/oauth/Token', '/oauth/token/', '/oauth/TOKEN/'])(
    'gets nothing without an audit event at another spelling of the token endpoint: %s',
    async (path) => {
      const { refreshToken } = await kubelogin.login('alice');
      const form = { grant_type: 'refresh_token', client_id: CLIENT.id, refresh_token: refreshToken };
      const answer = await fetch(stage.web + path, { method: 'POST', body: new URLSearchParams(form) });
      expect(answer.status).toBe(404);
      expect(await answer.text()).not.toContain('access_token');
    },
  );

  it('responds to twenty parallel refreshes with one token, and each new token works', async () => {
    const { refreshToken } = await kubelogin.login('alice');
    const answers = await Promise.all(Array.from({ length: 20 }, () => kubelogin.ask(refreshToken)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const next = await kubelogin.ask(String(answers[7]?.body['refresh_token']));
    expect(next.status).toBe(200);
  });

  it.each([
    ['no PKCE', { code_challenge: '', code_challenge_method: '' }],
    ['the plain PKCE method', { code_challenge_method: 'plain' }],
    ['a resource of another cluster', { resource: 'urn:portcullis:cluster:other' }],
    ['the admin audience', { resource: 'urn:portcullis:admin' }],
  ])('is rejected with %s before any user signs in', async (_name, extraParams) => {
    const before = (await stage.events('sign-in-refused')).length;
    const { callback, page } = await (await stage.kubelogin({ extraParams })).authorize('alice');
    expect(callback.searchParams.get('code')).toBeNull();
    expect(page.url.startsWith('http://localhost:8000')).toBe(true);
    const refused = await stage.events('sign-in-refused');
    expect(refused.length).toBe(before + 1);
    expect(refused.at(-1)?.annotations).toMatchObject({ 'portcullis.dev/client': CLIENT.id });
  });

  it.each([
    ['a client that is not in the list', { clientId: 'kubelogin-prod' }, {}],
    ['the client of the token exchange', { clientId: 'workload' }, {}],
    ['a redirect URI with a path', {}, { redirect_uri: 'http://localhost:8000/callback' }],
    ['a redirect URI of another loopback host', {}, { redirect_uri: 'http://127.0.0.1:8000' }],
    ['a redirect URI elsewhere', {}, { redirect_uri: 'https://evil.example' }],
  ])('shows a page and redirects nowhere for %s', async (_name, flags, extraParams) => {
    const before = (await stage.events('sign-in-refused')).length;
    const { page } = await (await stage.kubelogin({ ...flags, extraParams })).authorize('alice');
    expect(page.status).toBe(400);
    expect(new URL(page.url).origin).toBe(stage.web);
    expect((await stage.events('sign-in-refused')).length).toBe(before + 1);
  });

  it('gets no token of another cluster at a refresh, and keeps its own', async () => {
    const { refreshToken } = await kubelogin.login('alice');
    for (const resource of ['urn:portcullis:cluster:other', 'urn:portcullis:admin']) {
      const answer = await kubelogin.token({ grant_type: 'refresh_token', refresh_token: refreshToken, resource });
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    }
    expect((await kubelogin.ask(refreshToken)).status).toBe(200);
  });

  it('cannot redeem a code or a refresh token of the plugin, nor the plugin one of its', async () => {
    const { callback, verifier } = await stage.plugin.authorize('alice');
    const stolen = await kubelogin.token({
      grant_type: 'authorization_code',
      code: callback.searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: 'http://127.0.0.1:9/callback',
    });
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const bound = await stage.plugin.signIn('alice');
    expect(await kubelogin.ask(bound.refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const { refreshToken } = await kubelogin.login('alice');
    expect((await stage.plugin.refresh(refreshToken)).status).toBe(400);
    expect((await kubelogin.ask(refreshToken)).status).toBe(200);
  });

  it('leaves the plugin’s tokens bound to its key', async () => {
    const { accessToken } = await stage.plugin.signIn('alice');
    expect(decodeJwt(accessToken)).toHaveProperty('cnf');
    expect((await stage.pods('demo', accessToken)).status).toBe(401);
    expect(await stage.bare.signIn('alice').catch((error: unknown) => error)).toBeInstanceOf(Error);
  });

  it('signs in by a code too: for its own cluster only, shown under its name, with an ID token', async () => {
    // kubelogin's --grant-type=device-code, which takes the endpoint from discovery: on the api listener.
    expect(kubelogin.deviceEndpoint).toBe(`${stage.api}/-/oauth/device`);
    const form = { client_id: CLIENT.id, scope: 'openid' };
    const elsewhere = await stage.bare.post('/-/oauth/device', { ...form, resource: 'urn:portcullis:cluster:other' });
    expect(elsewhere).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    const { body } = await stage.bare.post('/-/oauth/device', form);
    const browser = visitor('alice');
    const csrf = fieldIn(await browser.visit(`${stage.web}/device`), 'csrf');
    const typed = new URLSearchParams({ csrf, user_code: String(body['user_code']) });
    const page = await browser.visit(`${stage.web}/device`, typed);
    expect(page.html).toContain('kubelogin');
    await browser.visit(`${stage.web}${allowLinkIn(page) ?? ''}`);
    const answer = await kubelogin.token({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: String(body['device_code']),
    });
    const tokens = await kubelogin.verify(answer, '');
    expect(decodeJwt(tokens.accessToken)).toMatchObject({ aud: DEMO, client_id: CLIENT.id });
    expect((await stage.pods('demo', tokens.accessToken)).status).toBe(200);
    const renewed = await kubelogin.refresh(tokens);
    expect(renewed.refreshToken).not.toBe(tokens.refreshToken);
  });

  it('is listed by its name, and ends when it is revoked', async () => {
    const tokens = await kubelogin.login('alice');
    const id = sessionOf(tokens.accessToken);
    const admin = await stage.plugin.signIn('root', { resource: 'urn:portcullis:admin' });
    const listed = await stage.plugin.get(`/-/admin/api/v1/sessions/${id}`, admin.accessToken);
    expect(listed.body).toMatchObject({ client: CLIENT.id, bound: false });
    await stage.server.guard.revoke({ target: { kind: 'session', session: id } });
    const refused = await stage.pods('demo', tokens.accessToken);
    expect(refused.status).toBe(401);
    expect(refused.body['message']).toMatch(/: sign in again with kubelogin: .*`kubectl oidc-login clean`/);
    expect(await kubelogin.ask(tokens.refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });

  it('must wait where it refreshes in a loop, and keeps its tokens', async () => {
    const { accessToken, refreshToken } = await kubelogin.login('alice');
    const answers = await Promise.all(Array.from({ length: 125 }, () => kubelogin.ask(refreshToken)));
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused).toHaveLength(5);
    for (const { status, headers, body } of refused) {
      expect([status, headers['retry-after'], body['error']]).toEqual([429, '60', 'temporarily_unavailable']);
      expect(body['error_description']).toContain('Try again in a minute');
    }
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
  });

  it('is re-checked at the provider at each refresh: a user who is disabled there loses the session here', async () => {
    const { accessToken, refreshToken } = await kubelogin.login('bob');
    stage.identityProvider.change('bob', { disabled: true });
    try {
      expect(await kubelogin.ask(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      const answer = await stage.pods('demo', accessToken);
      expect(answer.status).toBe(401);
      expect(answer.body['message']).toMatch(
        /^Your identity provider no longer confirms your sign-in.*\. Sign in again with kubelogin:/,
      );
    } finally {
      stage.identityProvider.change('bob', { disabled: false });
    }
  });

  it('serves the real kubectl with that token alone', async () => {
    const { accessToken } = await kubelogin.login('alice');
    const laptop = stage.cli('alice');
    const kubectl = (...args: string[]) => laptop.kubectl('--user=', `--token=${accessToken}`, ...args);
    const whoami = await kubectl('auth', 'whoami');
    expect(whoami.stdout, whoami.all).toContain(sessionOf(accessToken));
    const ran = await kubectl('exec', 'web-1', '--', 'echo', 'hello');
    expect(ran.stdout, ran.all).toBe('hello\n');
    await stage.server.guard.revoke({ target: { kind: 'session', session: sessionOf(accessToken) } });
    expect((await kubectl('get', 'pods')).code).not.toBe(0);
  });

  it('is audited with its client at sign-in and at each token', async () => {
    const { accessToken } = await kubelogin.login('alice');
    const mine = ({ annotations }: { readonly annotations: Readonly<Record<string, string>> }): boolean =>
      annotations['portcullis.dev/session'] === sessionOf(accessToken);
    for (const event of ['sign-in', 'refresh']) {
      const line = (await stage.events(event)).find(mine);
      expect(line?.annotations).toMatchObject({ 'portcullis.dev/client': CLIENT.id });
    }
  });
});
