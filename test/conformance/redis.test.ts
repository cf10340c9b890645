import { randomBytes } from 'node:crypto';

import { afterAll, afterEach, beforeAll } from 'vitest';

import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { testClock } from './fixtures.ts';
import { answering, sealingKeys } from './redis-stores.ts';
import { storeConforms } from './store.ts';

let redis: RedisServer;
const opened: Store[] = [];

beforeAll(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
});
afterAll(() => redis.stop());

storeConforms('redis', async () => {
  const clock = testClock();
  const store = createRedisStore({
    // A prefix of its own makes the store empty.
    config: { url: redis.url, prefix: `test-${randomBytes(6).toString('hex')}` },
    sealingKeys: sealingKeys(),
    clock,
  });
  opened.push(store);
  return { store: await answering(store), clock };
});
