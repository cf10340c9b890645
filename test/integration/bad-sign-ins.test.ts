/**
 * What comes back from a provider and lets nobody in, seen from the gate's own pages: each is a page with a request id, and a line of the
 * record under that id that names the rule.
 */
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import { startHostileInstance, ACCOUNT, type HostileInstance } from '../support/hostile-instance.ts';
import { startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
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

describe('the mix-up attack (RFC 9700 §4.4), by a provider that somebody chose', () => {
  it('that sends them on to the honest one: its code comes to the honest one’s path and goes to nobody', async () => {
    const visit = await open();
    const there = await start(visit, 'evil');
    // What the attacker's page does with what it was asked: the honest one's address, our client there, this trip's state.
    const honest = new URL(`${corp.issuer}/authorize${there.search}`);
    honest.searchParams.set('redirect_uri', `${PUBLIC_URL}/callback/corp`);
    const page = await comeBack(visit, await goThere(honest));
    expect(await outcomeOf(visit, page)).toEqual(refused(403, 'provider_mismatch'));
    expect([redeemed(corp), redeemed(evil)]).toEqual([false, false]);
  });

  it('that brings the honest one’s code to its own path: who answered is not who was asked', async () => {
    const visit = await open();
    const there = await start(visit, 'evil');
    const honest = await goThere(new URL(`${corp.issuer}/authorize${there.search}`));
    expect(honest.pathname).toBe('/callback/evil');
    const page = await comeBack(visit, honest);
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'provider_answer_invalid'));
    expect([redeemed(corp), redeemed(evil)]).toEqual([false, false]);
  });

  it('that answers with the honest one’s ID token for the very nonce that it was asked with', async () => {
    const visit = await open();
    const back = await goThere(await start(visit, 'evil'));
    const form = new URLSearchParams({ code: back.searchParams.get('code') ?? '' });
    const stolen = await (await fetch(`${corp.issuer}/token`, { method: 'POST', body: form })).text();
    evil.lie({ token: () => ({ status: 200, body: stolen }) });
    const page = await comeBack(visit, back);
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'provider_answer_invalid'));
  });

  it('that says in its metadata and its tokens that it is the honest one', async () => {
    evil.lie({
      discovery: (own) => ({ ...own, issuer: corp.issuer }),
      idToken: (own) => ({ ...own, iss: corp.issuer }),
    });
    const visit = await open();
    const page = await visit.browser.get('/login/start?provider=evil&to=me');
    expect(await outcomeOf(visit, page)).toEqual(refused(502, 'provider_answer_invalid'));
  });
});

