import { randomBytes } from 'node:crypto';

import { Redis } from 'ioredis';
import { afterEach, vi } from 'vitest';

import type { AppError } from '../../src/core/errors.ts';
import {
  createRedisStore,
  type EpochEvent,
  type RedisSettings,
  type RedisStoreOptions,
  type SealingKeys,
} from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import { startRedis, type RedisServer, type StartRedis } from '../support/redis.ts';
import { LEASE_MS, replica, testClock, type StoreUnderTest } from './fixtures.ts';
import { storeConforms } from './store.ts';

export const sealingKeys = (kid = 'k1'): SealingKeys => {
  const key = randomBytes(32);
  return { current: { kid, key }, all: new Map([[kid, key]]) };
};

/** The clock of these tests is far from Redis' own, and is moved. */
export const ANY_SKEW = Number.MAX_SAFE_INTEGER / 1000;
/** W of docs/revocation-protocol.md#wait. */
export const W_MS = LEASE_MS * 1.001 + 100;

export interface Monotonic {
  readonly now: () => number;
  advance(milliseconds: number): void;
}

export function testMonotonic(): Monotonic {
  let milliseconds = 1000;
  return {
    now: () => milliseconds,
    advance: (by) => {
      milliseconds += by;
    },
  };
}

/** Waits until the store answers, however busy the machine is. */
export async function answering(store: Store): Promise<Store> {
  await vi.waitFor(() => store.ping(), { timeout: 10_000, interval: 10 });
  return store;
}

/** Lets the store see its epoch for W, as a replica's renewals do, so that it may mint. */
export async function settle(store: Store, monotonicMs: Monotonic): Promise<Store> {
  const { position } = await store.log.join(300);
  const settler = replica({ incarnation: 'settler' });
  for (const wait of [W_MS, 0]) {
    const renewed = await store.log.renew(settler, position);
    if (!renewed.ok) throw new Error(`the epoch could not be settled: ${renewed.reason}`);
    monotonicMs.advance(wait);
  }
  await store.log.leave('settler');
  return store;
}

export type StoreChange = Partial<Omit<RedisStoreOptions, 'config'>> & {
  readonly settings?: Partial<RedisSettings>;
  readonly keys?: SealingKeys;
};

/**
 * The suite on Redis, each test under a prefix of its own, which makes its store empty.
 * @param suite absent: all of it
 */
export function redisConforms(
  name: string,
  settings: () => Omit<RedisSettings, 'prefix'>,
  suite: typeof storeConforms = storeConforms,
): void {
  const opened: Store[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  suite(name, async (options = {}) => {
    const clock = testClock();
    const monotonicMs = testMonotonic();
    const store = createRedisStore({
      config: { ...settings(), prefix: `test-${randomBytes(6).toString('hex')}` },
      sealingKeys: sealingKeys(),
      clock,
      clockSkewSeconds: ANY_SKEW,
      monotonicMs: monotonicMs.now,
      ...options,
    });
    opened.push(store);
    return { store: await settle(await answering(store), monotonicMs), clock };
  });
}

/** Redis, the stores on it and a bare client beside them, all put away together. */
export interface Workbench extends AsyncDisposable {
  readonly redis: RedisServer;
  /** Sees and changes what is in Redis, as someone with access to it would. */
  readonly bare: Redis;
  readonly errors: AppError[];
  readonly epochs: EpochEvent[];
  readonly clock: StoreUnderTest['clock'];
  readonly monotonicMs: Monotonic;
  /** A store that has connected, in an epoch that is settled. */
  store(change?: StoreChange): Promise<Store>;
  /** One that has connected and asked nothing yet. */
  fresh(change?: StoreChange): Promise<Store>;
  /** One that may never connect. */
  unconnected(change?: StoreChange): Store;
}

export async function workbench(args: readonly string[] = [], options: StartRedis = {}): Promise<Workbench> {
  const redis = await startRedis({ ...options, args });
  const bare = new Redis({ host: '127.0.0.1', port: redis.port, retryStrategy: () => 20 });
  // It loses its connection whenever a test stops the server.
  bare.on('error', () => {});
  const stores: Store[] = [];
  const errors: AppError[] = [];
  const epochs: EpochEvent[] = [];
  const clock = testClock();
  const monotonicMs = testMonotonic();
  const common = sealingKeys();
  const unconnected: Workbench['unconnected'] = ({ settings = {}, keys = common, ...change } = {}) => {
    const store = createRedisStore({
      config: { url: redis.url, prefix: 'portcullis', ...settings },
      sealingKeys: keys,
      clock,
      clockSkewSeconds: ANY_SKEW,
      monotonicMs: monotonicMs.now,
      onError: (error) => errors.push(error),
      onEpoch: (event) => epochs.push(event),
      ...change,
    });
    stores.push(store);
    return store;
  };
  const fresh: Workbench['fresh'] = (change = {}) => answering(unconnected(change));
  return {
    redis,
    bare,
    errors,
    epochs,
    clock,
    monotonicMs,
    unconnected,
    fresh,
    store: async (change = {}) => settle(await fresh(change), monotonicMs),
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()));
      bare.disconnect();
      await redis.stop();
    },
  };
}
