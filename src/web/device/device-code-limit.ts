/**
 * How many codes may be tried, by one address and by all together. A try is paid for as a wrong one before it is made, and most of it is given
 * back where it was right: so tries at the same time are no cheaper than tries one after another.
 *
 * Of each replica by itself, in memory: with 20^8 codes and thirty wrong ones a minute, a guesser at ten replicas has, in the ten minutes of a
 * code, one chance in eight million for each code that is out. A count in the store would make that eighty million, for a write by anybody at
 * each guess, and one guesser could shut the page of every replica with it.
 */
import type { Clock } from '../../contracts/clock.ts';
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/http/address.ts';

/** In right ones. */
const WRONG_COSTS = 10;
/** All addresses together may try as much as so many of them. */
const ALL_OVER_ONE = 10;
const EVERYBODY = 'everybody';
const MAX_ADDRESSES = 10_000;

/** Undefined: nobody's own, so that only what all together may try is left to count by. */
type From = string | undefined;

export interface CodeLimit {
  /** Pays for one try. @returns 0 when it may be made, else whole seconds until it may */
  take(from: From): number;
  /** The try was right. */
  right(from: From): void;
}

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  filledAt: number;
}

/** @param perMinute tries of one address, `limits.signInsPerMinute` @param clock milliseconds */
export function createCodeLimit(perMinute: number, clock: Clock): CodeLimit {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_ADDRESSES });
  // Never dropped by others: it is what addresses without number meet.
  const everybody: Bucket = { tokens: 0, filledAt: -Infinity };
  const most = Math.max(perMinute, WRONG_COSTS);

  function filled(key: string): { readonly bucket: Bucket; readonly capacity: number } {
    const capacity = key === EVERYBODY ? most * ALL_OVER_ONE : most;
    const bucket = key === EVERYBODY ? everybody : (buckets.get(key) ?? { tokens: capacity, filledAt: clock.now() });
    const elapsed = Math.max(0, clock.now() - bucket.filledAt);
    bucket.tokens = Math.min(capacity, bucket.tokens + (elapsed * capacity) / 60_000);
    bucket.filledAt = clock.now();
    if (key !== EVERYBODY) buckets.set(key, bucket);
    return { bucket, capacity };
  }

  const bucketsOf = (from: From) => [...(from === undefined ? [] : [bucketOf(from)]), EVERYBODY].map(filled);

  return {
    take(from) {
      const all = bucketsOf(from);
      const waits = all.map(({ bucket, capacity }) => ((WRONG_COSTS - bucket.tokens) * 60) / capacity);
      const wait = Math.ceil(Math.max(...waits));
      if (wait > 0) return wait;
      for (const { bucket } of all) bucket.tokens -= WRONG_COSTS;
      return 0;
    },
    right(from) {
      for (const { bucket } of bucketsOf(from)) bucket.tokens += WRONG_COSTS - 1;
    },
  };
}
