/**
 * Callbacks and responses of a provider that sign no user in, as our pages show them: each is a page with a request id, and an audit event
 * with that id that names the rule.
 */
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import { startHostileInstance, ACCOUNT, type HostileInstance } from '../support/hostile-instance.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import {
  comeBack,
  landingOf,
  outcomeOf,
  refused,
  goThere,
  openPages,
  start,
  type Visit,
} from '../support/two-providers.ts';
import { startVendorIdp } from '../support/vendor-idp.ts';
import { closeStages, PUBLIC_URL } from '../unit/web/harness.ts';

let corp: HostileProvider;
let evil: HostileProvider;

beforeAll(async () => {
  [corp, evil] = await Promise.all([startHostileProvider(), startHostileProvider()]);
});
beforeEach(() => {
  for (const server of [corp, evil]) {
    server.lie({});
    server.asked.length = 0;
  }
});
afterEach(closeStages);
afterAll(() => Promise.all([corp.close(), evil.close()]));

const open = (mapping: Partial<ClaimsProvider> = {}): Promise<Visit> =>
  openPages({ corp: corp.issuer, evil: evil.issuer }, mapping);
const redeemed = ({ asked }: HostileProvider): boolean => asked.includes('/token');
const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('the mix-up attack (RFC 9700 §4.4) by a malicious provider that the user chose', () => {
  it('that redirects the user to the honest provider is rejected: the code arrives at the honest path and is not redeemed', async () => {
    const visit = await open();
    const there = await start(visit, 'evil');
    // The attacker's page redirects to the honest provider, with our client there and the state of this login transaction.
    const honest = new URL(`${corp.issuer}/authorize${there.search}`);
    honest.searchParams.set('redirect_uri', `${PUBLIC_URL}/callback/corp`);
    const page = await comeBack(visit, await goThere(honest));
    expect(await outcomeOf(visit, page)).toEqual(refused(403, 'provider_mismatch'));
    expect([redeemed(corp), redeemed(evil)]).toEqual([false, false]);
  });

  it('that brings the code of the honest provider to its own path is rejected: the issuer is not the one that was asked', async () => {
    const visit = await open();
    const there = await start(visit, 'evil');
    const honest = await goThere(new URL(`${corp.issuer}/authorize${there.search}`));
    expect(honest.pathname).toBe('/callback/evil');
    const page = await comeBack(visit, honest);
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'issuer_foreign'));
    expect([redeemed(corp), redeemed(evil)]).toEqual([false, false]);
  });

  it('that responds with an ID token of the honest provider for the same nonce is rejected', async () => {
    const visit = await open();
    const back = await goThere(await start(visit, 'evil'));
    const form = new URLSearchParams({ code: back.searchParams.get('code') ?? '' });
    const stolen = await (await fetch(`${corp.issuer}/token`, { method: 'POST', body: form })).text();
    evil.lie({ token: () => ({ status: 200, body: stolen }) });
    const page = await comeBack(visit, back);
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'id_token_issuer'));
  });

  it('that claims the issuer of the honest provider in its metadata and its tokens is rejected', async () => {
    evil.lie({
      discovery: (own) => ({ ...own, issuer: corp.issuer }),
      idToken: (own) => ({ ...own, iss: corp.issuer }),
    });
    const visit = await open();
    const page = await visit.browser.get('/login/start?provider=evil&to=me');
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'discovery_issuer'));
  });
});

