import { connect, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RevocationResult } from '../../src/revocation/revocation.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import {
  newClientKey,
  type OAuthClient,
  type ClientKey,
  type Endpoints,
  type SignedIn,
} from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';
const ADMIN = 'urn:portcullis:admin';

/** A watch on a socket of our own, so that the test sees how it ends. */
interface Watch {
  readonly socket: TLSSocket;
  received(): string;
  /** `ECONNRESET` where it was cut, undefined where it ended normally. */
  readonly ended: Promise<string | undefined>;
}

async function openWatch(port: number, ca: string, key: ClientKey, token: string): Promise<Watch> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, cert: key.cert, key: key.key });
  let text = '';
  let errorCode: string | undefined;
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => (errorCode = error.code));
  const ended = new Promise<string | undefined>((resolve) => socket.once('close', () => resolve(errorCode)));
  await once(socket, 'secureConnect');
  socket.write(`GET ${PODS}?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await expect.poll(() => text, { timeout: 10_000 }).toContain('"ADDED"');
  return { socket, received: () => text, ended };
}

describe('two replicas on one real Redis', () => {
  let redis: RedisServer;
  let instance: TestInstance;
  let other: RunningServer;
  let here: Endpoints;
  let key: ClientKey;
  let root: OAuthClient;
  let rootToken: string;

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
    other = await instance.replica();
    here = instance;
    key = await newClientKey();
    root = await instance.connect();
    rootToken = (await root.signIn('root', { resource: ADMIN })).accessToken;
  });
  afterAll(async () => {
    await instance.stop();
    await redis.stop();
  });

  async function signInHere(): Promise<SignedIn> {
    const client = await instance.connect({ key });
    const signedIn = await client.signIn('alice');
    return signedIn;
  }

  const revoke = async (body: object): Promise<{ status: number; answer: RevocationResult }> => {
    const answered = await root.postJson('/-/admin/api/v1/revocations', rootToken, { reason: 'INC-4711', ...body });
    return { status: answered.status, answer: answered.body as unknown as RevocationResult };
  };

  it('accept each other’s tokens', async () => {
    const { accessToken } = await signInHere();
    const client = await instance.connect({ key, at: other });
    expect((await client.get(PODS, accessToken)).status).toBe(200);
  });

  it('cut a watch at one, by a reset, whose session was revoked at the other, and reject its next request there', async () => {
    const { accessToken, session } = await signInHere();
    const watch = await openWatch(other.ports.api, here.ca, key, accessToken);
    const { status, answer } = await revoke({ session });
    expect(status, JSON.stringify(answer)).toBe(200);
    expect(answer).toMatchObject({ complete: true, streamsClosed: 1 });
    expect(await watch.ended).toBe('ECONNRESET');
    const client = await instance.connect({ key, at: other });
    expect(await client.get(PODS, accessToken)).toMatchObject({
      status: 401,
      body: { kind: 'Status', reason: 'Unauthorized' },
    });
  });

  it('report which of them has applied it', async () => {
    const { session } = await signInHere();
    const { status, answer } = await revoke({ session });
    expect(status).toBe(200);
    expect(answer).toMatchObject({
      complete: true,
      sessions: 1,
      replicas: [{ state: 'applied' }, { state: 'applied' }],
    });
    expect(answer).not.toHaveProperty('missing');
  });

  it('cut every session of an account, wherever its streams are, and affect no other user', async () => {
    const first = await signInHere();
    const second = await signInHere();
    const bob = await instance.connect();
    const { accessToken: bobs } = await bob.signIn('bob');
    const watches = await Promise.all([
      openWatch(other.ports.api, here.ca, key, first.accessToken),
      openWatch(instance.server.ports.api, here.ca, key, second.accessToken),
    ]);
    await revoke({ account: 'demo/alice' });
    expect(await Promise.all(watches.map(({ ended }) => ended))).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect((await bob.get('/version', bobs)).status).toBe(200);
  });

  it('let the user sign in again after the account was revoked', async () => {
    await revoke({ account: 'demo/alice' });
    const { accessToken } = await signInHere();
    const client = await instance.connect({ key, at: other });
    expect((await client.get(PODS, accessToken)).status).toBe(200);
  });

  it('close the revocation guard of the replica that an admin asks for the first time while Redis hangs', async () => {
    const adminKey = await newClientKey();
    const signingIn = await instance.connect({ key: adminKey });
    const { accessToken: admins } = await signingIn.signIn('root', { resource: ADMIN });
    const admin = await instance.connect({ key: adminKey, at: other });
    const headers = { authorization: `Bearer ${admins}`, 'content-type': 'application/json' };
    const { accessToken, session } = await signInHere();
    const alice = await instance.connect({ key, at: other });
    const request = JSON.stringify({ session, reason: 'INC-4711' });
    const ask = async (): Promise<unknown> => {
      // One request first, by which the replica knows the admin; again where it had lost its lease and its memory of it.
      const known = async (): Promise<number> =>
        (await admin.send('GET', '/-/admin/api/v1/sessions', { headers })).status;
      await expect.poll(known, { timeout: 20_000 }).toBe(200);
      redis.pause();
      try {
        return (await admin.send('POST', '/-/admin/api/v1/revocations', { headers, body: request })).body['code'];
      } finally {
        redis.resume();
      }
    };
    // A busy machine may lose the lease before it is asked, and then rejects every user.
    let code: unknown = 'fenced';
    for (let tries = 0; tries < 5 && code === 'fenced'; tries += 1) code = await ask();
    expect(code).toBe('revocation_not_written');
    const refused = async (): Promise<number> => (await alice.get(PODS, accessToken)).status;
    await expect.poll(refused, { timeout: 20_000 }).not.toBe(503);
    expect(await refused()).toBe(401);
    await Promise.all([signingIn, admin, alice].map((client) => client.close()));
  });

  it('reject everything with 503 while Redis is unavailable, cut what is open, and serve again when it is back', async () => {
    const { accessToken } = await signInHere();
    const watch = await openWatch(other.ports.api, here.ca, key, accessToken);
    const client = await instance.connect({ key, at: other });
    redis.pause();
    try {
      expect(await watch.ended).toBe('ECONNRESET');
      const refused = await client.get(PODS, accessToken);
      expect(refused).toMatchObject({ status: 503, body: { kind: 'Status' } });
      expect(refused.headers['retry-after']).toBe('1');
      // Not immediately: endpoints that all disappear leave clients nothing to try.
      const readyz = `http://127.0.0.1:${other.ports.ops}/readyz`;
      expect((await fetch(readyz)).status).toBe(200);
      await expect.poll(async () => (await fetch(readyz)).status, { timeout: 10_000, interval: 200 }).toBe(503);
    } finally {
      redis.resume();
    }
    await expect.poll(async () => (await client.get(PODS, accessToken)).status, { timeout: 10_000 }).toBe(200);
  });
});
