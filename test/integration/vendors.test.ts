import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { createRecheck } from '../../src/oauth/recheck.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { CALLBACK, startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

const NAMED = { username: 'claims.preferred_username' };
const SCOPES = ['openid', 'profile', 'email', 'offline_access'];

/** @see https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/ */
const OKTA = {
  preferred_username: 'alice@example.com',
  email: 'alice@example.com',
  email_verified: true,
  groups: ['dev'],
};
/** @see https://www.keycloak.org/docs/latest/server_admin/#_protocol-mappers */
const KEYCLOAK = {
  preferred_username: 'alice',
  groups: ['/dev'],
  realm_access: { roles: ['offline_access', 'operators'] },
};

describe.each([
  ['okta', OKTA],
  ['keycloak', KEYCLOAK],
] as const)('a provider of type %s, which rotates refresh tokens', (type, claims) => {
  let idp: VendorIdp;
  let corp: IdentityProvider;
  let now: number;
  let store: Store;

  beforeEach(async () => {
    // Okta's own server gives thin ID tokens: groups come at UserInfo.
    idp = await startVendorIdp({
      scopes: SCOPES,
      claims,
      graceUses: 1,
      userInfoOnly: type === 'okta' ? ['groups'] : [],
    });
    corp = vendor(idp.issuer, { type });
    now = Date.now();
    store = createMemoryStore({ clock: { nowMs: () => now } });
  });
  afterEach(() => idp.close());

  const session = async (user: ProviderSignIn): Promise<void> => {
    const seconds = Math.floor(now / 1000);
    const opened = await store.sessions.open(
      {
        id: 's1',
        account: `corp/${user.subject}`,
        provider: 'corp',
        subject: user.subject,
        client: 'portcullis-cli',
        identity: user.identity,
        createdAt: seconds,
        expiresAt: seconds + 3600,
        idleSeconds: 3600,
        address: '192.0.2.1',
        userAgent: 'test',
        startedAt: await store.log.position(),
      },
      { refreshToken: user.refreshToken ?? '' },
    );
    if (!opened.ok) throw new Error(opened.reason);
  };
  const replica = (): ReturnType<typeof createRecheck> =>
    createRecheck({
      sessions: store.sessions,
      providers: new Map([['corp', corp]]),
      workloads: new Set(),
      clock: { nowMs: () => now },
    });

  it('signs a user in with name, groups and a refresh token, and shows no page for consent', async () => {
    const { url } = await corp.begin();
    expect(url.searchParams.get('scope')).toBe('openid profile email offline_access');
    expect(url.searchParams.get('prompt')).toBeNull();
    const user = await signIn(idp, corp);
    expect(user).toMatchObject({
      subject: 'subject-of-alice',
      identity: { username: `corp:${claims.preferred_username}`, groups: [`corp:${claims.groups[0]}`] },
    });
    expect(user.refreshToken).toBeTypeOf('string');
  });

  it('is re-checked again and again with the newest token, and notices a removed group and a disabled user', async () => {
    await session(await signIn(idp, corp));
    for (let count = 0; count < 3; count += 1) expect(await replica()('s1')).toMatchObject({ kind: 'same' });
    idp.claims = { ...claims, groups: [] };
    expect(await replica()('s1')).toMatchObject({ kind: 'changed', record: { identity: { groups: [] } } });
    idp.gone = true;
    expect(await replica()('s1')).toMatchObject({ kind: 'refused', reason: 'provider_refresh_refused' });
  });

  it('does not lose the newest token with what could not be read after it, nor counts that as a re-check', async () => {
    await session(await signIn(idp, corp));
    const before = await store.sessions.readSecret('s1');
    now += 60_000;
    idp.userInfoDown = true;
    await expect(replica()('s1')).rejects.toMatchObject({ code: 'provider_unavailable' });
    const after = await store.sessions.readSecret('s1');
    expect(after?.refreshToken).toBeTypeOf('string');
    expect(after).not.toEqual(before);
    expect(await store.sessions.read('s1')).toMatchObject({ checkedAt: Math.floor((now - 60_000) / 1000) });
    idp.userInfoDown = false;
    expect(await replica()('s1')).toMatchObject({ kind: 'same' });
  });

  it('does not lose the newest token where it could not be stored', async () => {
    const user = await signIn(idp, corp);
    const held = user.refreshToken ?? '';
    const full = (): Promise<void> => Promise.reject(new Error('the store is unavailable'));
    for (let count = 0; count < 3; count += 1) {
      await expect(corp.recheck(user.subject, held, full)).rejects.toThrow('the store is unavailable');
    }
    const kept: string[] = [];
    await corp.recheck(user.subject, held, async (newest) => void kept.push(newest));
    await expect(corp.recheck(user.subject, kept[0] ?? '')).resolves.toMatchObject({ subject: user.subject });
  });

  it('is asked again immediately where its response was lost, while it still accepts the old token', async () => {
    await session(await signIn(idp, corp));
    idp.losing = 1;
    expect(await replica()('s1')).toMatchObject({ kind: 'same' });
    expect(idp.asked.filter((path) => path === '/token')).toHaveLength(3);
    expect(await replica()('s1')).toMatchObject({ kind: 'same' });
  });

  it('is not asked a third time, and no user is rejected because of it', async () => {
    await session(await signIn(idp, corp));
    idp.losing = 2;
    await expect(replica()('s1')).rejects.toMatchObject({
      code: 'provider_unavailable',
      reason: 'provider_unreachable',
    });
    expect(idp.asked.filter((path) => path === '/token')).toHaveLength(3);
  });
});

