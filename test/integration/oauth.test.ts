import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { AppError } from '../../src/core/errors.ts';
import { Visitor } from '../../demo/visitor.ts';
import { auditedBy } from '../support/audit-log.ts';
import { dumpRedis, spellings } from '../support/redis-dump.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { AUTHORIZATION, type OAuthClient, served, type Endpoints } from '../support/oauth-client.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const ADMIN = 'urn:portcullis:admin';
/** Whose sessions no other test here ends. */
const VERA = { name: 'vera', password: 'vera-demo' };

describe('the authorization server', () => {
  let redis: RedisServer;
  let instance: TestInstance;
  let endpoints: Endpoints;
  let plugin: OAuthClient;
  let thief: OAuthClient;

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
    endpoints = instance;
    plugin = await instance.connect();
    thief = await instance.connect();
  });
  afterAll(async () => {
    await instance.stop();
    await redis.stop();
  });

  async function events(name: string): Promise<readonly AuditEvent[]> {
    return (await auditedBy(instance)).filter((event) => event.annotations['portcullis.dev/event'] === name);
  }

  const about = async (session: string, name: string): Promise<readonly AuditEvent[]> =>
    (await events(name)).filter(({ annotations }) => annotations['portcullis.dev/session'] === session);
  /** What is left of the end of a session where the replica dies while it waits for the proof. */
  const begunOf = (ended?: AuditEvent) => ({ stage: 'RequestReceived', auditID: ended?.auditID });

  it('gives an RFC 9068 access token of five minutes for one cluster, bound to the key, without groups inside', async () => {
    const { accessToken, session } = await plugin.signIn('alice');
    expect(decodeProtectedHeader(accessToken)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    const claims = decodeJwt(accessToken);
    expect(claims).toMatchObject({
      iss: instance.urls.web,
      sub: 'demo/alice',
      aud: DEMO,
      client_id: 'portcullis-cli',
      sid: session,
    });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(300);
    expect(claims['cnf']).toEqual({ 'x5t#S256': expect.stringMatching(/^[\w-]{43}$/) });
    expect(claims['ep']).toMatch(/^[\w-]{20,}$/);
    expect(claims['ln']).toBeTypeOf('number');
    expect(JSON.stringify(claims)).not.toContain('developers');
  });

  it('returns the user and the clusters of this user next to the token', async () => {
    const { answer } = await plugin.signIn('alice');
    expect(answer.body['portcullis']).toMatchObject({
      account: 'demo/alice',
      username: 'demo:alice',
      groups: ['demo:developers'],
      cluster: 'demo',
      clusters: [{ name: 'demo', server: instance.urls.api, caData: endpoints.ca }],
    });
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  it('audits a sign-in, with no token in the event', async () => {
    const { accessToken, refreshToken, session } = await plugin.signIn('alice');
    const [event] = (await events('sign-in')).filter((each) => each.annotations['portcullis.dev/session'] === session);
    expect(event).toMatchObject({
      user: { username: 'demo:alice', groups: ['demo:developers'] },
      sourceIPs: ['127.0.0.1'],
    });
    const log = await readFile(instance.files.auditLog, 'utf8');
    expect(log).not.toContain(accessToken);
    expect(log).not.toContain(refreshToken);
  });

  it('renews by a refresh token that does not change, for any granted audience', async () => {
    const { refreshToken } = await plugin.signIn('root');
    for (const resource of [DEMO, ADMIN, DEMO]) {
      const answer = await plugin.refresh(refreshToken, { resource });
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      expect(decodeJwt(String(answer.body['access_token'])).aud).toBe(resource);
      expect(answer.body['refresh_token'] ?? refreshToken).toBe(refreshToken);
    }
    expect((await events('refresh')).length).toBeGreaterThan(3);
  });

  it('accepts thirty parallel refreshes, and asks the identity provider once for all of them', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    const before = instance.identityProvider.tokenRequests;
    const answers = await Promise.all(Array.from({ length: 30 }, () => plugin.refresh(refreshToken)));
    expect(instance.identityProvider.tokenRequests - before).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200));
  });

  it('rejects a refresh token without its key, and gives no reason', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    const answer = await thief.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(await events('refresh-refused')).not.toHaveLength(0);
    expect((await plugin.refresh(refreshToken)).status).toBe(200);
  });

  it('responds with JSON to a client that accepts HTML too, so that the rejection is audited', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    const before = (await events('refresh-refused')).length;
    const form = { client_id: 'portcullis-cli', grant_type: 'refresh_token', refresh_token: refreshToken };
    const answer = await thief.post('/-/oauth/token', form, { accept: 'text/html' });
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const onTheWeb = await fetch(`${instance.urls.web}/oauth/token`, {
      method: 'POST',
      headers: { accept: 'text/html' },
      body: new URLSearchParams(form),
    });
    expect([onTheWeb.status, onTheWeb.headers.get('content-type')]).toEqual([400, 'application/json; charset=utf-8']);
    const refused = (await events('refresh-refused')).slice(before);
    expect(refused.map(({ requestURI }) => requestURI)).toEqual(['/oauth/token', '/oauth/token']);
  });

  it('gives no token on a connection without a certificate', async () => {
    const bare = await instance.connect({ key: null });
    const { callback, verifier } = await bare.authorize('alice');
    expect(await bare.redeem(callback.searchParams.get('code') ?? '', verifier)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
  });

  it('redeems a code exactly once of twenty parallel tries, and ends the session whose code was replayed', async () => {
    const { callback, verifier } = await plugin.authorize('alice');
    const code = callback.searchParams.get('code') ?? '';
    const answers = await Promise.all(Array.from({ length: 20 }, () => plugin.redeem(code, verifier)));
    const [won, ...more] = answers.filter(({ status }) => status === 200);
    expect(won).toBeDefined();
    expect(more).toEqual([]);
    const refused = answers.filter(({ body }) => body['error'] === 'invalid_grant');
    expect(refused).toHaveLength(19);
    expect((await plugin.refresh(String(won?.body['refresh_token']))).status).toBe(400);
    const pods = await plugin.get('/api/v1/namespaces/default/pods', String(won?.body['access_token']));
    expect(pods.status).toBe(401);
  });

  it('treats a code that is sent again as stolen: the session is revoked, which requires a fresh sign-in', async () => {
    const visitor = new Visitor(VERA, { stopAt: AUTHORIZATION.redirect_uri });
    const { callback, verifier } = await plugin.authorize('vera', { visitor });
    const code = callback.searchParams.get('code') ?? '';
    const first = await plugin.redeem(code, verifier);
    const { session } = first.body['portcullis'] as { readonly session: { readonly id: string } };
    const second = await plugin.redeem(code, verifier);
    expect(second).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(second.body['error_description']).toMatch(/was used a second time.*Sign in again/);
    expect((await plugin.refresh(String(first.body['refresh_token']))).status).toBe(400);
    const [ended, ...more] = await about(session.id, 'revocation');
    expect(more).toEqual([]);
    expect(ended).toMatchObject({ requestURI: '/oauth/token' });
    expect(ended?.annotations['portcullis.dev/reason']).toBe('code_replayed');
    expect(await about(session.id, 'revocation-begun')).toMatchObject([begunOf(ended)]);
    expect(await about(session.id, 'logout')).toEqual([]);
    // The provider still knows the browser, and states that its user signed in an hour ago: an attacker who stole it types no password.
    const { sessions } = instance.server.store;
    const open = sessions.open.bind(sessions);
    const authTimes: (number | undefined)[] = [];
    sessions.open = ({ authTime = 0, ...rest }, secret) => {
      const said = authTimes.length === 0 ? authTime - 3600 : authTime;
      authTimes.push(said);
      return open({ ...rest, authTime: said }, secret);
    };
    const { callback: secondCallback } = await plugin.authorize('vera', { visitor });
    sessions.open = open;
    expect(authTimes).toHaveLength(2);
    expect(secondCallback.searchParams.get('code')).not.toBeNull();
    expect((await events('sign-in')).at(-1)?.annotations['portcullis.dev/fresh']).toBe('true');
  });

  it('does not consume a code that it cannot judge, while the store is unavailable or the server is fenced', async () => {
    const { callback, verifier } = await plugin.authorize('alice');
    const code = callback.searchParams.get('code') ?? '';
    const { guard: own, store } = instance.server;
    const [mint, check] = [store.sessions.mint.bind(store.sessions), own.check.bind(own)];
    store.sessions.mint = () => Promise.reject(new AppError('store_unavailable', 'The store is unavailable.'));
    expect((await plugin.redeem(code, verifier)).status).toBe(503);
    store.sessions.mint = mint;
    own.check = () => 'fenced';
    expect((await plugin.redeem(code, verifier)).status).toBe(503);
    own.check = check;
    expect((await plugin.redeem(code, verifier)).status).toBe(200);
  });

  it('ends the session whose code is sent again with another key', async () => {
    const { callback, verifier } = await plugin.authorize('alice');
    const code = callback.searchParams.get('code') ?? '';
    const [own, other] = [await plugin.redeem(code, verifier), await thief.redeem(code, verifier)];
    expect([own.status, other.status]).toEqual([200, 400]);
    expect((await plugin.refresh(String(own.body['refresh_token']))).status).toBe(400);
  });

  it.each([
    ['a wrong verifier', { code_verifier: 'x'.repeat(43) }],
    ['another redirect_uri', { redirect_uri: 'http://127.0.0.1:10/callback' }],
  ])('rejects a code with %s', async (_name, extra) => {
    const { callback, verifier } = await plugin.authorize('alice');
    const answer = await plugin.redeem(callback.searchParams.get('code') ?? '', verifier, extra);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });

  it.each([
    ['no PKCE', { code_challenge: '' }],
    ['the plain PKCE method', { code_challenge_method: 'plain' }],
    ['an unknown audience', { resource: 'urn:portcullis:cluster:other' }],
    ['another response type', { response_type: 'token' }],
  ])('rejects an authorization request with %s before any user signs in', async (_name, extra) => {
    const before = (await events('sign-in-refused')).length;
    const { callback } = await plugin.authorize('alice', { extra });
    expect(callback.searchParams.get('code')).toBeNull();
    expect((await events('sign-in-refused')).length).toBe(before + 1);
  });

  it.each([
    ['a foreign redirect_uri', { redirect_uri: 'https://evil.example/callback' }],
    ['localhost by name', { redirect_uri: 'http://localhost:9/callback' }],
    ['an unknown client', { client_id: 'evil' }],
  ])('shows a page and redirects nowhere for %s', async (_name, extra) => {
    const { page } = await plugin.authorize('alice', { extra });
    expect(page.status).toBe(400);
    expect(new URL(page.url).origin).toBe(instance.urls.web);
    expect(page.html).toContain('Portcullis');
    const requestId = /<dt>Request id<\/dt>\s*<dd[^>]*><code>([^<]+)/.exec(page.html)?.[1];
    expect(requestId).toBeTypeOf('string');
    expect((await events('sign-in-refused')).at(-1)).toMatchObject({
      auditID: requestId,
      requestURI: '/oauth/authorize',
      annotations: { 'portcullis.dev/reason': expect.stringMatching(/^invalid_/) },
    });
  });

  it('issues no token for the admin audience to a user who is not an admin', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    expect(await plugin.refresh(refreshToken, { resource: ADMIN })).toMatchObject({
      status: 400,
      body: { error: 'invalid_target' },
    });
  });

  it('asks for another sign-in where an audience is unknown', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    const answer = await plugin.refresh(refreshToken, { resource: 'urn:portcullis:cluster:new' });
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    expect(answer.body['error_description']).toContain('Sign in again');
  });

  it('ends the session at sign-out: the refresh token and the access token are rejected immediately', async () => {
    const { accessToken, refreshToken, session } = await plugin.signIn('alice');
    expect((await plugin.get('/api/v1/namespaces/default/pods', accessToken)).status).toBe(200);
    expect((await plugin.revoke(refreshToken)).status).toBe(200);
    expect((await plugin.get('/api/v1/namespaces/default/pods', accessToken)).status).toBe(401);
    const answer = await plugin.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(answer.body['error_description']).toMatch(/session is over.*Sign in again/);
    const [ended] = await about(session, 'logout');
    expect(ended?.annotations['portcullis.dev/reason']).toBe('sign_out');
    expect(await about(session, 'revocation-begun')).toMatchObject([begunOf(ended)]);
  });

  it('mints nothing for a session that it was asked to revoke, where no other replica and no store knows of the revocation', async () => {
    const { refreshToken, session } = await plugin.signIn('alice');
    const { log } = instance.server.store;
    const append = log.append.bind(log);
    log.append = () => Promise.reject(new AppError('store_unavailable', 'The store is unavailable.'));
    const target = { kind: 'session', session } as const;
    await expect(instance.server.guard.revoke({ target })).rejects.toMatchObject({ code: 'store_unavailable' });
    log.append = append;
    const refused = await served(() => plugin.refresh(refreshToken));
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect((await events('refresh-refused')).at(-1)?.annotations['portcullis.dev/reason']).toBe('session_revoked');
  });

  it('accepts another sign-out where the first one could not be stored', async () => {
    const { refreshToken, session } = await plugin.signIn('alice');
    const { guard: own } = instance.server;
    const revoke = own.revoke.bind(own);
    own.revoke = () =>
      Promise.reject(
        new AppError('store_unavailable', 'The store is unavailable.', { reason: 'revocation_not_written' }),
      );
    expect((await plugin.revoke(refreshToken)).status).toBe(503);
    expect(await instance.server.store.sessions.read(session)).toBeDefined();
    own.revoke = revoke;
    expect((await plugin.revoke(refreshToken)).status).toBe(200);
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });

  it('lets no user sign another user out without the key of that user', async () => {
    const { refreshToken } = await plugin.signIn('alice');
    await thief.revoke(refreshToken);
    expect((await plugin.refresh(refreshToken)).status).toBe(200);
  });

  it('changes the impersonated identity at the refresh after the provider changed it', async () => {
    const { refreshToken, accessToken } = await plugin.signIn('bob');
    expect((await plugin.get('/api/v1/namespaces/default/pods', accessToken)).status).toBe(403);
    instance.identityProvider.change('bob', { groups: ['developers'] });
    try {
      expect((await plugin.refresh(refreshToken)).status).toBe(200);
      // The old token too: identity is read from the session, never from the token.
      await expect
        .poll(async () => (await plugin.get('/api/v1/namespaces/default/pods', accessToken)).status)
        .toBe(200);
      expect(await events('identity-changed')).not.toHaveLength(0);
    } finally {
      instance.identityProvider.change('bob', { groups: [] });
    }
  });

  it('ends the session at the refresh after the provider disabled the user', async () => {
    const { refreshToken, accessToken } = await plugin.signIn('bob');
    instance.identityProvider.change('bob', { disabled: true });
    try {
      expect(await plugin.refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      expect((await plugin.get('/api/v1/namespaces/default/pods', accessToken)).status).toBe(401);
    } finally {
      instance.identityProvider.change('bob', { disabled: false });
    }
  });

  it('publishes discovery with its own origin, whatever the Host header contains', async () => {
    const answer = await fetch(`${instance.urls.web}/.well-known/openid-configuration`, {
      headers: { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    });
    const document = (await answer.json()) as Record<string, unknown>;
    expect(document).toMatchObject({
      issuer: instance.urls.web,
      authorization_endpoint: `${instance.urls.web}/oauth/authorize`,
      mtls_endpoint_aliases: {
        token_endpoint: `${instance.urls.api}/-/oauth/token`,
        revocation_endpoint: `${instance.urls.api}/-/oauth/revoke`,
      },
      portcullis: { api: instance.urls.api, adminApi: `${instance.urls.api}/-/admin/api/v1`, apiCa: endpoints.ca },
    });
    expect(JSON.stringify(document)).not.toContain('evil');
  });

  it('serves no browser page on the api listener', async () => {
    for (const path of ['/-/oauth/authorize', '/-/oauth/jwks', '/-/oauth/../oauth/token']) {
      expect((await plugin.send('GET', path)).status, path).toBeGreaterThanOrEqual(400);
    }
  });
});

describe('a stolen Redis', () => {
  it('holds no credential of a real sign-in, in any encoding', async () => {
    const redis = await startRedis();
    const instance = await startTestInstance({ redis: redis.url });
    const bare = new Redis(redis.url);
    const plugin = await instance.connect();
    try {
      const pending = await plugin.authorize('bob');
      const { accessToken, refreshToken } = await plugin.signIn('alice');
      await plugin.get('/api/v1/namespaces/default/pods', accessToken);
      await plugin.refresh(refreshToken);
      const { keys, bytes } = await dumpRedis(bare);
      expect(keys.some((key) => key.includes('artefact:AuthorizationCode:'))).toBe(true);
      expect(keys.some((key) => key.includes('artefact:RefreshToken:'))).toBe(true);
      const secrets = {
        accessToken,
        refreshToken,
        code: pending.callback.searchParams.get('code') ?? '',
        alice: 'demo:alice',
      };
      const found = Object.entries(secrets).filter(([, secret]) =>
        spellings(secret).some((text) => bytes.includes(text)),
      );
      expect(found).toEqual([]);
    } finally {
      await instance.stop();
      bare.disconnect();
      await redis.stop();
    }
  });
});