describe('a way back that is not the one that was begun', () => {
  const ways: readonly (readonly [string, (callback: URL) => void, number, string])[] = [
    [
      'with no issuer, where the metadata says that it is sent',
      (url) => url.searchParams.delete('iss'),
      502,
      'provider_answer_invalid',
    ],
    [
      'with a foreign issuer',
      (url) => url.searchParams.set('iss', 'https://evil.example'),
      502,
      'provider_answer_invalid',
    ],
    [
      'with two issuers',
      (url) => url.searchParams.append('iss', 'https://evil.example'),
      502,
      'provider_answer_invalid',
    ],
    [
      'with the right issuer but for a slash',
      (url) => url.searchParams.set('iss', `${corp.issuer}/`),
      502,
      'provider_answer_invalid',
    ],
    ['with a state of nobody’s', (url) => url.searchParams.set('state', 'guessed'), 400, 'state_unknown'],
    ['without a state', (url) => url.searchParams.delete('state'), 400, 'state_missing'],
    ['with two states', (url) => url.searchParams.append('state', 'guessed'), 400, 'state_missing'],
    ['without a code', (url) => url.searchParams.delete('code'), 502, 'provider_answer_invalid'],
    ['at another provider’s path', (url) => (url.pathname = '/callback/evil'), 403, 'provider_mismatch'],
    ['at the path of no provider', (url) => (url.pathname = '/callback/other'), 403, 'provider_mismatch'],
    [
      'with an error that says the person said no',
      (url) => errorInstead(url, 'access_denied'),
      403,
      'provider_refused',
    ],
    ['with an error of the provider’s own', (url) => errorInstead(url, 'server_error'), 502, 'provider_error'],
  ];
  const errorInstead = (url: URL, error: string): void => {
    url.searchParams.delete('code');
    url.searchParams.set('error', error);
  };
  it.each(ways)('%s', async (_name, spoil, status, reason) => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    spoil(callback);
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(status, reason));
    expect(redeemed(corp)).toBe(false);
  });

  it('a state that was used', async () => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    expect(await landingOf(visit, await comeBack(visit, callback))).toContain('corp:mallory');
    corp.asked.length = 0;
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(400, 'state_unknown', 1));
    expect(redeemed(corp)).toBe(false);
  });

  it('a nonce that was used', async () => {
    const visit = await open();
    const first = await goThere(await start(visit));
    await comeBack(visit, first);
    const second = await goThere(await start(visit));
    // The code is the nonce that the ID token will have.
    second.searchParams.set('code', first.searchParams.get('code') ?? '');
    expect(await outcomeOf(visit, await comeBack(visit, second))).toEqual(refused(502, 'provider_answer_invalid', 1));
  });

  it('a code that was redeemed on an earlier trip, at a real provider', async () => {
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

describe('an answer that is not to be believed', () => {
  const forged =
    (header: object, sign: (input: string) => string): NonNullable<Lies['token']> =>
    (honest) => {
      const input = `${encoded(header)}.${String(honest['id_token']).split('.')[1] ?? ''}`;
      return { status: 200, body: JSON.stringify({ ...honest, id_token: `${input}.${sign(input)}` }) };
    };
  const rows: readonly (readonly [string, (jwks: string) => Lies])[] = [
    ['an ID token with alg none', () => ({ token: forged({ alg: 'none' }, () => '') })],
    [
      'an ID token with HS256 and the public keys as the secret',
      (jwks) => ({
        token: forged({ alg: 'HS256', kid: 'k1' }, (input) =>
          createHmac('sha256', jwks).update(input).digest('base64url'),
        ),
      }),
    ],
    ['an ID token signed with a key that is not published', () => ({ unknownKey: true })],
    ['an ID token for another client', () => ({ idToken: (honest) => ({ ...honest, aud: 'somebody-else' }) })],
    ['an ID token of another issuer', () => ({ idToken: (honest) => ({ ...honest, iss: evil.issuer }) })],
    ['no ID token', () => ({ token: ({ id_token: _none, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }) })],
    ['a UserInfo about somebody else', () => ({ userinfo: () => ({ sub: '43' }) })],
    ['a subject that is a number', () => ({ idToken: (honest) => ({ ...honest, sub: 42 as unknown as string }) })],
  ];
  it.each(rows)('%s', async (_name, lies) => {
    const jwks = await (await fetch(`${corp.issuer}/jwks`)).text();
    const visit = await open();
    const callback = await goThere(await start(visit));
    corp.lie(lies(jwks));
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(502, 'provider_answer_invalid'));
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
      'an error that says that we are not its client',
      { status: 401, body: '{"error":"invalid_client"}' },
      'provider_client_refused',
    ],
    [
      'an error that says that the code is no good',
      { status: 400, body: '{"error":"invalid_grant"}' },
      'provider_code_refused',
    ],
  ])('a token endpoint that answers %s', async (_name, answer, reason) => {
    const visit = await open();
    const callback = await goThere(await start(visit));
    corp.lie({ token: () => answer });
    const status = reason === 'provider_code_refused' ? 400 : 502;
    expect(await outcomeOf(visit, await comeBack(visit, callback))).toEqual(refused(status, reason));
  });
});

