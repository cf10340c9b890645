import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compileMapping } from '../../src/core/identity/claims.ts';
import type { AppError } from '../../src/core/errors.ts';
import { createOidcProvider, type OidcProviderOptions } from '../../src/idp/oidc.ts';
import type { IdentityProvider, SignInChallenge } from '../../src/idp/idp.ts';
import { USERS } from '../../demo/demo.ts';
import { startIdentityProvider, type DemoIdentityProvider } from '../../demo/idp/provider.ts';
import { Visitor } from '../../demo/visitor.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';

const CALLBACK = 'http://127.0.0.1:1/callback/corp';
const HOUR_AGO = (): number => Math.floor(Date.now() / 1000) - 3600;

function provider(
  issuer: string,
  options: { secret?: string; scopes?: readonly string[] } & Pick<OidcProviderOptions, 'log' | 'freshness'> = {
    scopes: ['openid', 'profile', 'groups', 'offline_access'],
  },
): IdentityProvider {
  const mapping = compileMapping({
    name: 'corp',
    usernamePrefix: 'corp:',
    groupsPrefix: 'corp:',
    username: 'claims.preferred_username',
    groups: 'claims.groups',
    extra: {},
    emailVerified: 'claim',
    rules: [],
    userRules: [{ expression: '!user.username.endsWith(":root")', message: 'root may not sign in here' }],
  });
  if (!mapping.ok) throw new Error(JSON.stringify(mapping.reason));
  const { secret, ...rest } = options;
  return createOidcProvider({
    name: 'corp',
    issuer,
    clientId: CLIENT_ID,
    ...(secret === undefined ? {} : { clientSecret: () => secret }),
    hosts: [],
    ...rest,
    redirectUri: CALLBACK,
    mapping: mapping.value,
    clock: { nowMs: Date.now },
  });
}

const rejection = (promise: Promise<unknown>): Promise<AppError> =>
  promise.then(
    () => {
      throw new Error('nothing was rejected');
    },
    (error: AppError) => error,
  );

