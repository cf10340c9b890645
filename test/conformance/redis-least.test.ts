/** Redis as the documentation asks for it: TLS, a user with the least rights, a prefix for each environment. */
import { readFile } from 'node:fs/promises';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import * as scripts from '../../src/store/redis/scripts.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { openNow, replica } from './fixtures.ts';
import { redisConforms, workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

/** The rules of the documented user, for another prefix and password. */
async function documentedRules(prefix: string, password: string): Promise<readonly string[]> {
  const schema = await readFile(new URL('../../docs/reference/store-schema.md', import.meta.url), 'utf8');
  const [, line] = /^ACL SETUSER portcullis (.*)$/m.exec(schema) ?? [];
  if (line === undefined)
    throw new Error('docs/reference/store-schema.md has no line that begins with ACL SETUSER portcullis');
  return line.replace('>PASSWORD', `>${password}`).replaceAll('{portcullis}', `{${prefix}}`).split(' ');
}

describe('over TLS, as a user with the documented rights', () => {
  let certificates: DemoCertificates;
  let redis: RedisServer;
  let admin: Redis;

  beforeAll(async () => {
    certificates = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
    // The default user is off, as it should be; this one stands for the operator.
    redis = await startRedis({
      tls: certificates,
      args: ['--user', 'default', 'off', '--user', 'operator', 'on', '>operator', '~*', '&*', '+@all'],
    });
    admin = new Redis({
      port: redis.port,
      username: 'operator',
      password: 'operator',
      tls: { ca: certificates.ca, servername: 'localhost' },
    });
    await admin.acl('SETUSER', 'portcullis', ...(await documentedRules('test-*', 'secret')));
  });

  afterAll(async () => {
    admin.disconnect();
    await redis.stop();
  });

  redisConforms('redis over TLS with the least rights', () => ({
    url: `rediss://localhost:${redis.port}`,
    username: 'portcullis',
    password: 'secret',
    ca: () => certificates.ca,
  }));

  it('was refused nothing all the while', async () => {
    expect(await admin.acl('LOG')).toEqual([]);
  });
});

it('documents no right that nothing uses', async () => {
  const called = Object.values(scripts).flatMap(({ lua }) =>
    [...lua.matchAll(/redis\.call\('(\w+)'/g)].map(([, name = '']) => name),
  );
  // What ioredis sends to make a connection, and what the store sends beside its scripts.
  const sent = [
    'hello',
    'select',
    'client|setname',
    'client|setinfo',
    'info',
    'ping',
    'subscribe',
    'eval',
    'evalsha',
    'wait',
  ];
  const granted = (await documentedRules('portcullis', 'secret')).filter((rule) => rule.startsWith('+'));
  const used = new Set([...called.map((name) => name.toLowerCase()), ...sent]);
  expect(granted.map((rule) => rule.slice(1)).toSorted()).toEqual([...used].toSorted());
});

it('refuses a server whose certificate no one has verified', async () => {
  const certificates = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  const outsider = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  await using bench = await workbench();
  const secure = await startRedis({ tls: certificates });
  const url = `rediss://localhost:${secure.port}`;
  const distrusting = bench.unconnected({ settings: { url, ca: () => outsider.ca } });
  expect(await distrusting.ping().catch(reasonOf)).toMatch(/redis_(unreachable|timeout)/);
  await bench.fresh({ settings: { url, ca: () => certificates.ca } });
  expect(await distrusting.ping().catch(reasonOf)).toMatch(/redis_(unreachable|timeout)/);
  await secure.stop();
});

it('keeps the environments of one Redis apart', async () => {
  await using bench = await workbench();
  const [one, two] = [await bench.store(), await bench.store({ settings: { prefix: 'portcullis-2' } })];
  await openNow({ store: one, clock: bench.clock });
  const { position } = await two.log.join(300);
  expect((await one.log.position()).epoch).not.toBe(position.epoch);
  expect(await two.sessions.read('session-1')).toBeUndefined();
  const abort = new AbortController();
  let woken = false;
  const wait = two.log.waitForEntry(position.number, abort.signal).then(() => (woken = true));
  const lock = { reason: 'INC-1', by: 'corp:root', at: bench.clock.seconds() };
  await one.log.append({ requestId: 'r', target: { kind: 'account', account: 'corp/1' }, lock });
  expect(await two.locks.list()).toEqual([]);
  expect(await two.log.renew(replica(), position)).toMatchObject({ ok: true, entries: [], replicas: [{}] });
  expect(woken).toBe(false);
  abort.abort();
  await wait;
});

it('lets the documented user into no other environment', async () => {
  await using bench = await workbench();
  await bench.bare.acl('SETUSER', 'portcullis', ...(await documentedRules('portcullis', 'secret')));
  const settings = { username: 'portcullis', password: 'secret' };
  await bench.store({ settings });
  const intruder = await bench.fresh({ settings: { ...settings, prefix: 'portcullis-2' } });
  expect(await intruder.log.position().catch(reasonOf)).toBe('redis_error');
  const bare = new Redis({ port: bench.redis.port, ...settings });
  expect(await bare.wait(0, 1)).toBe(0);
  for (const command of [
    ['keys', '*'],
    ['config', 'get', '*'],
    ['get', '{portcullis-2}:x'],
    ['flushall'],
    ['acl', 'list'],
  ]) {
    const [name = '', ...rest] = command;
    await expect(bare.call(name, ...rest)).rejects.toThrow(/NOPERM/);
  }
  bare.disconnect();
});