describe('claims that nobody is made of', () => {
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
    ['a name with a letter that is not seen', { preferred_username: 'al\u200Bice' }, 'username_characters'],
    ['a name of Kubernetes’ own', { preferred_username: 'system:admin' }, 'username_reserved', bare],
    ['a name of 5 kB', { preferred_username: 'a'.repeat(5000) }, 'username_too_long'],
    ['groups that are null', { groups: null }, 'groups_not_strings'],
    ['groups that are numbers', { groups: [1, 2] }, 'groups_not_strings'],
    ['groups within groups', { groups: [['dev']] }, 'groups_not_strings'],
    ['a group of Kubernetes’ own', { groups: ['system:masters'] }, 'group_reserved', bare],
    ['a group with white space before it', { groups: [' dev'] }, 'group_white_space'],
    ['a group with a control character', { groups: ['dev\u0007'] }, 'group_characters'],
    ['a group that is read from right to left', { groups: ['dev\u2066x'] }, 'group_characters'],
    ['300 kB of groups', groups(20_000), 'groups_too_many'],
    ['a group of 300 kB', { groups: ['g'.repeat(300_000)] }, 'group_too_long'],
    ['groups over which a rule would take many seconds', groups(900), 'expression_too_costly', nested],
    ['more groups than there may be, before a rule goes through them', groups(4000), 'groups_too_many', nested],
    [
      'a claim that a rule cannot be decided by',
      { level: 'high' },
      'rule_error',
      { rules: [{ expression: 'claims.level > 1', message: 'no' }] },
    ],
    [
      'a text over which a pattern of the configuration would never end',
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
    // Nothing of it comes back to the person or goes on the record.
    expect(page.text + JSON.stringify(visit.stage.events)).not.toMatch(
      /\u202E|\u200B|\u2066|Impersonate-Group|system:(?:admin|masters)/,
    );
  });
});

describe('a provider that is only different', () => {
  const rows: readonly [string, Lies, string?, Partial<ClaimsProvider>?][] = [
    ['sends groups as one string', { idToken: (honest) => ({ ...honest, groups: 'dev' }) }, 'corp:dev'],
    ['names its audience in an array', { idToken: (honest) => ({ ...honest, aud: ['gate'] }) }],
    [
      'says nothing of email_verified, and is trusted in that',
      { idToken: (honest) => ({ ...honest, email: 'm@example.com' }) },
      'corp:m@example.com',
      { username: 'claims.email', emailVerified: 'trusted' },
    ],
    ['lists no scopes', { discovery: ({ scopes_supported: _none, ...honest }) => honest }],
    ['lists some of its scopes', { discovery: (honest) => ({ ...honest, scopes_supported: ['openid'] }) }],
    [
      'has access tokens that are nothing to read, and no UserInfo',
      {
        discovery: ({ userinfo_endpoint: _none, ...honest }) => honest,
        token: (honest) => ({ status: 200, body: JSON.stringify({ ...honest, access_token: '~opaque~' }) }),
      },
    ],
    [
      'sends no issuer with its answer, and says so',
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

  it('demands a nonce: there is one, and another at each trip', async () => {
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

  it('whose ID token is about somebody else is refused, and ends the session', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({ idToken: (honest) => ({ ...honest, sub: '43' }) });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(await reasonOf('refresh-refused')).toEqual(['subject_changed', answer.headers['x-request-id']]);
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(400);
  });

  it('with an error that is no OAuth answer refuses nobody: 503, and the session stands', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({ token: () => ({ status: 400, body: '<html>invalid_grant</html>', type: 'text/html' }) });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(await reasonOf('refresh-refused')).toEqual(['provider_answer_invalid', answer.headers['x-request-id']]);
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
    expect(await instance.server.store.sessions.read(session)).toMatchObject({ account: ACCOUNT });
  });

  it('without an ID token is answered by UserInfo', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({
      token: ({ id_token: _none, ...rest }) => ({ status: 200, body: JSON.stringify(rest) }),
      userinfo: () => ({ sub: '42', preferred_username: 'mallory', groups: ['ops'] }),
    });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const record = await instance.server.store.sessions.read(session);
    expect(record?.identity.username).toBe('demo:mallory');
    instance.provider.lie({});
  });
});
