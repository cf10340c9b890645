/**
 * A delegated session in use on two replicas of one real Redis, and every way in which the user's own session ends: each
 * cuts what is beneath it, on both, and nothing of it is accepted afterwards.
 */
import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RevocationReceipt } from '../../src/services/admin/revocation-results.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { delegate, type DelegatedChild } from '../support/delegation.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { OAuthClient, served, type ClientKey, type Endpoints, type SignedIn } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EVERYTHING = [{ rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] }];
const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n';

/** Resolves with the code of the socket's error, `ECONNRESET` where the stream was cut; undefined where it ended normally. */
type Ended = Promise<string | undefined>;

interface Raw {
  readonly key: ClientKey;
  readonly token: string;
  readonly path: string;
  readonly headers?: string;
  /** What comes back once the stream is open. */
  readonly first: string;
}

async function openStream(at: Endpoints, { key, token, path, headers = '', first }: Raw): Promise<{ ended: Ended }> {
  const { port } = new URL(at.api);
  const { cert, key: privateKey } = key;
  const to = { host: '127.0.0.1', port: Number(port), servername: 'localhost', ca: at.ca };
  const socket = connect({ ...to, cert, key: privateKey });
  let text = '';
  let code: string | undefined;
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
  const ended = new Promise<string | undefined>((resolve) => socket.once('close', () => resolve(code)));
  await once(socket, 'secureConnect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${headers}\r\n`);
  await expect.poll(() => text, { timeout: 10_000 }).toContain(first);
  return { ended };
}

/** The first status that is not that of a replica which is fenced, or of an epoch that is not settled. */
async function answered(ask: () => Promise<number>): Promise<number> {
  let status = 503;
  const next = async (): Promise<number> => (status = await ask());
  await expect.poll(next, { timeout: 20_000 }).not.toBe(503);
  return status;
}

describe('a delegated session on two replicas', () => {
  let redis: RedisServer;
  let instance: TestInstance;
  let other: RunningServer;
  let here: Endpoints;
  let there: Endpoints;
  let admin: OAuthClient;
  let plugin: OAuthClient;
  let own: SignedIn;
  let child: DelegatedChild;
  let token: string;
  let streams: readonly { readonly ended: Ended }[];

  beforeAll(async () => {
    redis = await startRedis({ keepData: true });
    instance = await startTestInstance({ redis: redis.url });
    other = await instance.replica();
    here = instance;
    there = { ...here, api: `https://localhost:${other.ports.api}` };
    admin = await instance.connect();
  });
  beforeEach(async () => {
    plugin = await instance.connect();
    own = await plugin.signIn('alice');
    child = await delegate(plugin, own.refreshToken, { name: 'claude', limits: EVERYTHING });
    token = await tokenOf(child);
    const { key } = child.client;
    if (key === undefined) throw new Error('a delegated session has a key');
    const common = { key, token };
    streams = await Promise.all([
      openStream(here, { ...common, path: `${PODS}?watch=1`, first: '"ADDED"' }),
      openStream(there, {
        ...common,
        path: `${PODS}/web-1/exec?command=sh&stdin=1&stdout=1`,
        headers: WEBSOCKET,
        first: '101 Switching Protocols',
      }),
    ]);
  });
  afterEach(async () => {
    await Promise.all([child.client.close(), plugin.close()]);
  });
  afterAll(async () => {
    await instance.stop();
    await redis.stop();
  });

  async function tokenOf({ client, refreshToken }: DelegatedChild): Promise<string> {
    const answer = await served(() => client.refresh(refreshToken, { resource: 'urn:portcullis:cluster:demo' }));
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    return String(answer.body['access_token']);
  }

  async function revoke(body: object): Promise<RevocationReceipt> {
    const { accessToken } = await admin.signIn('root', { resource: 'urn:portcullis:admin' });
    const answer = await admin.postJson('/-/admin/api/v1/revocations', accessToken, { reason: 'INC-4711', ...body });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body as unknown as RevocationReceipt;
  }

  /** Both streams were cut, and each replica rejects the token; so does the token endpoint a refresh. */
  async function expectOver(): Promise<void> {
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual(['ECONNRESET', 'ECONNRESET']);
    const elsewhere = new OAuthClient(there, child.client.key);
    for (const client of [child.client, elsewhere]) {
      expect(await answered(async () => (await client.get(PODS, token)).status)).toBe(401);
    }
    expect(await answered(async () => (await child.client.refresh(child.refreshToken)).status)).toBe(400);
    await elsewhere.close();
  }

  it('is cut on both when its user’s own session is revoked, and named in a complete receipt', async () => {
    const receipt = await revoke({ session: own.session });
    expect(receipt).toMatchObject({
      complete: true,
      sessions: 2,
      streamsClosed: 2,
      delegated: [{ id: child.item.id, name: 'claude', session: own.session }],
      replicas: [
        { state: 'applied', streamsClosed: 1 },
        { state: 'applied', streamsClosed: 1 },
      ],
    });
    await expectOver();
  });

  it('is cut on both when its user is locked', async () => {
    const receipt = await revoke({ account: 'demo/alice', lock: true });
    expect(receipt.delegated).toEqual([{ id: child.item.id, name: 'claude', session: own.session }]);
    await expectOver();
    expect(await instance.server.store.locks.remove('demo/alice')).toBe(true);
  });

  it('is cut on both when its user signs out', async () => {
    expect((await plugin.revoke(own.refreshToken)).status).toBe(200);
    await expectOver();
  });

  it('stays over when Redis is killed right after the revocation, and comes back with its data', async () => {
    expect(await revoke({ session: own.session })).toMatchObject({ complete: true });
    await redis.kill();
    await redis.restart();
    await expectOver();
  });
});