describe('a real provider', () => {
  let idp: DemoIdentityProvider;
  let corp: IdentityProvider;

  beforeAll(async () => {
    const client = { clientId: CLIENT_ID, clientSecret: 's3cret-of-the-gate', redirectUris: [CALLBACK] };
    idp = await startIdentityProvider({ port: 0, users: USERS, client });
    corp = provider(idp.issuer, {
      secret: client.clientSecret,
      scopes: ['openid', 'profile', 'groups', 'offline_access'],
    });
  });
  afterAll(() => idp.close());

  /** Signs in up to the redirect back to us, where no server listens. */
  async function callbackOf(user: string): Promise<{ callback: URL; challenge: SignInChallenge }> {
    const { url, challenge } = await corp.begin();
    const who = USERS.find(({ name }) => name === user);
    if (who === undefined) throw new Error(`there is no user ${user}`);
    const visitor = new Visitor(who, { stopAt: CALLBACK });
    const page = await visitor.visit(url.href);
    return { callback: new URL(page.url), challenge };
  }

  it('signs a user in with their claims, and returns a refresh token for re-checks', async () => {
    const { callback, challenge } = await callbackOf('alice');
    const signIn = await corp.finish(callback, challenge);
    expect(signIn.subject).toBe('alice');
    expect(signIn.identity).toEqual({
      username: 'corp:alice',
      uid: 'corp/alice',
      groups: ['corp:developers'],
      extra: {},
    });
    expect(signIn.refreshToken).toBeTypeOf('string');
  });

  it('detects at the re-check that groups have changed, and that a user was disabled', async () => {
    const { callback, challenge } = await callbackOf('bob');
    const first = await corp.finish(callback, challenge);
    idp.change('bob', { groups: ['developers'] });
    const second = await corp.recheck('bob', first.refreshToken ?? '');
    expect(second.identity.groups).toEqual(['corp:developers']);
    idp.change('bob', { disabled: true });
    const gone = await rejection(corp.recheck('bob', second.refreshToken ?? first.refreshToken ?? ''));
    expect(gone).toMatchObject({ code: 'sign_in_refused', reason: 'provider_refresh_refused' });
  });

  it('rejects a user whom a rule rejects', async () => {
    const { callback, challenge } = await callbackOf('root');
    expect(await rejection(corp.finish(callback, challenge))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'rule_refused',
      message: 'root may not sign in here',
    });
  });

  it.each([
    ['a state that is not the one we sent', (url: URL) => url.searchParams.set('state', 'other'), 'state_mismatch'],
    [
      'an issuer to which we did not send the user (RFC 9207)',
      (url: URL) => url.searchParams.set('iss', 'https://evil.example'),
      'issuer_foreign',
    ],
    ['no issuer at all', (url: URL) => url.searchParams.delete('iss'), 'issuer_missing'],
    [
      'a code that the provider did not issue',
      (url: URL) => url.searchParams.set('code', 'guessed'),
      'provider_code_refused',
    ],
  ])('rejects a callback with %s', async (_name, spoil, reason) => {
    const { callback, challenge } = await callbackOf('alice');
    spoil(callback);
    expect((await rejection(corp.finish(callback, challenge))).reason).toBe(reason);
  });

  it('returns the time of the authentication, and requests another one where a fresh sign-in is required', async () => {
    const alice = { name: 'alice', password: USERS.find(({ name }) => name === 'alice')?.password ?? '' };
    const { password } = alice;
    const visitor = new Visitor(alice, { stopAt: CALLBACK });
    const first = await corp.begin();
    expect(first.url.searchParams.get('max_age')).toBe('31536000');
    const signIn = await corp.finish(new URL((await visitor.visit(first.url.href)).url), first.challenge);
    expect(signIn.authTime).toBeTypeOf('number');
    // Single sign-on asks for nothing; a fresh sign-in needs the password again.
    alice.password = 'forgotten';
    expect((await visitor.visit((await corp.begin()).url.href)).url).toContain('code=');
    expect((await visitor.visit((await corp.begin({ fresh: true })).url.href)).status).toBe(401);
    alice.password = password;
    const fresh = await corp.begin({ fresh: true });
    expect(fresh.url.searchParams.get('prompt')).toBe('login consent');
    expect(fresh.url.searchParams.get('max_age')).toBe('10');
    expect(fresh.challenge).toMatchObject({ freshSince: expect.any(Number) });
    const proven = await corp.finish(new URL((await visitor.visit(fresh.url.href)).url), fresh.challenge);
    expect(proven.authTime).toBeGreaterThanOrEqual(fresh.challenge.freshSince ?? Number.POSITIVE_INFINITY);
  });

  it('rejects a code that was redeemed before', async () => {
    const { callback, challenge } = await callbackOf('alice');
    await corp.finish(callback, challenge);
    expect(await rejection(corp.finish(callback, challenge))).toMatchObject({ code: 'sign_in_expired' });
  });

  it.each(['access_denied', 'consent_required'])('rejects a user who declined there, and says so: %s', async (code) => {
    const { challenge } = await corp.begin();
    const callback = new URL(
      `${CALLBACK}?error=${code}&state=${challenge.state}&iss=${encodeURIComponent(idp.issuer)}`,
    );
    expect(await rejection(corp.finish(callback, challenge))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'provider_refused',
      // The code is the same for both, so the message names both.
      message: expect.stringMatching(/^You declined at corp, or corp does not let you use this application\./),
    });
  });
});

