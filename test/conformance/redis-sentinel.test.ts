/** Three nodes behind three Sentinels: the suite, and what becomes of Portcullis when the master changes. */
import { randomBytes } from 'node:crypto';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { createRedisStore, type EpochEvent, type RedisSettings } from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import {
  startFollowers,
  startLink,
  startRedis,
  startSentinels,
  type Link,
  type RedisServer,
  type Sentinels,
} from '../support/redis.ts';
import { newSession, replica, testClock } from './fixtures.ts';
import { locksConform } from './locks.ts';
import { waitingConforms } from './log.ts';
import { answering, ANY_SKEW, redisConforms, sealingKeys, settle, testMonotonic } from './redis-stores.ts';

/** A failover takes as long as Sentinels need to agree: about a second here, more where the machine is busy. */
const FAILOVER = { timeout: 30_000, interval: 50 };

interface Nodes extends AsyncDisposable {
  readonly master: RedisServer;
  readonly followers: readonly RedisServer[];
  /** Between the master and all others. */
  readonly link: Link;
  readonly sentinels: Sentinels;
}

/** The host of the URL is not dialled. */
const settingsOf = ({ sentinels }: Nodes): Omit<RedisSettings, 'prefix'> => ({
  url: 'redis://redis.example.com:1',
  nodes: 3,
  sentinel: { addresses: sentinels.addresses, master: sentinels.master },
});

async function startNodes(): Promise<Nodes> {
  const master = await startRedis();
  const link = await startLink(master);
  const followers = await startFollowers(2, link);
  const sentinels = await startSentinels(link, 3);
  await Promise.all(sentinels.addresses.map((address) => sees(address, sentinels.master)));
  return {
    master,
    followers,
    link,
    sentinels,
    async [Symbol.asyncDispose]() {
      await sentinels[Symbol.asyncDispose]();
      await link[Symbol.asyncDispose]();
      await Promise.all([master, ...followers].map((server) => server.stop()));
    },
  };
}

/** Waits until a Sentinel knows the others and the followers, without which it puts no one in the master's place. */
async function sees(address: { readonly host: string; readonly port: number }, master: string): Promise<void> {
  const bare = new Redis({ ...address });
  await vi.waitFor(async () => {
    const known = (await bare.call('SENTINEL', 'MASTER', master)) as Record<string, string> | string[];
    const fields = Array.isArray(known) ? pairsOf(known) : known;
    expect(fields).toMatchObject({ 'num-other-sentinels': '2', 'num-slaves': '2', flags: 'master' });
  }, FAILOVER);
  bare.disconnect();
}

const pairsOf = (flat: readonly string[]): Record<string, string> =>
  Object.fromEntries(flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : [])));

describe('through Sentinel', () => {
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await startNodes();
  });
  afterAll(() => nodes[Symbol.asyncDispose]());
  // Entries that followers have to confirm, scripts that write several keys, and reads that block. The rest is the same scripts, which
  // `redis-least.test.ts` runs, and what two followers may do to a revocation, which `redis-nodes.test.ts` has.
  redisConforms(
    'redis through Sentinel with three nodes',
    () => settingsOf(nodes),
    (name, open) => {
      describe(`store: ${name}`, () => {
        locksConform(open);
        waitingConforms(open);
      });
    },
  );
});

/** Nodes of one test's own, and what it does with stores on them. */
async function startStage() {
  const nodes = await startNodes();
  const clock = testClock();
  const monotonicMs = testMonotonic();
  const epochs: EpochEvent[] = [];
  const stores: Store[] = [];
  const keys = sealingKeys();

  async function open(where: Omit<RedisSettings, 'prefix'> = settingsOf(nodes)): Promise<Store> {
    const store = createRedisStore({
      config: { ...where, prefix: 'portcullis' },
      sealingKeys: keys,
      clock,
      clockSkewSeconds: ANY_SKEW,
      monotonicMs: monotonicMs.now,
      onEpoch: (event) => epochs.push(event),
    });
    stores.push(store);
    return await answering(store);
  }

  const settled = async (where?: Omit<RedisSettings, 'prefix'>): Promise<Store> =>
    settle(await open(where), monotonicMs);

  async function lock(store: Store): Promise<void> {
    const text = { reason: 'INC-1', by: 'corp:root', at: clock.seconds() };
    const requestId = randomBytes(8).toString('hex');
    const target = { kind: 'account', account: 'corp/1' } as const;
    expect(await store.log.append({ requestId, target, lock: text })).toMatchObject({ acknowledged: true });
  }

  /** A survivor: in a settled epoch, with a lease, and with a lock that it knows. */
  async function survivor(): Promise<Store> {
    const store = await settled();
    await lock(store);
    const { position } = await store.log.join(300);
    expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
    return store;
  }

  /** Follows the log as a replica does, until it has a lease in an epoch other than that one. */
  async function follow(store: Store, before: string): Promise<void> {
    await vi.waitFor(async () => {
      const { position } = await store.log.join(300);
      expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
      expect(position.epoch).not.toBe(before);
    }, FAILOVER);
  }

  /** Of someone who is locked, and of someone who is not; and whether a revocation is confirmed. */
  async function service(store: Store): Promise<Record<string, unknown>> {
    await settle(store, monotonicMs);
    const at = await store.log.position();
    const another = newSession(clock, at, { account: 'corp/2', subject: '2', authTime: clock.seconds() });
    const opened = await store.sessions.open(another, {});
    const locked = newSession(clock, at, { id: 'locked', authTime: clock.seconds() });
    const refused = await store.sessions.open(locked, {});
    const { acknowledged } = await store.log.append({ requestId: 'after', target: { kind: 'all' } });
    const locks = (await store.locks.list()).map(({ account, reason }) => `${account} ${reason}`);
    return { locks, opened: opened.ok, refused: refused.ok ? 'opened' : refused.reason, acknowledged };
  }

  return {
    ...nodes,
    epochs,
    open,
    settled,
    survivor,
    follow,
    service,
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()));
      await nodes[Symbol.asyncDispose]();
    },
  };
}

