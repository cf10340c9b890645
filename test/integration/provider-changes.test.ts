/** A provider that changes its algorithm, keys or addresses from one moment to the next, metadata and all. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { CALLBACK } from '../support/vendor-idp.ts';
import { rejection, vendor } from '../support/vendors.ts';

const DISCOVERY = '/.well-known/openid-configuration';
const UNAVAILABLE = { code: 'provider_unavailable' };
const LISTS_ES256 = { id_token_signing_alg_values_supported: ['ES256'] };
const GONE = { status: 404, body: 'not found', type: 'text/plain' };

const gone = (...paths: readonly string[]): NonNullable<Lies['replies']> =>
  Object.fromEntries(paths.map((path) => [path, GONE]));

/** Each of its endpoints is below another path. */
const AT_V2: NonNullable<Lies['discovery']> = (own) =>
  Object.fromEntries(
    Object.entries(own).map(([name, value]) => [
      name,
      /_(?:endpoint|uri)$/.test(name) ? String(value).replace(/\/(\w+)$/, '/v2/$1') : value,
    ]),
  );

/** UserInfo alone has the name. */
const NAMELESS: NonNullable<Lies['idToken']> = ({ preferred_username: _left, ...rest }) => rest;

/** Nothing listens there. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('a provider that changes while it is used', () => {
  let server: HostileProvider;
  let corp: IdentityProvider;
  let now: number;

  beforeEach(async () => {
    server = await startHostileProvider();
    now = Date.now();
    corp = newCorp();
    await signIn();
    server.asked.length = 0;
    return () => server.close();
  });

  const newCorp = (): IdentityProvider =>
    vendor(
      server.issuer,
      { type: 'oidc' },
      { mapping: { username: 'claims.preferred_username' }, clock: { nowMs: () => now } },
    );
  async function signIn(): Promise<ProviderSignIn> {
    const { challenge } = await corp.begin();
    return finish(challenge);
  }
  const finish = (challenge: Parameters<IdentityProvider['finish']>[1]): Promise<ProviderSignIn> => {
    const query = { code: challenge.nonce, state: challenge.state, iss: server.issuer };
    return corp.finish(new URL(`${CALLBACK}?${new URLSearchParams(query).toString()}`), challenge);
  };
  const recheck = (): Promise<ProviderSignIn> => corp.recheck('42', 'rt-1');
  const logout = async () => corp.logout?.readToken(await server.logoutToken());
  const askedFor = (path: string): number => server.asked.filter((each) => each === path).length;
  const tokenRequests = (): number => askedFor('/token') + askedFor('/v2/token');

  it.each<readonly [string, Lies]>([
    ['algorithm', { signs: 'RS256' }],
    ['keys', { rotated: true, unknownKey: true }],
    ['keys at another address', { rotated: true, unknownKey: true, replies: gone('/jwks'), discovery: AT_V2 }],
    ['algorithm, at other addresses', { signs: 'RS256', replies: gone('/jwks', '/userinfo'), discovery: AT_V2 }],
  ])('signs a user in, re-checks and signs them out by its new %s, at once', async (_name, lies) => {
    await logout();
    const { challenge } = await corp.begin();
    server.asked.length = 0;
    server.lie(lies);
    await expect(finish(challenge)).resolves.toMatchObject({ subject: '42' });
    // The code was redeemed once, although its response was verified twice.
    expect([tokenRequests(), askedFor(DISCOVERY)]).toEqual([1, 1]);
    await expect(recheck()).resolves.toMatchObject({ subject: '42', refreshToken: 'rt-2' });
    expect(server.presented).toEqual(['rt-1']);
    expect(await logout()).toMatchObject({ ok: true, value: { subject: '42' } });
  });

  it.each<readonly [string, () => Promise<unknown>]>([
    ['a re-check', () => recheck()],
    ['a logout token', () => logout()],
  ])('is followed by %s that is the first to show it, where its old keys are still there', async (_name, first) => {
    await logout();
    const old = await (await fetch(`${server.issuer}/jwks`)).text();
    const replies = { '/jwks': { status: 200, body: old } };
    server.lie({ rotated: true, unknownKey: true, replies, discovery: AT_V2 });
    await first();
    expect(askedFor('/v2/jwks')).toBe(1);
    await expect(recheck()).resolves.toMatchObject({ subject: '42' });
    expect(await logout()).toMatchObject({ ok: true });
  });

  it.each([404, 410])('is asked for tokens at its new address where the old one is %d', async (status) => {
    const { challenge } = await corp.begin();
    server.lie({ replies: { '/token': { status, body: '' } }, discovery: AT_V2 });
    await expect(finish(challenge)).resolves.toMatchObject({ subject: '42' });
    await expect(recheck()).resolves.toMatchObject({ subject: '42' });
    expect([askedFor('/token'), askedFor('/v2/token')]).toEqual([1, 2]);
  });

  it('is asked for tokens at its new address where nothing listens at the old one', async () => {
    const port = await closedPort();
    server.lie({ discovery: (own) => ({ ...own, token_endpoint: `http://localhost:${port}/token` }) });
    corp = newCorp();
    await corp.begin();
    server.lie({});
    await expect(recheck()).resolves.toMatchObject({ subject: '42' });
    expect(server.presented).toEqual(['rt-1']);
  });

  it('is asked no second time where its token endpoint is gone and it names no other', async () => {
    server.lie({ replies: gone('/token') });
    expect(await rejection(recheck())).toMatchObject(UNAVAILABLE);
    expect([tokenRequests(), askedFor(DISCOVERY)]).toEqual([1, 1]);
  });

  it.each<readonly [string, Lies]>([
    ['it is signed now', { signedUserinfo: true }],
    ['it has moved', { replies: gone('/userinfo'), discovery: AT_V2 }],
  ])('has its UserInfo read where %s', async (_name, lies) => {
    server.lie({ ...lies, idToken: NAMELESS, userinfo: () => ({ sub: '42', preferred_username: 'carol' }) });
    await expect(recheck()).resolves.toMatchObject({ identity: { username: 'corp:carol' } });
    expect(server.presented).toEqual(['rt-1']);
  });

  it('has the next user after half a minute sent to its new sign-in page', async () => {
    server.lie({ discovery: AT_V2 });
    now += 30_000;
    expect((await corp.begin()).url.pathname).toBe('/v2/authorize');
  });

  it.each<readonly [string, Lies]>([
    ['is HS256, which anyone who can verify can make', { signs: 'HS256' }],
    ['is none', { signs: 'none' }],
    ['is not the one that it lists', { signs: 'RS256', discovery: (own) => ({ ...own, ...LISTS_ES256 }) }],
    ['is by a key that it does not publish', { unknownKey: true }],
  ])('is not believed where its new signature %s', async (_name, lies) => {
    const { challenge } = await corp.begin();
    server.lie(lies);
    expect(await rejection(finish(challenge))).toMatchObject(UNAVAILABLE);
    expect(await rejection(recheck())).toMatchObject(UNAVAILABLE);
  });

  it('has a reason of its own where its ID token names none of two keys: to wait does not help', async () => {
    const keys = [1, 2].map(() =>
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
    );
    const header = Buffer.from('{"alg":"ES256"}').toString('base64url');
    const unnamed: Lies['token'] = (honest) => {
      const [, payload, signature] = String(honest['id_token']).split('.');
      return { status: 200, body: JSON.stringify({ ...honest, id_token: `${header}.${payload}.${signature}` }) };
    };
    server.lie({ token: unnamed, replies: { '/jwks': { status: 200, body: JSON.stringify({ keys }) } } });
    corp = newCorp();
    expect(await rejection(signIn())).toMatchObject({ reason: 'id_token_key_ambiguous', needsOperator: true });
  });

  it('is not flooded by tokens that do not fit: it is read again once in half a minute', async () => {
    await logout();
    server.asked.length = 0;
    server.lie({ unknownKey: true });
    for (const more of [0, 30_000]) {
      now += more;
      for (let count = 0; count < 4; count += 1) {
        expect(await logout()).toMatchObject({ ok: false, reason: { reason: 'logout_token_key_unknown' } });
      }
    }
    // One more, because it is read again in any case by then.
    expect(askedFor(DISCOVERY)).toBeLessThanOrEqual(3);
    expect(askedFor('/jwks')).toBe(2);
  });

  it('is read again once, where many users come at the moment of its change', async () => {
    const challenges = await Promise.all(Array.from({ length: 5 }, async () => (await corp.begin()).challenge));
    server.lie({ signs: 'RS256' });
    const users = await Promise.all(challenges.map((challenge) => finish(challenge)));
    expect(users.map(({ subject }) => subject)).toEqual(['42', '42', '42', '42', '42']);
    expect([tokenRequests(), askedFor(DISCOVERY)]).toEqual([5, 1]);
  });

  it('keeps signing users in for an hour while its discovery hangs, and no longer', async () => {
    server.lie({ hangs: (path) => path === DISCOVERY });
    for (const more of [30_000, 30_000, 3_500_000]) {
      now += more;
      await expect(signIn()).resolves.toMatchObject({ subject: '42' });
    }
    expect(askedFor(DISCOVERY)).toBeGreaterThan(0);
    server.lie({ resets: (path) => path === DISCOVERY });
    now += 60_000;
    expect(await rejection(corp.begin())).toMatchObject(UNAVAILABLE);
  });
});