describe('a callback that does not belong to the login transaction is rejected', () => {
  const callbacks: readonly (readonly [string, (callback: URL) => void, number, string])[] = [
    [
      'without an issuer, although the metadata announces one',
      (url) => url.searchParams.delete('iss'),
      502,
      'issuer_missing',
    ],
    ['with a foreign issuer', (url) => url.searchParams.set('iss', 'https://evil.example'), 502, 'issuer_foreign'],
    [
      'with two issuers',
      (url) => url.searchParams.append('iss', 'https://evil.example'),
      502,
      'provider_answer_invalid',
    ],
    [
      'with the right issuer and an extra slash',
      (url) => url.searchParams.set('iss', `${corp.issuer}/`),
      502,
      'issuer_foreign',
    ],
    ['with an unknown state', (url) => url.searchParams.set('state', 'guessed'), 400, 'state_unknown'],
    ['without a state', (url) => url.searchParams.delete('state'), 400, 'state_missing'],
    ['with two states', (url) => url.searchParams.append('state', 'guessed'), 400, 'state_missing'],
    ['without a code', (url) => url.searchParams.delete('code'), 502, 'code_missing'],
    ['at another provider’s path', (url) => (url.pathname = '/callback/evil'), 403, 'provider_mismatch'],
    ['at the path of no provider', (url) => (url.pathname = '/callback/other'), 403, 'provider_mismatch'],
    ['with an error because the user declined', (url) => errorInstead(url, 'access_denied'), 403, 'provider_refused'],
    ['with an error in the provider itself', (url) => errorInstead(url, 'server_error'), 502, 'provider_error'],
  ];
  const errorInstead = (url: URL, error: string): void => {
    url.searchParams.delete('code');
    url.searchParams.set('error', error);
  };
  it.each(callbacks)('%s', async (_name, spoil, status, reason) => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    spoil(callback);
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(status, reason));
    expect(redeemed(corp)).toBe(false);
  });

  it('with a state that was used', async () => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    expect(await landingOf(visit, await comeBack(visit, callback))).toContain('corp:mallory');
    corp.asked.length = 0;
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(400, 'state_unknown', 1));
    expect(redeemed(corp)).toBe(false);
  });

  it('with the code of a nonce that was used', async () => {
    const visit = await open();
    const first = await goThere(await start(visit));
    await comeBack(visit, first);
    const second = await goThere(await start(visit));
    // The code is the nonce that the ID token will have.
    second.searchParams.set('code', first.searchParams.get('code') ?? '');
    expect(await outcomeOf(visit, await comeBack(visit, second))).toEqual(refused(502, 'id_token_nonce', 1));
  });

  it('with a code that was redeemed in an earlier login transaction, at a real provider', async () => {
    const callback = `${PUBLIC_URL}/callback/corp`;
    const claims = { preferred_username: 'alice' };
    const idp = await startVendorIdp({ scopes: ['openid', 'profile', 'email'], claims, callback });
    try {
      const visit = await openPages({ corp: idp.issuer });
      const first = await idp.visit(await start(visit));
      expect(await landingOf(visit, await comeBack(visit, first))).toContain('corp:alice');
      const second = await idp.visit(await start(visit));
      second.searchParams.set('code', first.searchParams.get('code') ?? '');
      expect(await outcomeOf(visit, await comeBack(visit, second))).toEqual(refused(400, 'provider_code_refused', 1));
    } finally {
      await idp.close();
    }
  });
});

describe('a response that cannot be trusted is rejected', () => {
  const forged =
    (header: object, sign: (input: string) => string): NonNullable<Lies['token']> =>
    (honest) => {
      const input = `${encoded(header)}.${String(honest['id_token']).split('.')[1] ?? ''}`;
      return { status: 200, body: JSON.stringify({ ...honest, id_token: `${input}.${sign(input)}` }) };
    };
  const signedUserInfo = `${encoded({ alg: 'ES256', kid: 'k1' })}.${encoded({ sub: '42' })}.${'A'.repeat(86)}`;
  const rows: readonly (readonly [string, string, (jwks: string) => Lies])[] = [
    ['an ID token with alg none', 'id_token_algorithm', () => ({ token: forged({ alg: 'none' }, () => '') })],
    [
      'an ID token with HS256 and the public keys as the secret',
      'id_token_algorithm',
      (jwks) => ({
        token: forged({ alg: 'HS256', kid: 'k1' }, (input) =>
          createHmac('sha256', jwks).update(input).digest('base64url'),
        ),
      }),
    ],
    ['an ID token signed with a key that is not published', 'id_token_key_unknown', () => ({ unknownKey: true })],
    [
      'an ID token whose signature was changed',
      'id_token_signature',
      () => ({ token: forged({ alg: 'ES256', kid: 'k1' }, () => 'A'.repeat(86)) }),
    ],
    [
      'an ID token for another client',
      'id_token_audience',
      () => ({ idToken: (honest) => ({ ...honest, aud: 'somebody-else' }) }),
    ],
    [
      'an ID token of another issuer',
      'id_token_issuer',
      () => ({ idToken: (honest) => ({ ...honest, iss: evil.issuer }) }),
    ],
    [
      'no ID token',
      'id_token_missing',
      () => ({ token: ({ id_token: _none, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }) }),
    ],
    ['a UserInfo response about another user', 'userinfo_subject', () => ({ userinfo: () => ({ sub: '43' }) })],
    [
      'a signed UserInfo response that its discovery does not announce',
      'userinfo_invalid',
      () => ({ replies: { '/userinfo': { status: 200, type: 'application/jwt', body: signedUserInfo } } }),
    ],
    [
      'a subject that is a number',
      'id_token_malformed',
      () => ({ idToken: (honest) => ({ ...honest, sub: 42 as unknown as string }) }),
    ],
  ];
  it.each(rows)('%s', async (_name, reason, lies) => {
    const jwks = await (await fetch(`${corp.issuer}/jwks`)).text();
    const visit = await open();
    const callback = await goThere(await start(visit));
    corp.lie(lies(jwks));
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(502, reason));
  });

  it.each([
    ['HTML', { status: 200, body: '<html>', type: 'text/html' }, 'provider_answer_invalid'],
    [
      'an error that is HTML',
      { status: 400, body: '<h1>Bad Request</h1>', type: 'text/html' },
      'provider_answer_invalid',
    ],
    ['an error that is JSON of another kind', { status: 400, body: '{"message":"no"}' }, 'provider_answer_invalid'],
    ['an error that is empty', { status: 500, body: '' }, 'provider_answer_invalid'],
    [
      'an error that rejects our client',
      { status: 401, body: '{"error":"invalid_client"}' },
      'provider_client_refused',
    ],
    ['an error that rejects the code', { status: 400, body: '{"error":"invalid_grant"}' }, 'provider_code_refused'],
  ])('a token endpoint that returns %s', async (_name, response, reason) => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    corp.lie({ token: () => response });
    const status = reason === 'provider_code_refused' ? 400 : 502;
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(status, reason));
  });
});