describe('what vendors’ claims can be made of', () => {
  it.each([
    ['Keycloak’s realm roles', 'claims.realm_access.roles.filter(r, r != "offline_access")', ['corp:operators']],
    [
      'roles and groups',
      'claims.groups + claims.realm_access.roles',
      ['corp:/dev', 'corp:offline_access', 'corp:operators'],
    ],
  ])('%s', async (_name, groups, expected) => {
    const idp = await startVendorIdp({ scopes: SCOPES, claims: KEYCLOAK });
    try {
      const user = await signIn(idp, vendor(idp.issuer, { type: 'keycloak' }, { mapping: { groups } }));
      expect(user.identity.groups).toEqual(expected);
    } finally {
      await idp.close();
    }
  });
});

describe('a server that is not like the others', () => {
  let server: HostileProvider;

  beforeEach(async () => {
    server = await startHostileProvider();
  });
  afterEach(() => server.close());

  const claims =
    (more: Record<string, unknown>): NonNullable<Lies['idToken']> =>
    (honest) => ({ ...honest, ...more });

  async function finish(
    lies: Lies,
    issuer = server.issuer,
    mapping: Partial<ClaimsProvider> = {},
  ): Promise<ProviderSignIn> {
    server.lie(lies);
    const corp = vendor(issuer, { type: 'oidc' }, { mapping: { ...NAMED, ...mapping } });
    const { challenge } = await corp.begin();
    const callback = new URL(CALLBACK);
    callback.search = new URLSearchParams({ code: challenge.nonce, state: challenge.state, iss: issuer }).toString();
    return corp.finish(callback, challenge);
  }

  it('has rotated its keys: the new one counts at once, and the old one no longer after half a minute', async () => {
    let now = Date.now();
    const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED, clock: { nowMs: () => now } });
    const finished = async (): Promise<unknown> => {
      const { challenge } = await corp.begin();
      const query = { code: challenge.nonce, state: challenge.state, iss: server.issuer };
      return corp.finish(new URL(`${CALLBACK}?${new URLSearchParams(query).toString()}`), challenge);
    };
    const askedForKeys = (): number => server.asked.filter((path) => path === '/jwks').length;
    await finished();
    server.lie({ rotated: true, unknownKey: true });
    await expect(finished()).resolves.toMatchObject({ subject: '42' });
    expect(askedForKeys()).toBe(2);
    server.lie({ rotated: true });
    // Unknown keys do not cost a request each.
    for (let count = 0; count < 5; count += 1)
      expect(await rejection(finished())).toMatchObject({ code: 'provider_unavailable' });
    expect(askedForKeys()).toBe(2);
    server.lie({ unknownKey: true });
    now += 30_000;
    expect(await rejection(finished())).toMatchObject({ code: 'provider_unavailable' });
  });

  it('is not trusted for longer when the clock is set back: a key that was removed is no longer valid', async () => {
    let now = Date.now();
    const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED, clock: { nowMs: () => now } });
    const rechecked = (): Promise<unknown> => corp.recheck('42', 'rt-1');
    await rechecked();
    now -= 3_600_000;
    // Else the provider would be an hour ahead.
    const idToken: Lies['idToken'] = (honest) => ({ ...honest, iat: Number(honest.iat) - 3600 });
    server.lie({ rotated: true, idToken });
    expect(await rejection(rechecked())).toMatchObject({ code: 'provider_unavailable' });
    server.lie({ rotated: true, unknownKey: true, idToken });
    await expect(rechecked()).resolves.toMatchObject({ subject: '42' });
    // The third is because of the key.
    expect(server.asked.filter((path) => path.startsWith('/.well-known/'))).toHaveLength(3);
  });

  // @see https://auth0.com/docs/get-started/applications/configure-applications-with-oidc-discovery
  it('may have an issuer that ends in a slash', async () => {
    const issuer = `${server.issuer}/`;
    const user = await finish(
      { discovery: (honest) => ({ ...honest, issuer }), idToken: claims({ iss: issuer }) },
      issuer,
    );
    expect(user.identity.username).toBe('corp:mallory');
    expect(server.asked).toContain('/.well-known/openid-configuration');
  });

  it('is not trusted where only a slash distinguishes its issuer from the configured one', async () => {
    const error = await rejection(finish({ idToken: claims({ iss: `${server.issuer}/` }) }));
    expect(error).toMatchObject({ code: 'provider_unavailable' });
  });

  it('may name its audience in an array, but not another client there as the authorized party', async () => {
    await expect(finish({ idToken: claims({ aud: [CLIENT_ID] }) })).resolves.toMatchObject({ subject: '42' });
    await expect(finish({ idToken: claims({ aud: [CLIENT_ID, 'api'], azp: CLIENT_ID }) })).resolves.toMatchObject({
      subject: '42',
    });
    for (const more of [{ aud: ['api'] }, { aud: [CLIENT_ID, 'api'], azp: 'api' }, { aud: [CLIENT_ID, 'api'] }]) {
      expect(await rejection(finish({ idToken: claims(more) }))).toMatchObject({ code: 'provider_unavailable' });
    }
  });

  it('may send one group as a string, or several in one for an expression to split', async () => {
    expect((await finish({ idToken: claims({ groups: 'dev' }) })).identity.groups).toEqual(['corp:dev']);
    const split = { groups: 'claims.groups.split(" ")' };
    const several = await finish({ idToken: claims({ groups: 'dev ops' }) }, undefined, split);
    expect(several.identity.groups).toEqual(['corp:dev', 'corp:ops']);
  });

  it('may omit whether an address is verified, and is trusted in that only where it states it', async () => {
    const lies = { idToken: claims({ email: 'alice@example.com' }) };
    const mapping = { username: 'claims.email' };
    expect(await rejection(finish(lies, undefined, mapping))).toMatchObject({
      reason: 'email_verification_unknown',
    });
    const trusted = await finish(lies, undefined, { ...mapping, emailVerified: 'trusted' });
    expect(trusted.identity.username).toBe('corp:alice@example.com');
  });

  it('may return no ID token at a refresh: then UserInfo identifies the user', async () => {
    const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
    const token: Lies['token'] = ({ id_token: _left, ...rest }) => ({ status: 200, body: JSON.stringify(rest) });
    const told = { sub: '42', preferred_username: 'alice', groups: ['dev'] };
    server.lie({ token, userinfo: () => told });
    const user = await corp.recheck('42', 'rt-1');
    expect(user.identity).toMatchObject({ username: 'corp:alice', groups: ['corp:dev'] });
    server.lie({ token, userinfo: () => ({ ...told, sub: '43' }) });
    expect(await rejection(corp.recheck('42', 'rt-1'))).toMatchObject({ code: 'provider_unavailable' });
    // Nothing identifies the user.
    server.lie({ token, discovery: ({ userinfo_endpoint: _none, ...rest }) => rest });
    const without = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
    expect(await rejection(without.recheck('42', 'rt-1'))).toMatchObject({ reason: 'provider_answer_incomplete' });
  });

  it('does not lose a refresh token that comes with an ID token that is rejected', async () => {
    const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
    server.lie({ idToken: claims({ aud: ['api'] }) });
    const kept: string[] = [];
    const asked = corp.recheck('42', 'rt-1', async (newest) => void kept.push(newest));
    expect(await rejection(asked)).toMatchObject({ code: 'provider_unavailable' });
    expect(kept).toEqual(['rt-2']);
  });

  it('may rotate now and then: a refresh token that waits to be stored is not lost by a response without one', async () => {
    const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
    await expect(
      corp.recheck('42', 'rt-1', () => Promise.reject(new Error('the store is unavailable'))),
    ).rejects.toThrow('the store is unavailable');
    server.lie({ token: ({ refresh_token: _left, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }) });
    const kept: string[] = [];
    const user = await corp.recheck('42', 'rt-1', async (newest) => void kept.push(newest));
    expect(kept).toEqual(['rt-2']);
    expect(user.refreshToken).toBe('rt-2');
  });

  // @see https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors
  // @see https://auth0.com/docs/secure/multi-factor-authentication/step-up-authentication
  it.each(['invalid_grant', 'interaction_required', 'consent_required', 'login_required', 'mfa_required'])(
    'rejects a user at a re-check by %s: only the user can resolve that, at its page',
    async (error) => {
      const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
      server.lie({ token: () => ({ status: 400, body: JSON.stringify({ error }) }) });
      expect(await rejection(corp.recheck('42', 'rt-1'))).toMatchObject({
        code: 'sign_in_refused',
        reason: 'provider_refresh_refused',
      });
    },
  );

  it.each(['interaction_required', 'consent_required'])(
    'rejects a user by %s where it sends that only when the code is redeemed',
    async (error) => {
      const token: Lies['token'] = () => ({ status: 400, body: JSON.stringify({ error }) });
      expect(await rejection(finish({ token }))).toMatchObject({ code: 'sign_in_refused', reason: 'provider_refused' });
    },
  );

  // Auth0 uses it for a wrong client secret too: https://auth0.com/docs/api/authentication/errors
  it.each(['access_denied', 'temporarily_unavailable', 'unauthorized_client', 'invalid_client'])(
    'rejects no user at a re-check by %s',
    async (error) => {
      const corp = vendor(server.issuer, { type: 'oidc' }, { mapping: NAMED });
      server.lie({ token: () => ({ status: 400, body: JSON.stringify({ error }) }) });
      expect(await rejection(corp.recheck('42', 'rt-1'))).toMatchObject({ code: 'provider_unavailable' });
    },
  );

  it.each([
    ['HTML', { status: 400, body: '<html>invalid_grant</html>', type: 'text/html' }],
    ['a redirect to its login page', { status: 302, body: '' }],
  ])('rejects no user at a re-check by an error that is %s', async (_name, answer) => {
    const corp = vendor(server.issuer, { type: 'oidc' });
    server.lie({ token: () => answer });
    expect(await rejection(corp.recheck('42', 'rt-1'))).toMatchObject({ code: 'provider_unavailable' });
  });

  it.each([
    ['okta', [], 'openid profile email offline_access'],
    ['okta', ['groups'], 'openid profile email offline_access groups'],
    ['keycloak', ['groups'], 'openid profile email offline_access'],
  ] as const)(
    'of type %s is asked for what it has although it lists %j only',
    async (type, scopes_supported, expected) => {
      server.lie({ discovery: (honest) => ({ ...honest, scopes_supported }) });
      const { url } = await vendor(server.issuer, { type }).begin();
      expect(url.searchParams.get('scope')).toBe(expected);
    },
  );
});
