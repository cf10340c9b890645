/**
 * The chart's three nodes of Redis with Sentinel: its pods run here by their own commands, with their files, probes and users, under the store that
 * the chart's configuration describes.
 */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { createRedisStore, type EpochEvent, type RedisSettings } from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import { only, rendered, valuesOf } from '../support/chart.ts';
import { RedisPods, type Which } from '../support/redis-pods.ts';
import { newSession, replica, testClock } from './fixtures.ts';
import { answering, ANY_SKEW, sealingKeys, settle, testMonotonic } from './redis-stores.ts';

const PODS = [0, 1, 2] as const;
const AGREED = { timeout: 60_000, interval: 400 };
const clock = testClock();
const monotonicMs = testMonotonic();
const epochs: EpochEvent[] = [];
let pods: RedisPods;
let settings: RedisSettings;
let store: Store;

beforeAll(async () => {
  const small = ['--values', valuesOf('small')];
  const objects = await rendered(...small, '--set', 'redis.inChart.replicas=3');
  pods = new RedisPods(objects);
  const { 'portcullis.yaml': text = '' } = only(objects, 'ConfigMap', 'portcullis')['data'] as Record<string, string>;
  settings = settingsOf(text);
  for (const which of PODS) pods.start(which);
  await allReady();
  // Until then there is no one that they could put in the place of a primary.
  await vi.waitUntil(() => PODS.every((which) => pods.knowsAll(which)), AGREED);
  store = createRedisStore({
    config: settings,
    sealingKeys: sealingKeys(),
    clock,
    clockSkewSeconds: ANY_SKEW,
    monotonicMs: monotonicMs.now,
    onEpoch: (event) => epochs.push(event),
  });
  await settle(await answering(store), monotonicMs);
});
afterAll(async () => {
  await store.close();
  await pods[Symbol.asyncDispose]();
});

/** The store of the proxy's own configuration; what is mounted as files comes from the Secrets. */
function settingsOf(configuration: string): RedisSettings {
  const { redis } = (parse(configuration) as { store: { redis: Record<string, unknown> } }).store;
  const { url, prefix, nodes, sentinels, master, ...files } = redis;
  const folder = '/etc/portcullis/redis';
  expect(files).toEqual({
    usernameFile: `${folder}/username`,
    passwordFile: `${folder}/password`,
    caFile: `${folder}/ca.crt`,
    sentinelUsernameFile: `${folder}/sentinel-username`,
    sentinelPasswordFile: `${folder}/sentinel-password`,
  });
  const addresses = (sentinels as readonly string[]).map((one) => {
    const [host = '', port] = one.split(':');
    return { host, port: Number(port) };
  });
  return {
    url: String(url),
    prefix: String(prefix),
    nodes: nodes as 1 | 3,
    username: AUTH('username'),
    password: AUTH('password'),
    ca: () => pods.secret('portcullis-redis-tls', 'ca.crt'),
    sentinel: { addresses, master: String(master), username: HA('lookup-username'), password: HA('lookup-password') },
  };
}

const AUTH = (key: string): string => pods.secret('portcullis-redis-auth', key);
const HA = (key: string): string => pods.secret('portcullis-redis-ha', key);

/** By the probes of the pods. */
async function allReady(which: readonly Which[] = PODS): Promise<void> {
  const probe = async (pod: Which): Promise<readonly number[]> => {
    const found = await Promise.all(['redis', 'sentinel'].map((name) => pods.hook(pod, name, 'readinessProbe')));
    return found.map(({ code }) => code);
  };
  await vi.waitFor(async () => expect((await Promise.all(which.map(probe))).flat()).not.toContain(1), AGREED);
}

const info = (which: Which, section: string): Promise<string> =>
  pods.cli(which, 'portcullis', AUTH('password'), 'INFO', section);

async function primary(among: readonly Which[] = PODS): Promise<Which> {
  const roles = await Promise.all(among.map((which) => info(which, 'replication')));
  const found = among.filter((_, index) => roles[index]?.includes('role:master'));
  expect(found).toHaveLength(1);
  return found[0] ?? 0;
}

const othersThan = (which: Which): Which[] => PODS.filter((each) => each !== which);

async function lock(account: `corp/${number}`): Promise<void> {
  const text = { reason: 'INC-1', by: 'corp:root', at: clock.seconds() };
  const target = { kind: 'account', account } as const;
  const request = { requestId: account, target, lock: text };
  await soon(async () => expect(await store.log.append(request)).toMatchObject({ acknowledged: true }));
}

/** A busy machine may not respond within the 250 ms that a replica has, and a follower that is in step may not confirm within them. */
const soon = <T>(attempt: () => Promise<T>): Promise<T> => vi.waitFor(attempt, AGREED);

const epochNow = (): Promise<string> => soon(async () => (await store.log.position()).epoch);

const locks = async (): Promise<readonly string[]> =>
  (await soon(() => store.locks.list())).map(({ account }) => account).toSorted();

/** Follows the log as a replica does, until it has a lease in an epoch other than that one, and sessions are opened. */
async function followed(before: string): Promise<void> {
  await vi.waitFor(async () => {
    const { position } = await store.log.join(300);
    expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
    expect(position.epoch).not.toBe(before);
    await settle(store, monotonicMs);
    const session = newSession(clock, position, { id: position.epoch, account: 'corp/9', authTime: clock.seconds() });
    expect(await store.sessions.open(session, {})).toMatchObject({ ok: true });
  }, AGREED);
}

