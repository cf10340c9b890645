/** Requests that need a recent proof, of each kind of caller, by the api listener and a recording API server. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { WORKLOAD_CLIENT } from '../../src/oauth/grant-type.ts';
import {
  ALICE,
  call,
  claimsOf,
  open,
  sign,
  signIn,
  startPlane,
  until,
  type TestPlane,
  type TestUser,
} from '../support/data-plane.ts';
import { answerReviews } from '../support/reviews.ts';

const SECRETS = '/api/v1/namespaces/shop/secrets';
const PODS = '/api/v1/namespaces/shop/pods';
const WATCH = `${SECRETS}?watch=1`;
const MAX_AGE = 600;
const BUILDER = 'system:serviceaccount:ci:builder';

let plane: TestPlane;
let alice: TestUser;

beforeAll(async () => {
  plane = await startPlane({
    cluster: { serviceAccountPassthrough: true },
    workloads: ['ci'],
    stepUp: {
      rules: [{ rules: [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }], maxAge: MAX_AGE }],
      proving: new Set(['corp']),
      silent: new Set(),
      clockSkew: 0,
    },
  });
  alice = await signIn(plane);
});
afterAll(() => plane.close());
beforeEach(() => {
  plane.upstream.clear();
  plane.audited.length = 0;
  plane.counted.stepUpNeeded.length = 0;
  plane.upstream.answer = (_req, res) => void res.writeHead(200).end('{}');
});

/** @returns what was asked of the API server, reviews aside */
const reached = (): readonly string[] =>
  plane.upstream.requests.map(({ url }) => url).filter((url) => url.startsWith('/api/v1/namespaces/shop'));

test('a service account that passes with its own token is refused, and what no rule names passes', async () => {
  const { privateKey } = await generateKeyPair('RS256');
  const token = await new SignJWT({ iss: 'https://kubernetes.default.svc', sub: BUILDER })
    .setProtectedHeader({ alg: 'RS256', kid: 'cluster' })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey);
  const user = { username: BUILDER, uid: 'u-1', groups: ['system:serviceaccounts'] };
  const who = (of: string | undefined) =>
    of === token ? user : { username: 'system:serviceaccount:portcullis:portcullis', uid: 'u-0', groups: [] };
  plane.upstream.answer = answerReviews(({ spec }) => ({
    authenticated: true,
    user: who(spec.token),
    audiences: ['https://api'],
  })).answer;
  const asServiceAccount = (path: string) => call(plane, alice, path, { token, certificate: null });
  const rejected = await asServiceAccount(SECRETS);
  expect(rejected.status).toBe(403);
  expect(rejected.json().message).toContain('which a workload never has');
  expect((await asServiceAccount(PODS)).status).toBe(200);
  expect(reached()).toEqual([PODS]);
  expect(plane.counted.stepUpNeeded).toEqual(['prod']);
  await until(() => plane.audited.length >= 2, 'the audit events');
  expect(plane.audited[0]).toMatchObject({
    user: { username: BUILDER },
    annotations: { 'portcullis.dev/reason': 'step_up_needed', 'portcullis.dev/passthrough': 'true' },
  });
});

test('a workload is refused, however young the token is by which its session was opened', async () => {
  const now = Math.floor(Date.now() / 1000);
  const opened = await plane.store.sessions.open(
    {
      id: 'job',
      account: 'ci/job',
      provider: 'ci',
      subject: 'job',
      client: WORKLOAD_CLIENT,
      identity: { ...ALICE, username: 'ci:job' },
      createdAt: now,
      expiresAt: now + 3600,
      idleSeconds: 3600,
      address: '127.0.0.1',
      userAgent: 'test',
      startedAt: await plane.store.log.position(),
      authTime: now,
    },
    {},
  );
  expect(opened.ok).toBe(true);
  const minted = await plane.store.sessions.mint('job', { thumbprint: alice.thumbprint });
  if (!minted.ok) throw new Error(minted.reason);
  const claims = { ...claimsOf(minted.record, alice.thumbprint, minted.position), client_id: WORKLOAD_CLIENT };
  const token = await sign(plane.signingKey, claims);
  expect((await call(plane, alice, PODS, { token })).status).toBe(200);
  const rejected = await call(plane, alice, SECRETS, { token });
  expect([rejected.status, rejected.json().message]).toEqual([403, expect.stringContaining('a workload never has')]);
  expect(reached()).toEqual([PODS]);
});

test('a stream that was opened in time goes on past maxAge, and no other opens; a web console is told of its page', async () => {
  const upstream: { write(line: string): void }[] = [];
  plane.upstream.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' }).write('{"type":"ADDED"}\n');
    upstream.push({ write: (line) => void res.write(line) });
  };
  const watch = open(plane, alice, WATCH);
  watch.end();
  const [stream] = (await once(watch, 'response')) as [IncomingMessage];
  expect(stream.statusCode).toBe(200);
  let received = '';
  let ended = false;
  stream.setEncoding('utf8').on('data', (text: string) => (received += text));
  stream.on('close', () => (ended = true));

  // Past maxAge, within the life of the token.
  plane.advance(MAX_AGE + 5);
  const token = await fresh(alice);
  const rejected = await call(plane, alice, WATCH, { token });
  expect([rejected.status, rejected.json().message]).toEqual([
    403,
    expect.stringMatching(/in the last 10 minutes; run: portcullis step-up --server https:\/\/portcullis\.test \(/),
  ]);
  upstream[0]?.write('{"type":"MODIFIED"}\n');
  await until(() => received.includes('MODIFIED'), 'what the API server sent later');
  expect(ended).toBe(false);
  expect(reached()).toEqual([WATCH]);

  // Nothing is reviewed, and the audit log has whom they would have been.
  const headers = { 'impersonate-user': 'limited' };
  const asAnother = await call(plane, alice, SECRETS, { token, headers });
  expect([asAnother.status, plane.counted.stepUpNeeded]).toEqual([403, ['prod', 'prod']]);
  const isAudited = (): boolean =>
    plane.audited.some(({ impersonatedUser }) => impersonatedUser?.username === 'limited');
  await until(isAudited, 'the audit event with the other user');

  const inBrowser = await call(plane, alice, SECRETS, { token: await fresh(alice, 'console:headlamp') });
  expect([inBrowser.status, inBrowser.json().message]).toEqual([
    403,
    expect.stringContaining('/step-up/me, sign in there'),
  ]);
  stream.destroy();

  await plane.store.sessions.prove(alice.session.id, Math.floor(Date.now() / 1000) + MAX_AGE + 5);
  plane.upstream.answer = (_req, res) => void res.writeHead(200).end('{}');
  await expect.poll(async () => (await call(plane, alice, SECRETS, { token })).status).toBe(200);
});

/** A token of now, as the token endpoint gives it. */
async function fresh(user: TestUser, client?: string): Promise<string> {
  const minted = await plane.store.sessions.mint(user.session.id, { thumbprint: user.thumbprint });
  if (!minted.ok) throw new Error(minted.reason);
  const now = Math.floor(Date.now() / 1000) + MAX_AGE + 5;
  return sign(plane.signingKey, {
    ...claimsOf(minted.record, user.thumbprint, minted.position),
    iat: now,
    exp: now + 300,
    ...(client === undefined ? {} : { client_id: client }),
  });
}
