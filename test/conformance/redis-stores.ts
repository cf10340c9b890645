import { randomBytes } from 'node:crypto';

import { Redis } from 'ioredis';
import { vi } from 'vitest';

import type { AppError } from '../../src/core/errors.ts';
import { createRedisStore, type RedisSettings, type SealingKeys } from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { testClock, type StoreUnderTest } from './fixtures.ts';

export const sealingKeys = (kid = 'k1'): SealingKeys => {
  const key = randomBytes(32);
  return { current: { kid, key }, all: new Map([[kid, key]]) };
};

/** Redis, the stores on it and a bare client beside them, all put away together. */
export interface Workbench extends AsyncDisposable {
  readonly redis: RedisServer;
  /** Sees and changes what is in Redis, as somebody with access to it would. */
  readonly bare: Redis;
  readonly errors: AppError[];
  readonly clock: StoreUnderTest['clock'];
  /** A store that has connected. */
  store(options?: { readonly keys?: SealingKeys }): Promise<Store>;
  /** One that may never connect. */
  unconnected(options?: { readonly settings?: Partial<RedisSettings>; readonly keys?: SealingKeys }): Store;
}

/** Waits until the store answers, however busy the machine is. */
export async function answering(store: Store): Promise<Store> {
  await vi.waitFor(() => store.ping(), { timeout: 10_000, interval: 10 });
  return store;
}

export async function workbench(args: readonly string[] = []): Promise<Workbench> {
  const redis = await startRedis({ args });
  const bare = new Redis({ host: '127.0.0.1', port: redis.port, retryStrategy: () => 20 });
  // It loses its connection whenever a test stops the server.
  bare.on('error', () => {});
  const stores: Store[] = [];
  const errors: AppError[] = [];
  const clock = testClock();
  const common = sealingKeys();
  const unconnected: Workbench['unconnected'] = ({ settings = {}, keys = common } = {}) => {
    const store = createRedisStore({
      config: { url: redis.url, prefix: 'gate', ...settings },
      sealingKeys: keys,
      clock,
      onError: (error) => errors.push(error),
    });
    stores.push(store);
    return store;
  };
  return {
    redis,
    bare,
    errors,
    clock,
    unconnected,
    store: (options = {}) => answering(unconnected(options)),
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()));
      bare.disconnect();
      await redis.stop();
    },
  };
}