it('fails over when the node of the primary is lost, and the old primary comes back as a follower', async () => {
  await lock('corp/1');
  const epoch = await epochNow();
  const lost = await primary();
  await pods.kill(lost);
  await followed(epoch);
  expect(epochs.at(-1)).toMatchObject({ why: 'regime' });
  expect(await locks()).toEqual(['corp/1']);
  pods.start(lost);
  await allReady();
  expect(await info(lost, 'replication')).toMatch(/^role:slave\r?$/m);
  expect(await primary()).not.toBe(lost);
});

it('hands over before the pod of the primary ends, and does nothing in the pod of a follower', async () => {
  const epoch = await epochNow();
  const before = await primary();
  const [follower = 0] = othersThan(before);
  expect(await pods.hook(follower, 'redis', 'preStop')).toEqual({ code: 0, said: '' });
  expect(await primary()).toBe(before);
  await pods.hook(before, 'redis', 'preStop');
  await pods.kill(before);
  expect(await primary(othersThan(before))).not.toBe(before);
  await followed(epoch);
  pods.start(before);
  await allReady();
  expect(await primary()).not.toBe(before);
});

it('keeps the primary, the locks and its service when all three are lost and come back with other addresses', async () => {
  await lock('corp/2');
  const epoch = await epochNow();
  const before = await primary();
  await Promise.all(PODS.map((which) => pods.kill(which)));
  pods.move();
  // The others know what the first one does not: it was no primary when it ended.
  for (const which of PODS) pods.start(which);
  await followed(epoch);
  await allReady();
  expect(await primary()).toBe(before);
  expect(await locks()).toEqual(['corp/1', 'corp/2']);
});

it('waits with an empty volume until another node is the primary', async () => {
  const epoch = await epochNow();
  const emptied = await primary();
  await pods.kill(emptied);
  pods.wipe(emptied);
  pods.start(emptied);
  await followed(epoch);
  await allReady();
  expect(await primary()).not.toBe(emptied);
  expect(await info(emptied, 'keyspace')).toMatch(/^db0:keys=/m);
  expect(await locks()).toEqual(['corp/1', 'corp/2']);
});

it('goes on when a follower is lost, and confirms nothing when two nodes are, until one is back', async () => {
  const first = await primary();
  const [one = 0, two = 0] = othersThan(first);
  await pods.kill(one);
  const { position } = await soon(() => store.log.join(300));
  await soon(async () => expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true }));
  await pods.kill(two);
  await expect(store.log.renew(replica(), position)).rejects.toMatchObject({ reason: 'redis_unacknowledged' });
  pods.start(two);
  await soon(async () => expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true }));
  pods.start(one);
  await allReady();
});

const SENTINEL = ['-p', '26379'];
const DENIED: readonly (readonly [string, () => string, readonly string[]])[] = [
  ['portcullis', () => AUTH('password'), ['REPLICAOF', 'NO', 'ONE']],
  ['portcullis', () => AUTH('password'), ['CONFIG', 'GET', '*']],
  ['portcullis', () => AUTH('password'), ['GET', 'other']],
  ['replication', () => HA('replication-password'), ['GET', '{portcullis}:epoch']],
  ['replication', () => HA('replication-password'), ['INFO']],
  ['replication', () => HA('replication-password'), ['REPLICAOF', 'NO', 'ONE']],
  ['sentinel', () => HA('sentinel-password'), ['GET', '{portcullis}:epoch']],
  ['sentinel', () => HA('sentinel-password'), ['CONFIG', 'GET', 'masterauth']],
  ['sentinel', () => HA('sentinel-password'), ['CONFIG', 'SET', 'dir', '/']],
  ['sentinel', () => HA('sentinel-password'), ['PSYNC', '?', '-1']],
  ['sentinel', () => HA('sentinel-password'), ['FLUSHALL']],
  ['portcullis', () => HA('lookup-password'), [...SENTINEL, 'SENTINEL', 'FAILOVER', 'portcullis']],
  ['portcullis', () => HA('lookup-password'), [...SENTINEL, 'SENTINEL', 'SET', 'portcullis', 'quorum', '1']],
  ['portcullis', () => HA('lookup-password'), [...SENTINEL, 'INFO']],
  ['peer', () => HA('peer-password'), [...SENTINEL, 'SENTINEL', 'REMOVE', 'portcullis']],
  ['peer', () => HA('peer-password'), [...SENTINEL, 'SENTINEL', 'SET', 'portcullis', 'quorum', '1']],
  ['peer', () => HA('peer-password'), [...SENTINEL, 'SENTINEL', 'REPLICAS', 'portcullis']],
  ['peer', () => HA('peer-password'), [...SENTINEL, 'SHUTDOWN']],
];

it.each(DENIED)('does not let the user %s do what it does not need (%#)', async (user, password, command) => {
  expect(await pods.cli(0, user, password(), ...command)).toMatch(/NOPERM/);
});

it.each([[[]], [SENTINEL]])(
  'rejects a client without a password, with that of another user, or without TLS (%#)',
  async (at) => {
    expect(await pods.cli(0, '', '', ...at, 'PING')).toMatch(/NOAUTH/);
    expect(await pods.cli(0, 'peer', AUTH('password'), ...at, 'PING')).toMatch(/WRONGPASS/);
    expect(await pods.cli(0, 'portcullis', HA('replication-password'), ...at, 'PING')).toMatch(/WRONGPASS/);
    const plain = await fetch(`http://${pods.address(0)}:${at[1] ?? 6379}/`).catch(() => undefined);
    expect(plain).toBeUndefined();
  },
);
