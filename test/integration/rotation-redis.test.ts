/** The password of Redis is replaced under a load: no user notices while both are valid, and nothing needs the old one after that. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, OAuthClient } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { startLoad, type Load } from '../support/steady-load.ts';

const PODS = '/api/v1/namespaces/default/pods';
const PATIENCE = { timeout: 60_000, interval: 50 };
const ANYTHING = ['~*', '&*', '+@all'];

let redis: RedisServer;
let operator: Redis;
let instance: TestInstance;
let replica: RunningServer;
let client: OAuthClient;
let refreshToken: string;
let load: Load;

beforeAll(async () => {
  redis = await startRedis({
    args: ['--user', 'default', 'on', 'nopass', ...ANYTHING, '--user', 'proxy', 'on', '>old', ...ANYTHING],
  });
  operator = new Redis({ port: redis.port });
  // The demo's own replica, where users sign in, needs no password.
  instance = await startTestInstance({ redis: redis.url });
  replica = await startFollowing(instance);
  const { ca } = instance;
  const key = await newClientKey();
  client = new OAuthClient({ web: instance.urls.web, api: `https://localhost:${replica.ports.api}`, ca }, key);
  const signedIn = await client.signIn('alice');
  ({ refreshToken } = signedIn);
  load = startLoad(
    {
      ca,
      certificate: key,
      path: PODS,
      headers: { authorization: `Bearer ${signedIn.accessToken}` },
      ports: () => [replica.ports.api],
      pauseMs: 10,
    },
    'h2',
  );
});
afterAll(async () => {
  await load.stop();
  await client.close();
  await replica.stop();
  await instance.stop();
  operator.disconnect();
  await redis.stop();
});

const secretFile = (name: string): string => join(instance.files.directory, name);

/** A replica that reads its user name and password for Redis from files. */
async function startFollowing({ files }: RunningDemo): Promise<RunningServer> {
  const loaded = await loadConfig({ file: files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  if (config.store.kind === 'memory') throw new Error('the server has no Redis');
  const [usernameFile, passwordFile] = [secretFile('redis-user'), secretFile('redis-password')];
  await Promise.all([writeFile(usernameFile, 'proxy\n'), writeFile(passwordFile, 'old\n')]);
  const anyPort = { address: { host: '127.0.0.1', port: 0 } };
  const { api, web, ops } = config.listen;
  const server = await startServer({
    ...config,
    listen: { ...config.listen, api: { ...api, ...anyPort }, web: { ...web, ...anyPort }, ops: { ...ops, ...anyPort } },
    store: { ...config.store, url: redis.url, usernameFile, passwordFile },
  });
  await server.ready;
  return server;
}

/** Of that replica, by name. */
async function connections(): Promise<readonly { readonly id: string; readonly name: string }[]> {
  const lines = String(await operator.client('LIST')).split('\n');
  return lines
    .filter((line) => line.includes(' user=proxy '))
    .map((line) => ({ id: /\bid=(\d+)/.exec(line)?.[1] ?? '', name: /\bname=(\S*)/.exec(line)?.[1] ?? '' }));
}

/** Makes each of its connections again, as if the network had failed. */
async function reconnect(): Promise<void> {
  const before = await connections();
  expect(before).toHaveLength(4);
  for (const { id } of before) await operator.client('KILL', 'ID', Number(id));
  const old = new Set(before.map(({ id }) => id));
  await vi.waitUntil(async () => {
    const now = await connections();
    return now.length === 4 && now.every(({ id, name }) => !old.has(id) && name !== '');
  }, PATIENCE);
  await vi.waitFor(() => replica.store.ping(), PATIENCE);
}

async function expectServed(): Promise<void> {
  const before = load.done();
  await expect.poll(() => load.done(), PATIENCE).toBeGreaterThan(before + 50);
  expect(load.failures).toEqual([]);
}

it('the next connection uses the new password, and no request fails', async () => {
  await expectServed();
  await operator.acl('SETUSER', 'proxy', '>new');
  await reconnect();
  await writeFile(secretFile('redis-password'), 'new\n');
  await expectServed();
  await operator.acl('SETUSER', 'proxy', '<old');
  // Open connections do not authenticate again.
  await expectServed();
  await reconnect();
  await expectServed();
  expect((await client.refresh(refreshToken)).status).toBe(200);
});

it('the next connection uses another user name, and no request fails', async () => {
  await operator.acl('SETUSER', 'proxy-2', 'on', '>second', ...ANYTHING);
  await Promise.all([
    writeFile(secretFile('redis-user'), 'proxy-2\n'),
    writeFile(secretFile('redis-password'), 'second\n'),
  ]);
  // Deleting a user ends its connections.
  await operator.acl('DELUSER', 'proxy');
  await vi.waitFor(() => replica.store.ping(), PATIENCE);
  await expectServed();
  expect(await connections()).toEqual([]);
  expect((await client.refresh(refreshToken)).status).toBe(200);
});
