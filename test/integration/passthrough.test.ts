import { generateKeyPair, SignJWT } from 'jose';
import type { JWTPayload } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { call, claimsOf, open, pairsOf, sign, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Called, TestUser, TestPlane } from '../support/data-plane.ts';
import { answerReviews, forwarded, TOKEN_REVIEWS } from '../support/reviews.ts';
import type { AskedReview } from '../support/reviews.ts';

const PODS = '/api/v1/namespaces/ci/pods';
const BUILDER = 'system:serviceaccount:ci:builder';
const INSTANCE = 'system:serviceaccount:portcullis:portcullis';
const GROUPS = ['system:serviceaccounts', 'system:serviceaccounts:ci', 'system:authenticated'];

/** Like the cluster's own token: with another issuer and key than ours. */
async function serviceAccountToken(claims: JWTPayload = {}): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256');
  return new SignJWT({ iss: 'https://kubernetes.default.svc', sub: BUILDER, jti: crypto.randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'cluster' })
    .setIssuedAt()
    .sign(privateKey);
}

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

describe('a service account with its own token', () => {
  let plane: TestPlane;
  let signedInUser: TestUser;
  let asked: AskedReview[];
  /** Who holds which token at the cluster. */
  let holders: Map<string, string>;

  beforeAll(async () => {
    plane = await startPlane({ cluster: { serviceAccountPassthrough: true } });
    signedInUser = await signIn(plane);
  });
  afterAll(() => plane.close());
  beforeEach(() => {
    plane.audited.length = 0;
    plane.upstream.clear();
    holders = new Map([['upstream-token', INSTANCE]]);
    answer();
  });

  function answer(): void {
    const reviews = answerReviews(({ spec }) => {
      const username = holders.get(spec.token ?? '');
      if (username === undefined) return { authenticated: false, error: 'unknown' };
      return { authenticated: true, user: { username, uid: 'u-1', groups: GROUPS }, audiences: ['https://api'] };
    });
    plane.upstream.answer = reviews.answer;
    ({ asked } = reviews);
  }

  const tokenOf = async (username: string, claims?: JWTPayload): Promise<string> => {
    const token = await serviceAccountToken(claims);
    holders.set(token, username);
    return token;
  };
  const pass = (token: string, headers: Record<string, string> = {}): Promise<Called> =>
    call(plane, signedInUser, PODS, { token, certificate: null, headers });
  const reviewsOf = (token: string): number => asked.filter(({ spec }) => spec.token === token).length;
  const reason = async (): Promise<string | undefined> => {
    await until(() => plane.audited.length > 0, 'the audit line');
    return plane.audited.at(-1)?.annotations['portcullis.dev/reason'];
  };

  it('passes with that token unchanged and no impersonation, and is audited by its name', async () => {
    const token = await tokenOf(BUILDER, { exp: inSeconds(3600) });
    expect((await pass(token)).status).toBe(200);
    const [sent, ...more] = forwarded(plane.upstream.requests);
    expect(more).toEqual([]);
    const headers = pairsOf(sent?.rawHeaders);
    expect(headers.filter(([name]) => name.toLowerCase() === 'authorization')).toEqual([
      ['Authorization', `Bearer ${token}`],
    ]);
    expect(headers.filter(([name]) => /^impersonate/i.test(name))).toEqual([]);
    const review = plane.upstream.requests.find(({ url }) => url === TOKEN_REVIEWS);
    expect(pairsOf(review?.rawHeaders)).toContainEqual(['Authorization', 'Bearer upstream-token']);
    // No audiences: the API server's own.
    expect(asked[0]).toEqual({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } });
    await until(() => plane.audited.length > 0, 'the audit line');
    expect(plane.audited.at(-1)).toMatchObject({
      user: { username: BUILDER, uid: 'u-1', groups: GROUPS },
      annotations: { 'portcullis.dev/passthrough': 'true', 'portcullis.dev/cluster': 'prod' },
    });
    expect(plane.audited.at(-1)?.annotations).not.toHaveProperty(['portcullis.dev/session']);
    expect(JSON.stringify(plane.audited)).not.toContain(token);
  });

  it('is reviewed again after a minute, and immediately when its token has expired', async () => {
    const long = await tokenOf(BUILDER);
    const short = await tokenOf(BUILDER, { exp: inSeconds(20) });
    for (const token of [long, short, long, short]) await pass(token);
    expect([reviewsOf(long), reviewsOf(short)]).toEqual([1, 1]);
    plane.advance(21);
    holders.delete(short);
    expect([(await pass(long)).status, (await pass(short)).status]).toEqual([200, 401]);
    expect([reviewsOf(long), reviewsOf(short)]).toEqual([1, 2]);
    plane.advance(40);
    holders.delete(long);
    expect((await pass(long)).status).toBe(401);
    plane.advance(-61);
  });

  it('is rejected without a second review for a few seconds, and then reviewed again', async () => {
    const token = await serviceAccountToken();
    expect([(await pass(token)).status, (await pass(token)).status]).toEqual([401, 401]);
    expect(reviewsOf(token)).toBe(1);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
    holders.set(token, BUILDER);
    plane.advance(6);
    expect((await pass(token)).status).toBe(200);
    plane.advance(-6);
  });

  it.each<[string, string, string]>([
    ['our own account, by any holder of its token', INSTANCE, 'passthrough_own_account'],
    ['a user whose issuer the cluster trusts', 'oidc:root', 'passthrough_not_service_account'],
    ['a node', 'system:node:n1', 'passthrough_not_service_account'],
    ['a name that only looks so', 'system:serviceaccount:ci:builder:x', 'passthrough_not_service_account'],
    ['an anonymous client', 'system:anonymous', 'passthrough_not_service_account'],
  ])('is not %s', async (_what, username, expected) => {
    expect((await pass(await tokenOf(username))).status).toBe(401);
    expect(await reason()).toBe(expected);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it('is rejected where the cluster does not name the proxy’s own account: it might be the same', async () => {
    const fresh = await startPlane({ cluster: { serviceAccountPassthrough: true } });
    const token = await serviceAccountToken();
    fresh.upstream.answer = answerReviews(({ spec }) =>
      spec.token === token ? { authenticated: true, user: { username: BUILDER } } : { authenticated: false },
    ).answer;
    const answered = await call(fresh, await signIn(fresh), PODS, { token });
    expect(answered.json()).toMatchObject({ code: 503 });
    expect(forwarded(fresh.upstream.requests)).toEqual([]);
    await until(() => fresh.audited.length > 0, 'the audit line');
    expect(fresh.audited[0]?.annotations['portcullis.dev/reason']).toBe('own_account_unknown');
    await fresh.close();
  });

  it('may not impersonate any user', async () => {
    const answered = await pass(await tokenOf(BUILDER), { Impersonate_User: 'root' });
    expect(answered.json()).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(await reason()).toBe('passthrough_impersonation');
    expect(plane.audited.at(-1)).toMatchObject({ user: { username: BUILDER } });
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it('is not admitted with a token that is bound to a certificate, since no component would check that', async () => {
    const token = await tokenOf(BUILDER, { cnf: { 'x5t#S256': 'A'.repeat(43) } });
    expect((await pass(token)).status).toBe(401);
    expect(await reason()).toBe('passthrough_bound_token');
    expect(plane.upstream.requests).toEqual([]);
  });

  it('is never what names us as its issuer nor longer than Kubernetes makes them, and such a token is sent nowhere', async () => {
    const ours = claimsOf(signedInUser.session, signedInUser.thumbprint, await plane.store.log.position());
    const forged = await sign((await generateKeyPair('ES256')).privateKey, ours);
    const endless = await tokenOf(BUILDER, { padding: 'x'.repeat(6200) });
    for (const token of [forged, 'opaque-token', endless]) {
      expect((await pass(token)).status).toBe(401);
    }
    expect(plane.upstream.requests).toEqual([]);
  });

  it('is reviewed once, however many of its requests come at the same time', async () => {
    const token = await tokenOf(BUILDER);
    // More reviews than one address may have at a time.
    const codes = (await Promise.all(Array.from({ length: 12 }, () => pass(token)))).map(({ status }) => status);
    expect([new Set(codes), reviewsOf(token)]).toEqual([new Set([200]), 1]);
  });

  it('does not change how users are admitted', async () => {
    expect((await call(plane, signedInUser, PODS)).status).toBe(200);
    expect(asked).toEqual([]);
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders)).toContainEqual(['Authorization', 'Bearer upstream-token']);
  });

  it.each<[string, unknown]>([
    ['the word true', { authenticated: 'true', user: { username: BUILDER } }],
    ['no user', { authenticated: true }],
    ['an empty name', { authenticated: true, user: { username: '' } }],
  ])('is not admitted by %s', async (_what, status) => {
    const token = await serviceAccountToken();
    plane.upstream.answer = answerReviews(() => status).answer;
    expect((await pass(token)).status).toBe(401);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it('receives 503 where the cluster is unavailable', async () => {
    const token = await tokenOf(BUILDER);
    plane.upstream.answer = (_req, res) => void res.writeHead(500).end();
    expect((await pass(token)).status).toBe(503);
    expect(await reason()).toBe('review_unavailable');
  });

  it('is limited to 32 reviews at a time, 8 for one address: beyond that it receives 429, and another address is still admitted', async () => {
    const fresh = await startPlane({ cluster: { serviceAccountPassthrough: true }, timing: { reviewMs: 60_000 } });
    const { promise: answered, resolve: letAnswer } = Promise.withResolvers<undefined>();
    const good = await serviceAccountToken();
    const users = new Map([
      [good, BUILDER],
      ['upstream-token', INSTANCE],
    ]);
    const reviews = answerReviews(({ spec }) => {
      const username = users.get(spec.token ?? '');
      if (username !== undefined) return { authenticated: true, user: { username } };
      return answered.then(() => ({ authenticated: false }));
    });
    fresh.upstream.answer = reviews.answer;
    const user = await signIn(fresh);
    const bad = async (from: string): Promise<Called> =>
      call(fresh, user, PODS, { token: await serviceAccountToken(), certificate: null, from });
    // A flood of made-up tokens.
    const flood = Array.from({ length: 40 }, () => bad('127.0.0.2'));
    const refused = (count: number): Promise<void> =>
      until(() => fresh.counted.rejections.length === count, `${count} that are too many`, 60_000);
    await refused(32);
    expect((await call(fresh, user, PODS, { token: good, certificate: null })).status).toBe(200);
    // An account that is already known needs no review, so that the flood does not even hurt its own address.
    expect((await call(fresh, user, PODS, { token: good, certificate: null, from: '127.0.0.2' })).status).toBe(200);
    for (const from of ['127.0.0.3', '127.0.0.4', '127.0.0.5']) {
      flood.push(...Array.from({ length: 8 }, () => bad(from)));
    }
    await until(() => reviews.asked.length === 34, 'all that may be asked at once', 60_000);
    flood.push(bad('127.0.0.6'));
    await refused(33);
    letAnswer(undefined);
    const codes = (await Promise.all(flood)).map(({ status }) => status);
    expect([429, 401].map((code) => codes.filter((each) => each === code).length)).toEqual([33, 32]);
    expect(fresh.counted.rejections.filter((each) => each === 'passthrough_busy')).toHaveLength(33);
    // Their slots are free again.
    expect((await bad('127.0.0.2')).status).toBe(401);
    await fresh.close();
  });

  it('is rejected, and no change of its is written ahead, where the lease has lapsed during its review', async () => {
    let skew = 0;
    const monotonicMs = (): number => performance.now() + skew;
    const fresh = await startPlane({ cluster: { serviceAccountPassthrough: true }, monotonicMs });
    const token = await serviceAccountToken();
    fresh.upstream.answer = answerReviews(({ spec }) => {
      if (spec.token === token) return { authenticated: true, user: { username: BUILDER } };
      // The review of the proxy's own account is the last.
      skew = 60_000;
      return { authenticated: true, user: { username: INSTANCE } };
    }).answer;
    const answered = await call(fresh, await signIn(fresh), PODS, {
      token,
      certificate: null,
      method: 'POST',
      body: '{}',
    });
    expect([answered.json().code, fresh.ahead]).toEqual([503, []]);
    expect(forwarded(fresh.upstream.requests)).toEqual([]);
    await fresh.close();
  });

  it('has slots of its own and no session that could be revoked, but is cut with everything at a shutdown', async () => {
    const fresh = await startPlane({ cluster: { serviceAccountPassthrough: true }, limits: { inFlightPerUser: 1 } });
    const token = await serviceAccountToken();
    fresh.upstream.answer = answerReviews(
      ({ spec }) => ({ authenticated: true, user: { username: spec.token === token ? BUILDER : INSTANCE } }),
      (req, res) => {
        res.writeHead(200, { 'content-type': 'application/json' });
        res.write('{"type":"ADDED"}\n');
        if (req.url === PODS) res.end();
      },
    ).answer;
    const watch = open(fresh, await signIn(fresh), `${PODS}?watch=1`, { token, certificate: null });
    let received = '';
    let ended: unknown;
    watch.on('response', (res) => {
      res.on('data', (chunk: Buffer) => (received += chunk.toString()));
      res.on('error', (error: Error) => (ended = error));
    });
    watch.end();
    await until(() => received.includes('ADDED'), 'the first event');
    const second = await call(fresh, await signIn(fresh), PODS, { token, certificate: null });
    expect(second.json()).toMatchObject({ code: 429, message: expect.stringContaining('the limit for one user') });
    await fresh.guard.revoke({ target: { kind: 'all' } });
    expect(ended).toBeUndefined();
    await fresh.guard.stop();
    await until(() => ended !== undefined, 'the cut');
    await fresh.listener.close();
    await fresh.upstream.close();
  });
});

describe('a token that is not ours, where passthrough is off', () => {
  it('is rejected with 401, and sent nowhere', async () => {
    const plane = await startPlane();
    const token = await serviceAccountToken();
    const answered = await call(plane, await signIn(plane), PODS, { token });
    expect(answered.status).toBe(401);
    expect(plane.upstream.requests).toEqual([]);
    await until(() => plane.audited.length > 0, 'the audit line');
    expect(plane.audited[0]).toMatchObject({ user: {}, annotations: { 'portcullis.dev/reason': 'foreign_token' } });
    await plane.close();
  });
});