const GOES_ON = { locks: ['corp/1 INC-1'], opened: true, refused: 'account_locked', acknowledged: true };

// Each mostly waits for its own Sentinels.
describe.concurrent('when the master changes', () => {
  it('begins a new epoch with the next master when the master is killed, and goes on', async () => {
    await using stage = await startStage();
    const { master, epochs, survivor, follow, service } = stage;
    const store = await survivor();
    const { epoch } = await store.log.position();
    await master.kill();
    await follow(store, epoch);
    expect(epochs.at(-1)).toEqual({ why: 'regime', knowsLocks: true });
    expect(await service(store)).toEqual(GOES_ON);
  });

  it('begins a new epoch when Sentinel is told to change the master, and the old one serves no one', async () => {
    await using stage = await startStage();
    const { master, sentinels, open, survivor, follow, service } = stage;
    const store = await survivor();
    const { epoch } = await store.log.position();
    const sentinel = new Redis({ ...sentinels.addresses[0] });
    await vi.waitFor(() => sentinel.call('SENTINEL', 'FAILOVER', sentinels.master), FAILOVER);
    sentinel.disconnect();
    await follow(store, epoch);
    expect(await service(store)).toEqual(GOES_ON);
    const demoted = await open({ url: master.url, nodes: 3 });
    // Sentinel takes its time to tell it so; until then its followers are gone, and it can grant nothing either.
    await vi.waitFor(
      () => expect(demoted.log.position()).rejects.toMatchObject({ reason: 'redis_read_only' }),
      FAILOVER,
    );
  });

  it('restores the lock although the new master had never heard of it', async () => {
    await using stage = await startStage();
    const { master, followers, survivor, follow, service } = stage;
    const store = await survivor();
    const { epoch } = await store.log.position();
    // As if it had been set a moment before the end, and copied to no one.
    for (const { port } of followers) {
      const bare = new Redis({ port });
      await bare.config('SET', 'replica-read-only', 'no');
      await bare.del('{portcullis}:lock');
      bare.disconnect();
    }
    await master.kill();
    await follow(store, epoch);
    expect(await service(store)).toEqual(GOES_ON);
  });

  it('grants no renewal at a master that its followers and Sentinels cannot reach, and goes on with the next one', async () => {
    await using stage = await startStage();
    const { master, link, settled, survivor, follow, service } = stage;
    const store = await survivor();
    const direct = await settled({ url: master.url, nodes: 3 });
    const before = await direct.log.join(300);
    link.isolate();
    // Both still talk to the old master; neither may trust it.
    const renewal = store.log.renew(replica(), before.position);
    await expect(renewal).rejects.toMatchObject({ code: 'store_unavailable' });
    await follow(store, before.position.epoch);
    expect(await service(store)).toEqual(GOES_ON);
    const left = direct.log.renew(replica(), before.position);
    await expect(left).rejects.toMatchObject({ reason: 'redis_unacknowledged' });
    const written = await direct.log.append({ requestId: 'lost', target: { kind: 'all' } });
    expect(written).toMatchObject({ acknowledged: false, position: { epoch: before.position.epoch } });
  });

  it('goes on when one follower is lost, and stops when both are', async () => {
    await using stage = await startStage();
    const { followers, survivor } = stage;
    const store = await survivor();
    const { position } = await store.log.join(300);
    await followers[0]?.kill();
    expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
    await followers[1]?.kill();
    await expect(store.log.renew(replica(), position)).rejects.toMatchObject({ reason: 'redis_unacknowledged' });
  });

  it('goes on when one Sentinel is lost', async () => {
    await using stage = await startStage();
    const { sentinels, settled } = stage;
    await sentinels.processes[0]?.kill();
    const store = await settled();
    await expect(store.log.position()).resolves.toMatchObject({ number: 0 });
  });
});
