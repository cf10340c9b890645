import { afterAll, beforeAll } from 'vitest';

import { startRedis, type RedisServer } from '../support/redis.ts';
import { redisConforms } from './redis-stores.ts';

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

redisConforms('redis', () => ({ url: redis.url }));