describe('a provider that cannot be trusted', () => {
  let hostile: HostileProvider;

  beforeEach(async () => {
    hostile = await startHostileProvider();
    return () => hostile.close();
  });

  /** Finishes a sign-in. The provider returns the code as the nonce, so that only the change of the row is wrong. */
  async function finishAgainst(lies: Lies): Promise<unknown> {
    const corp = provider(hostile.issuer);
    const { challenge } = await corp.begin();
    hostile.lie(lies);
    const callback = new URL(CALLBACK);
    callback.search = new URLSearchParams({
      code: challenge.nonce,
      state: challenge.state,
      iss: hostile.issuer,
    }).toString();
    return corp.finish(callback, challenge);
  }

  it('is accepted where everything is correct', async () => {
    await expect(finishAgainst({})).resolves.toMatchObject({ subject: '42' });
  });

  const rows: readonly [string, Lies][] = [
    ['signs with a key that it does not publish', { unknownKey: true }],
    ['returns a nonce that is not ours', { idToken: (honest) => ({ ...honest, nonce: 'other' }) }],
    ['names another issuer in the ID token', { idToken: (honest) => ({ ...honest, iss: 'https://evil.example' }) }],
    ['issues the ID token for another client', { idToken: (honest) => ({ ...honest, aud: 'somebody-else' }) }],
    ['returns another user at UserInfo', { userinfo: () => ({ sub: '43' }) }],
    ['returns no ID token', { token: ({ id_token: _left, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }) }],
    ['responds with HTML', { token: () => ({ status: 200, body: '<html>', type: 'text/html' }) }],
    ['responds with half a JSON document', { token: () => ({ status: 200, body: '{"access_token":' }) }],
    ['responds with 500', { token: () => ({ status: 500, body: 'oops', type: 'text/plain' }) }],
    ['responds with two megabytes', { token: () => ({ status: 200, body: `{"x":"${'x'.repeat(2 * 1024 * 1024)}"}` }) }],
    ['redirects the token request', { redirectTo: 'https://evil.example/' }],
  ];
  it.each(rows)('is unavailable where it %s', async (_name, lies) => {
    expect(await rejection(finishAgainst(lies))).toMatchObject({ code: 'provider_unavailable' });
  });

  it.each([
    ['does not send auth_time', 'auth_time_missing', ({ auth_time: _left, ...rest }: Record<string, unknown>) => rest],
    [
      'sends an auth_time of an hour ago',
      'fresh_sign_in_needed',
      (honest: Record<string, unknown>) => ({ ...honest, auth_time: HOUR_AGO() }),
    ],
  ])('does not count as a fresh sign-in where it %s, but counts as any other', async (_name, reason, idToken) => {
    const corp = provider(hostile.issuer);
    const finish = async (fresh: boolean): Promise<unknown> => {
      const { challenge } = await corp.begin({ fresh });
      hostile.lie({ idToken });
      const callback = new URL(CALLBACK);
      const query = { code: challenge.nonce, state: challenge.state, iss: hostile.issuer };
      callback.search = new URLSearchParams(query).toString();
      return corp.finish(callback, challenge);
    };
    await expect(finish(false)).resolves.toMatchObject({ subject: '42' });
    expect(await rejection(finish(true))).toMatchObject({ code: 'sign_in_refused', reason });
  });

  it.each<[string, NonNullable<Lies['discovery']>, readonly string[]]>([
    [
      'lists claims without auth_time',
      (honest) => ({ ...honest, claims_supported: ['sub'] }),
      ['claims_supported lacks auth_time'],
    ],
    [
      'lists prompts without login',
      (honest) => ({ ...honest, prompt_values_supported: ['none'] }),
      ['prompt_values_supported lacks login'],
    ],
    [
      'lists both',
      (honest) => ({ ...honest, claims_supported: ['auth_time'], prompt_values_supported: ['login'] }),
      [],
    ],
    ['lists neither', ({ claims_supported: _left, ...rest }) => rest, []],
  ])('is named in the log at startup where its discovery document %s', async (_name, discovery, doubts) => {
    const said: object[] = [];
    hostile.lie({ discovery });
    const log = { info: () => undefined, warn: (facts: object) => said.push(facts) };
    await provider(hostile.issuer, { log }).prepare?.();
    const facts = {
      provider: 'corp',
      setting: 'providers[].freshness',
      fails: expect.stringContaining('cannot revoke'),
    };
    const action = expect.stringContaining('portcullis step-up');
    expect(said).toMatchObject(doubts.map((doubt) => ({ ...facts, doubt, action })));
    await provider(hostile.issuer, { log, freshness: 'none' }).prepare?.();
    expect(said).toHaveLength(doubts.length);
  });

  it('is named in the log once where groups that may be several came as one text, and count as one', async () => {
    const said: object[] = [];
    const log = { info: () => undefined, warn: (facts: object) => said.push(facts) };
    const corp = provider(hostile.issuer, { log });
    const groupsOf = async (groups: unknown): Promise<readonly string[]> => {
      hostile.lie({ idToken: (honest) => ({ ...honest, groups }) });
      return (await corp.recheck('42', 'rt-1')).identity.groups;
    };
    for (const harmless of ['dev', ['Domain Users', 'dev; ops'], undefined]) await groupsOf(harmless);
    expect(said).toEqual([]);
    expect(await groupsOf('dev; ops')).toEqual(['corp:dev; ops']);
    await groupsOf('dev,ops');
    expect(said).toEqual([{ provider: 'corp', claim: 'groups', setting: 'providers[].groups' }]);
  });

  it('does not count as a fresh sign-in where auth_time is not a number, and is no outage', async () => {
    const corp = provider(hostile.issuer);
    const { challenge } = await corp.begin({ fresh: true });
    hostile.lie({ idToken: (honest) => ({ ...honest, auth_time: 'now' }) });
    const callback = new URL(CALLBACK);
    const query = { code: challenge.nonce, state: challenge.state, iss: hostile.issuer };
    callback.search = new URLSearchParams(query).toString();
    expect(await rejection(corp.finish(callback, challenge))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'auth_time_malformed',
    });
  });

  const discoveries: readonly [string, string, NonNullable<Lies['discovery']>][] = [
    ['names another issuer', 'discovery_issuer', (honest) => ({ ...honest, issuer: 'https://evil.example' })],
    [
      'has its token endpoint on a foreign host',
      'discovery_host',
      (honest) => ({ ...honest, token_endpoint: 'https://evil.example/token' }),
    ],
    [
      'has its keys at the cloud metadata service',
      'discovery_host',
      (honest) => ({ ...honest, jwks_uri: 'http://169.254.169.254/latest' }),
    ],
    [
      'sends users to a javascript: address',
      'discovery_host',
      (honest) => ({ ...honest, authorization_endpoint: 'javascript:alert(1)' }),
    ],
    ['is not an object', 'provider_answer_invalid', () => 'nonsense'],
    ['lacks the endpoints', 'discovery_incomplete', ({ issuer }) => ({ issuer })],
  ];
  it.each(discoveries)('is not used when its discovery document %s', async (_name, reason, discovery) => {
    hostile.lie({ discovery });
    expect(await rejection(provider(hostile.issuer).begin())).toMatchObject({ code: 'provider_unavailable', reason });
    expect(hostile.asked).toEqual(['/.well-known/openid-configuration']);
  });

  it.each([
    ['neither is listed', undefined, 'openid profile email'],
    ['it lists groups', ['openid', 'groups'], 'openid profile email groups'],
    ['it lists both', ['groups', 'offline_access'], 'openid profile email groups offline_access'],
  ])(
    'gets the scopes groups and offline_access only where it lists them: %s',
    async (_name, scopes_supported, expected) => {
      hostile.lie({ discovery: (honest) => ({ ...honest, scopes_supported }) });
      const { url } = await provider(hostile.issuer, {}).begin();
      expect(url.searchParams.get('scope')).toBe(expected);
      expect(url.searchParams.get('prompt')).toBe(expected.includes('offline_access') ? 'consent' : null);
    },
  );

  it('is called again after a failure, and may be healthy by then', async () => {
    const corp = provider(hostile.issuer);
    hostile.lie({ discovery: () => 'nonsense' });
    await rejection(corp.begin());
    hostile.lie({});
    await expect(corp.begin()).resolves.toBeDefined();
  });

  it('rejects a re-check that returns another subject', async () => {
    hostile.lie({ idToken: ({ nonce: _left, ...rest }) => ({ ...rest, sub: '43' }) });
    expect(await rejection(provider(hostile.issuer).recheck('42', 'rt-1'))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'subject_changed',
    });
  });

  it('is unavailable when it does not respond at a re-check, and no user is rejected', async () => {
    const corp = provider(hostile.issuer);
    await corp.begin();
    hostile.lie({ token: () => ({ status: 503, body: 'later', type: 'text/plain' }) });
    expect(await rejection(corp.recheck('42', 'rt-1'))).toMatchObject({ code: 'provider_unavailable' });
  });
});