describe('claims that sign no user in', () => {
  const bare = { usernamePrefix: '', groupsPrefix: '' };
  const groups = (count: number) => ({ groups: Array.from({ length: count }, (_, index) => `group-${index}`) });
  const costly = 'claims.groups.exists(g, claims.groups.exists(h, g == h + "x")) || true';
  const nested = { rules: [{ expression: costly, message: 'no' }] };
  const rows: readonly [string, Record<string, unknown>, string, Partial<ClaimsProvider>?][] = [
    ['a name that is null', { preferred_username: null }, 'username_not_string'],
    ['a name that is a number', { preferred_username: 7 }, 'username_not_string'],
    ['names in an array', { preferred_username: ['alice'] }, 'username_not_string'],
    ['a name that is empty', { preferred_username: '' }, 'username_empty'],
    ['a name with white space at its end', { preferred_username: 'alice ' }, 'username_white_space'],
    ['a name with a line break', { preferred_username: 'a\r\nImpersonate-Group: b' }, 'username_characters'],
    ['a name that is read from right to left', { preferred_username: 'a\u202Ebob' }, 'username_characters'],
    ['a name with an invisible letter', { preferred_username: 'al\u200Bice' }, 'username_characters'],
    ['a name that Kubernetes reserves', { preferred_username: 'system:admin' }, 'username_reserved', bare],
    ['a name of 5 kB', { preferred_username: 'a'.repeat(5000) }, 'username_too_long'],
    ['groups that are null', { groups: null }, 'groups_not_strings'],
    ['groups that are numbers', { groups: [1, 2] }, 'groups_not_strings'],
    ['groups within groups', { groups: [['dev']] }, 'groups_not_strings'],
    ['a group that Kubernetes reserves', { groups: ['system:masters'] }, 'group_reserved', bare],
    ['a group with white space before it', { groups: [' dev'] }, 'group_white_space'],
    ['a group with a control character', { groups: ['dev\u0007'] }, 'group_characters'],
    ['a group that is read from right to left', { groups: ['dev\u2066x'] }, 'group_characters'],
    ['300 kB of groups', groups(20_000), 'groups_too_many'],
    ['a group of 300 kB', { groups: ['g'.repeat(300_000)] }, 'group_too_long'],
    ['groups over which a rule would take many seconds', groups(900), 'expression_too_costly', nested],
    ['more groups than there may be, before a rule goes through them', groups(4000), 'groups_too_many', nested],
    [
      'a claim of a type that a rule cannot evaluate',
      { level: 'high' },
      'rule_error',
      { rules: [{ expression: 'claims.level > 1', message: 'no' }] },
    ],
    [
      'a text on which a pattern of the configuration would run forever',
      { preferred_username: `${'a'.repeat(400)}!` },
      'rule_refused',
      { rules: [{ expression: 'claims.preferred_username.matches("^(a+)+$")', message: 'no' }] },
    ],
  ];
  it.each(rows)('%s', async (_name, claims, reason, mapping) => {
    const visit = await open(mapping);
    const callback = await goThere(await start(visit));
    corp.lie({ idToken: (honest) => ({ ...honest, ...claims }) });
    const page = await comeBack(visit, callback);
    expect(await outcomeOf(visit, page)).toEqual(refused(403, reason));
    // None of the claims is shown to the user or written to the audit log.
    expect(page.text + JSON.stringify(visit.stage.events)).not.toMatch(
      /\u202E|\u200B|\u2066|Impersonate-Group|system:(?:admin|masters)/,
    );
  });
});

