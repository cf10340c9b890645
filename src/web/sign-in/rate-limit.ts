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
  /** As `take`, and takes none. */
  wait(address: string): number;
}

const MAX_BUCKETS = 10_000;

/** @param clock milliseconds */
export function createRateLimit(perMinute: number, clock: { now(): number }): RateLimit {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_BUCKETS });
  const perMillisecond = perMinute / 60_000;
  const filled = (address: string): Bucket => {
    const key = bucketOf(address);
    const now = clock.now();
    const bucket = buckets.get(key) ?? { tokens: perMinute, filledAt: now };
    const elapsed = Math.max(0, now - bucket.filledAt);
    bucket.tokens = Math.min(perMinute, bucket.tokens + elapsed * perMillisecond);
    bucket.filledAt = now;
    buckets.set(key, bucket);
    return bucket;
  };
  const untilNext = ({ tokens }: Bucket): number => (tokens < 1 ? Math.ceil((1 - tokens) / perMillisecond / 1000) : 0);
  return {
    take(address) {
      const bucket = filled(address);
      const wait = untilNext(bucket);
      if (wait === 0) bucket.tokens -= 1;
      return wait;
    },
    wait: (address) => untilNext(filled(address)),
  };
}
