import { createHmac, randomUUID } from 'node:crypto';
import { generateKeyPair, UnsecuredJWT } from 'jose';
import type { JWTPayload } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import { call, claimsOf, sign, signIn, startPlane, until } from '../support/data-plane.ts';
import type { CallOptions, TestUser, TestPlane } from '../support/data-plane.ts';

const PODS = '/api/v1/namespaces/default/pods';
const LOGIN = 'run `portcullis login --server https://portcullis.test`';
const KEYLESS =
  'this client did not present the certificate of its exec plugin; use `portcullis proxy`, or a client that presents it, such as kubectl';
const GENERIC = `no valid credential for this cluster: ${LOGIN}`;

describe('a credential that is not valid', () => {
  let plane: TestPlane;
  let alice: TestUser;
  let mallory: TestUser;
  let claims: JWTPayload;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
    mallory = await signIn(plane, { subject: 'mallory' });
    claims = claimsOf(alice.session, alice.thumbprint, await plane.store.log.position());
  });
  beforeEach(() => {
    plane.audited.length = 0;
  });
  afterAll(() => plane.close());

  const without = (...names: string[]): JWTPayload =>
    Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
  const seconds = (): number => Math.floor(Date.now() / 1000);
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

  /** HS256 with what is public of our key as the secret: the classic confusion of algorithms. */
  const hs256 = (): string => {
    const head = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: 'k1' })}.${encode(claims)}`;
    return `${head}.${createHmac('sha256', 'public').update(head).digest('base64url')}`;
  };

  const mine = (options: CallOptions = {}): CallOptions => options;
  const cases: readonly [string, string, () => Promise<CallOptions> | CallOptions][] = [
    ['no token', 'no_token', () => mine({ token: null })],
    ['a word', 'malformed_token', () => mine({ token: 'word' })],
    [
      'another scheme',
      'authorization_not_bearer',
      () => mine({ token: null, headers: { authorization: 'Basic YTpi' } }),
    ],
    [
      'expired',
      'token_expired',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, exp: seconds() - 1 }) }),
    ],
    [
      'of a foreign key',
      'foreign_token',
      async () => mine({ token: await sign((await generateKeyPair('ES256')).privateKey, claims) }),
    ],
    [
      'alg none',
      'foreign_token',
      () => mine({ token: new UnsecuredJWT(claims).setIssuer('https://portcullis.test').encode() }),
    ],
    ['HS256', 'foreign_token', () => mine({ token: hs256() })],
    ['an ID token', 'foreign_token', async () => mine({ token: await sign(plane.signingKey, claims, { typ: 'JWT' }) })],
    [
      'an ID token that calls itself an access token',
      'foreign_token',
      async () => mine({ token: await sign(plane.signingKey, without('client_id', 'ep', 'ln')) }),
    ],
    ['a refresh token', 'malformed_token', () => mine({ token: 'R3fr35h_opaque-token_value' })],
    [
      'of another issuer',
      'foreign_token',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, iss: 'https://other.test' }) }),
    ],
    [
      'for another cluster',
      'wrong_audience',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, aud: clusterAudience('dev') }) }),
    ],
    [
      'for the admin API',
      'wrong_audience',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, aud: ADMIN_AUDIENCE }) }),
    ],
    [
      'for two audiences',
      'foreign_token',
      async () =>
        mine({ token: await sign(plane.signingKey, { ...claims, aud: [clusterAudience('prod'), ADMIN_AUDIENCE] }) }),
    ],
    ['unbound', 'token_unbound', async () => mine({ token: await sign(plane.signingKey, without('cnf')) })],
    ['without its certificate', 'certificate_missing', () => mine({ certificate: null })],
    ['with another certificate', 'certificate_mismatch', () => mine({ certificate: mallory.certificate })],
    [
      "bound to another key than its session's",
      'certificate_mismatch',
      async () => {
        const other = { ...claims, cnf: { 'x5t#S256': mallory.thumbprint } };
        return mine({ token: await sign(plane.signingKey, other), certificate: mallory.certificate });
      },
    ],
    [
      'for a session that never was',
      'session_unknown',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, sid: randomUUID() }) }),
    ],
    [
      "for another account's session",
      'session_unknown',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, sub: 'corp/root' }) }),
    ],
    [
      'of an earlier epoch',
      'epoch_changed',
      async () => mine({ token: await sign(plane.signingKey, { ...claims, ep: 'before' }) }),
    ],
    [
      'in two places',
      'token_in_two_places',
      () => mine({ headers: { 'sec-websocket-protocol': 'base64url.bearer.authorization.k8s.io.YQ, v4' } }),
    ],
  ];

  it.each(cases)('%s: 401, recorded as %s, and nothing reaches the API server', async (_name, reason, prepare) => {
    const { token, ...options } = await prepare();
    const answered = await call(plane, alice, PODS, token === undefined ? options : { ...options, token });
    expect(answered.status).toBe(401);
    expect(answered.headers['www-authenticate']).toBe('Bearer');
    expect(answered.json()).toMatchObject({ kind: 'Status', status: 'Failure', reason: 'Unauthorized', code: 401 });
    await until(() => plane.audited.length > 0, 'the audit line');
    expect(plane.audited).toHaveLength(1);
    expect(plane.audited[0]).toMatchObject({
      user: {},
      responseStatus: { code: 401 },
      annotations: { 'portcullis.dev/reason': reason, 'portcullis.dev/cluster': 'prod' },
    });
    expect(plane.counted.rejections.at(-1)).toBe(reason);
    expect(plane.upstream.requests).toHaveLength(0);
    // An attacker could learn from the message which check failed, so only the audit log names it. Two callers learn more: the holder of a
    // session, how it ended; a client without its key, that another sign-in does not help.
    const held = reason.startsWith('session_') || reason === 'epoch_changed';
    const message = reason === 'certificate_missing' ? KEYLESS : held ? `your session has ended: ${LOGIN}` : GENERIC;
    const id = `(audit id ${String(answered.headers['audit-id'])})`;
    expect(answered.json().message).toBe(`${message} ${id}`);
  });

  it('is checked against the certificate on every request, remembered or not', async () => {
    expect((await call(plane, alice, PODS)).status).toBe(200);
    expect((await call(plane, alice, PODS, { certificate: mallory.certificate })).status).toBe(401);
    expect((await call(plane, alice, PODS)).status).toBe(200);
  });

  it('expires although it is remembered', async () => {
    const short = {
      ...alice,
      token: await sign(plane.signingKey, { ...claims, jti: randomUUID(), exp: seconds() + 30 }),
    };
    expect((await call(plane, short, PODS)).status).toBe(200);
    plane.advance(31);
    expect((await call(plane, short, PODS)).status).toBe(401);
    plane.advance(-31);
  });

  it('learns after a revocation that the session was ended, by whom, and what to do next', async () => {
    const eve = await signIn(plane, { subject: 'eve' });
    expect((await call(plane, eve, PODS)).status).toBe(200);
    await plane.guard.revoke({ target: { kind: 'session', session: eve.session.id } });
    const answered = await call(plane, eve, PODS);
    expect(answered.json()).toMatchObject({
      code: 401,
      message: `your session was ended by an administrator or by signing out: ${LOGIN} (audit id ${String(answered.headers['audit-id'])})`,
    });
    await until(
      () => plane.audited.some(({ annotations }) => annotations['portcullis.dev/reason'] === 'session_revoked'),
      'a line',
    );
  });

  it('of an expired session is rejected', async () => {
    const late = await signIn(plane, { subject: 'late', sessionLife: 120 });
    plane.advance(121);
    expect((await call(plane, late, PODS)).json()).toMatchObject({ code: 401 });
    plane.advance(-121);
  });
});
