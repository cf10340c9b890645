/**
 * How many sign-ins one address may start: a token bucket per address, per replica, in memory.
 *
 * Threat: each start makes a call to the identity provider and writes to the store. The number of buckets is bounded, so that many
 * addresses cannot eat memory; who pushes a bucket out only forgets that it was empty.
 */
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/address.ts';

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  filledAt: number;
}

export interface RateLimit {
  /** Takes one. @returns 0 when taken, else whole seconds until the next one */
  take(address: string): number;
}

const MAX_BUCKETS = 10_000;

/** @param clock milliseconds */
export function createRateLimit(perMinute: number, clock: { now(): number }): RateLimit {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_BUCKETS });
  const perMillisecond = perMinute / 60_000;
  return {
    take(address) {
      const key = bucketOf(address);
      const now = clock.now();
      const bucket = buckets.get(key) ?? { tokens: perMinute, filledAt: now };
      const elapsed = Math.max(0, now - bucket.filledAt);
      bucket.tokens = Math.min(perMinute, bucket.tokens + elapsed * perMillisecond);
      bucket.filledAt = now;
      buckets.set(key, bucket);
      if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / perMillisecond / 1000);
      bucket.tokens -= 1;
      return 0;
    },
  };
}