describe('a provider that is unusual but honest is accepted when it', () => {
  const rows: readonly [string, Lies, string?, Partial<ClaimsProvider>?][] = [
    ['sends groups as one string', { idToken: (honest) => ({ ...honest, groups: 'dev' }) }, 'corp:dev'],
    ['names its audience in an array', { idToken: (honest) => ({ ...honest, aud: [CLIENT_ID] }) }],
    [
      'sends no email_verified, and is configured as trusted',
      { idToken: (honest) => ({ ...honest, email: 'm@example.com' }) },
      'corp:m@example.com',
      { username: 'claims.email', emailVerified: 'trusted' },
    ],
    ['lists no scopes', { discovery: ({ scopes_supported: _none, ...honest }) => honest }],
    ['lists some of its scopes', { discovery: (honest) => ({ ...honest, scopes_supported: ['openid'] }) }],
    [
      'has opaque access tokens, and no UserInfo',
      {
        discovery: ({ userinfo_endpoint: _none, ...honest }) => honest,
        token: (honest) => ({ status: 200, body: JSON.stringify({ ...honest, access_token: '~opaque~' }) }),
      },
    ],
    [
      'sends no issuer with its response, as its metadata announces',
      { discovery: ({ authorization_response_iss_parameter_supported: _none, ...honest }) => honest },
    ],
    [
      'gives no refresh token',
      { token: ({ refresh_token: _none, ...honest }) => ({ status: 200, body: JSON.stringify(honest) }) },
    ],
  ];
  it.each(rows)('%s', async (name, lies, shown = 'corp:mallory', mapping = {}) => {
    corp.lie(lies);
    const visit = await open(mapping);
    const callback = await goThere(await start(visit));
    if (name.startsWith('sends no issuer')) callback.searchParams.delete('iss');
    expect(await landingOf(visit, await comeBack(visit, callback))).toContain(shown);
  });

  it('has an issuer that ends in a slash', async () => {
    const issuer = `${corp.issuer}/`;
    corp.lie({ discovery: (honest) => ({ ...honest, issuer }), idToken: (honest) => ({ ...honest, iss: issuer }) });
    const visit = await openPages({ corp: issuer });
    const callback = await goThere(await start(visit));
    callback.searchParams.set('iss', issuer);
    expect(await landingOf(visit, await comeBack(visit, callback))).toContain('corp:mallory');
  });

  it('demands a nonce: each login transaction has its own', async () => {
    const visit = await open();
    const nonces = [await start(visit), await start(visit)].map((url) => url.searchParams.get('nonce') ?? '');
    expect(new Set(nonces).size).toBe(2);
    for (const nonce of nonces) expect(nonce.length).toBeGreaterThanOrEqual(32);
  });
});

describe('a refresh', () => {
  let instance: HostileInstance;
  beforeAll(async () => {
    instance = await startHostileInstance();
  });
  afterAll(() => instance.stop());

  const reasonOf = async (name: string): Promise<readonly [string | undefined, string | undefined]> => {
    const event = (await instance.events(name)).at(-1);
    return [event?.annotations['portcullis.dev/reason'], event?.auditID];
  };

  it('whose ID token is about another user is rejected, and ends the session', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({ idToken: (honest) => ({ ...honest, sub: '43' }) });
    const response = await instance.client.refresh(refreshToken);
    expect(response).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(await reasonOf('refresh-refused')).toEqual(['subject_changed', response.headers['x-request-id']]);
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(400);
  });

  it('that gets an error other than an OAuth error returns 503, and the session goes on', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({ token: () => ({ status: 400, body: '<html>invalid_grant</html>', type: 'text/html' }) });
    const response = await instance.client.refresh(refreshToken);
    expect(response).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(await reasonOf('refresh-refused')).toEqual(['provider_answer_invalid', response.headers['x-request-id']]);
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
    expect(await instance.server.store.sessions.read(session)).toMatchObject({ account: ACCOUNT });
  });

  it('without an ID token uses UserInfo', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({
      token: ({ id_token: _none, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }),
      userinfo: () => ({ sub: '42', preferred_username: 'mallory', groups: ['ops'] }),
    });
    const response = await instance.client.refresh(refreshToken);
    expect(response.status, JSON.stringify(response.body)).toBe(200);
    const record = await instance.server.store.sessions.read(session);
    expect(record?.identity.username).toBe('demo:mallory');
    instance.provider.lie({});
  });
});
