import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AppError } from '../../src/core/errors.ts';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { ACCOUNT, startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import { startHostileProvider, type HostileProvider, type Lies, type Reply } from '../support/hostile-provider.ts';
import { metric } from '../support/metric.ts';
import type { ClientKey } from '../support/oauth-client.ts';
import { startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

const oauth = (status: number, error: string, more: Partial<Reply> = {}): Reply => ({
  status,
  body: JSON.stringify({ error }),
  ...more,
});
const PAGE: Reply = { status: 403, body: '<!doctype html><h1>Sign in to the Wi-Fi</h1>', type: 'text/html' };
const CHALLENGE = { 'www-authenticate': 'Basic realm="token"' };

/** How providers report an unknown refresh token, other than by `invalid_grant`. */
const REJECTIONS: readonly (readonly [string, Reply])[] = [
  ['400 invalid_request', oauth(400, 'invalid_request')],
  ['400 without a body', { status: 400, body: '' }],
  ['400 without a body or a type', { status: 400, body: '', type: '' }],
  ['400 with JSON that has no error code', { status: 400, body: '{"message":"unknown token"}' }],
  ['400 in plain text', { status: 400, body: 'unknown token', type: 'text/plain' }],
  ['400 invalid_token', oauth(400, 'invalid_token')],
  ['403 with a code of its own', oauth(403, 'user_blocked')],
  ['404 with an OAuth error code', oauth(404, 'invalid_request')],
  ['422 invalid_request', oauth(422, 'invalid_request')],
];

/** Errors that have nothing to do with the user. */
const UNDECIDED: readonly (readonly [string, Reply, string])[] = [
  ['400 invalid_client', oauth(400, 'invalid_client'), 'provider_client_refused'],
  ['401 invalid_client', oauth(401, 'invalid_client'), 'provider_client_refused'],
  [
    '401 invalid_client with a challenge',
    oauth(401, 'invalid_client', { headers: CHALLENGE }),
    'provider_client_refused',
  ],
  ['401 with a challenge alone', { status: 401, body: '', headers: CHALLENGE }, 'provider_client_refused'],
  ['401 in plain text', { status: 401, body: 'no', type: 'text/plain' }, 'provider_client_refused'],
  ['403 unauthorized_client', oauth(403, 'unauthorized_client'), 'provider_client_refused'],
  ['403 access_denied', oauth(403, 'access_denied'), 'provider_error'],
  ['400 unsupported_grant_type', oauth(400, 'unsupported_grant_type'), 'provider_error'],
  ['400 temporarily_unavailable', oauth(400, 'temporarily_unavailable'), 'provider_error'],
  // undici treats it as its own proxy's, and gives no response.
  ['407', { status: 407, body: '' }, 'provider_unreachable'],
  ['408', oauth(408, 'invalid_request'), 'provider_error'],
  ['425', { status: 425, body: '' }, 'provider_answer_invalid'],
  ['429', oauth(429, 'invalid_request'), 'provider_error'],
  ['404 of an unknown address', { status: 404, body: 'page not found', type: 'text/plain' }, 'provider_answer_invalid'],
  ['a page of a firewall', PAGE, 'provider_answer_invalid'],
  ['a page that is called JSON', { ...PAGE, type: 'application/json' }, 'provider_answer_invalid'],
  ['500', oauth(500, 'invalid_request'), 'provider_error'],
  ['503', { status: 503, body: 'later', type: 'text/plain' }, 'provider_answer_invalid'],
];

describe('a provider that responds to a refresh with an error', () => {
  let server: HostileProvider;
  let corp: IdentityProvider;

  beforeEach(async () => {
    server = await startHostileProvider();
    corp = vendor(server.issuer, { type: 'oidc' }, { mapping: { username: 'claims.preferred_username' } });
    await corp.begin();
    server.asked.length = 0;
  });
  afterEach(() => server.close());

  const recheck = (): Promise<AppError> => rejection(corp.recheck('42', 'rt-1'));
  /** One response after the other; the last one stays. */
  const inTurn = (...replies: readonly (Reply | undefined)[]): NonNullable<Lies['token']> => {
    let count = 0;
    return (honest) => replies[Math.min(count++, replies.length - 1)] ?? { status: 200, body: JSON.stringify(honest) };
  };
  const REFUSED = { code: 'sign_in_refused', reason: 'provider_refresh_refused' };

  it.each(REJECTIONS)(
    'rejects the user by %s, at the second time and while the provider works',
    async (_name, reply) => {
      server.lie({ token: () => reply });
      expect(await recheck()).toMatchObject({
        ...REFUSED,
        message: 'Your identity provider no longer confirms your sign-in (corp). Sign in again.',
      });
      expect(server.presented).toEqual(['rt-1', 'rt-1']);
      expect(server.asked).toEqual(['/token', '/.well-known/openid-configuration', '/jwks', '/token']);
    },
  );

  it('rejects the user by invalid_grant at the second time, whatever its discovery says', async () => {
    server.lie({ token: () => oauth(400, 'invalid_grant'), resets: (path) => path !== '/token' });
    expect(await recheck()).toMatchObject(REFUSED);
    expect(server.asked).toEqual(['/token', '/token']);
  });

  it.each(UNDECIDED)('rejects no user by %s', async (_name, reply, reason) => {
    server.lie({ token: () => reply });
    expect(await recheck()).toMatchObject({ code: 'provider_unavailable', reason });
    expect(server.presented).toEqual(['rt-1']);
  });

  const bad = oauth(400, 'invalid_request');
  it.each<readonly [string, Lies]>([
    ['every path is a portal’s page', { portal: PAGE }],
    ['every path is answered with 400', { portal: { status: 400, body: '' } }],
    ['discovery is another’s', { token: () => bad, discovery: (own) => ({ ...own, issuer: 'https://evil.example' }) }],
    ['the keys are a page', { token: () => bad, replies: { '/jwks': { ...PAGE, status: 200 } } }],
    ['the keys are none', { token: () => bad, replies: { '/jwks': { status: 200, body: '{"keys":[]}' } } }],
    ['the keys are unavailable', { token: () => bad, replies: { '/jwks': { status: 503, body: '' } } }],
    ['discovery cannot be reached', { token: () => bad, resets: (path) => path.startsWith('/.well-known/') }],
    [
      'the token endpoint has moved',
      { token: () => bad, discovery: (own) => ({ ...own, token_endpoint: `${String(own['issuer'])}/oauth/token` }) },
    ],
  ])('rejects no user where %s', async (_name, lies) => {
    server.lie(lies);
    expect(await recheck()).toMatchObject({ code: 'provider_unavailable' });
    expect(server.presented.length).toBeLessThan(2);
  });

  it.each<readonly [string, Reply, string]>([
    ['a wrong client', oauth(401, 'invalid_client'), 'provider_client_refused'],
    ['429', oauth(429, 'invalid_request'), 'provider_error'],
    ['503', { status: 503, body: '' }, 'provider_answer_invalid'],
    ['a page', PAGE, 'provider_answer_invalid'],
  ])('rejects no user where the second response is %s', async (_name, second, reason) => {
    server.lie({ token: inTurn(bad, second) });
    expect(await recheck()).toMatchObject({ code: 'provider_unavailable', reason });
    expect(server.presented).toHaveLength(2);
  });

  it('rejects no user where the network breaks before the second response', async () => {
    let tokens = 0;
    server.lie({ token: () => bad, resets: (path) => path === '/token' && ++tokens > 1 });
    expect(await recheck()).toMatchObject({ code: 'provider_unavailable', reason: 'provider_unreachable' });
  });

  it.each(['invalid_request', 'invalid_grant'])(
    'renews the session where the second response after %s is a token',
    async (error) => {
      server.lie({ token: inTurn(oauth(400, error), undefined) });
      await expect(corp.recheck('42', 'rt-1')).resolves.toMatchObject({ subject: '42', refreshToken: 'rt-2' });
    },
  );

  it('is asked the second time with the newest token, where that is not stored yet', async () => {
    await rejection(corp.recheck('42', 'rt-1', () => Promise.reject(new Error('the store is unavailable'))));
    server.lie({ token: () => bad });
    server.presented.length = 0;
    expect(await recheck()).toMatchObject(REFUSED);
    expect(server.presented).toEqual(['rt-2', 'rt-2']);
  });

  // A provider that reports a wrong client secret only by 400, by attack or accident, would sign every user out, one by one.
  it('rejects no more than five users in a row until it has issued a token to a user', async () => {
    server.lie({ token: () => ({ status: 400, body: '' }) });
    const codes: string[] = [];
    for (let user = 0; user < 7; user += 1) codes.push((await recheck()).code);
    expect(codes).toEqual([
      ...Array.from({ length: 5 }, () => 'sign_in_refused'),
      'provider_unavailable',
      'provider_unavailable',
    ]);
    server.lie({});
    await corp.recheck('42', 'rt-1');
    server.lie({ token: () => ({ status: 400, body: '' }) });
    expect(await recheck()).toMatchObject(REFUSED);
  });
});

describe.each(['invalid_request', 'bare'] as const)(
  'a real provider that rejects a refresh token by %s',
  (errorCode) => {
    let idp: VendorIdp;
    beforeEach(async () => {
      idp = await startVendorIdp({ scopes: ['openid', 'offline_access'], claims: { preferred_username: 'alice' } });
      idp.refusesBy = errorCode;
      return () => idp.close();
    });

    it('renews an active user, and rejects a disabled one', async () => {
      const corp = vendor(idp.issuer, { type: 'keycloak' });
      const user = await signIn(idp, corp);
      const next = await corp.recheck(user.subject, user.refreshToken ?? '');
      idp.gone = true;
      expect(await rejection(corp.recheck(user.subject, next.refreshToken ?? ''))).toMatchObject({
        code: 'sign_in_refused',
        reason: 'provider_refresh_refused',
      });
    });
  },
);

describe('a user whom the provider rejects with its own error', () => {
  let instance: HostileInstance;
  beforeAll(async () => {
    instance = await startHostileInstance({ recheck: 1, recheckGrace: 60 });
  });
  beforeEach(() => lie({}));
  afterAll(() => instance.stop());

  const developer: NonNullable<Lies['idToken']> = (honest) => ({ ...honest, groups: ['developers'] });
  const lie = (lies: Lies): void => instance.provider.lie({ idToken: developer, ...lies });
  const reachable = (): Promise<string | undefined> =>
    metric(instance.server, 'portcullis_provider_reachable{provider="demo"}');
  const facts = async (event: string, session: string) =>
    (await instance.events(event)).filter(({ annotations }) => annotations['portcullis.dev/session'] === session);

  it.each([
    ['400 invalid_request', oauth(400, 'invalid_request')],
    ['400 without a body', { status: 400, body: '' }],
  ] as const)('by %s at a refresh is out, is audited by name, and says nothing of its health', async (_name, reply) => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    lie({ token: () => reply });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    const refused = await facts('refresh-refused', session);
    const event = {
      user: { username: 'demo:mallory' },
      annotations: {
        'portcullis.dev/account': ACCOUNT,
        'portcullis.dev/provider': 'demo',
        'portcullis.dev/reason': 'provider_refresh_refused',
      },
    };
    expect(refused).toMatchObject([event]);
    // What is left where the replica dies while it waits for the proof.
    expect(await facts('revocation-begun', session)).toMatchObject([{ ...event, auditID: refused[0]?.auditID }]);
    expect(await reachable()).toBe('1');
  });

  it('while a stream is open ends with it, and is audited by name', async () => {
    const { accessToken, session } = await instance.client.signIn('alice');
    const { cert, key } = instance.client.key as ClientKey;
    const port = Number(new URL(instance.client.endpoints.api).port);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: instance.ca, cert, key });
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'secureConnect');
    const head = `GET /api/v1/namespaces/default/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n`;
    socket.write(`${head}Authorization: Bearer ${accessToken}\r\n\r\n`);
    await once(socket, 'data');
    lie({ token: () => oauth(400, 'invalid_request') });
    await closed;
    await expect
      .poll(() => facts('session-ended', session), { timeout: 10_000 })
      .toMatchObject([
        {
          user: { username: 'demo:mallory' },
          annotations: {
            'portcullis.dev/account': ACCOUNT,
            'portcullis.dev/provider': 'demo',
            'portcullis.dev/reason': 'provider_refresh_refused',
          },
        },
      ]);
    expect(await reachable()).toBe('1');
  });

  it('is not rejected because of our wrong client secret: 503, the session stays, and the provider counts as down', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    lie({ token: () => oauth(401, 'invalid_client', { headers: CHALLENGE }) });
    expect(await instance.client.refresh(refreshToken)).toMatchObject({ status: 503 });
    const named = { 'portcullis.dev/account': ACCOUNT, 'portcullis.dev/provider': 'demo' };
    expect(await facts('refresh-refused', session)).toMatchObject([
      {
        user: { username: 'demo:mallory' },
        annotations: { ...named, 'portcullis.dev/reason': 'provider_client_refused' },
      },
    ]);
    expect(await reachable()).toBe('0');
    lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
    expect(await instance.server.store.sessions.read(session)).toMatchObject({ account: ACCOUNT });
  });
});
