/**
 * Limits how often one address (or session, or account) may do what is expensive for us: a token bucket for each,
 * separately on each replica, in memory.
 *
 * An attacker begins sign-ins without end, each of which calls the identity provider and writes to the store, so each
 * address has a limit. An attacker uses many addresses, so the number of buckets is bounded and they cannot exhaust
 * the memory; an address that evicts another one's bucket only makes it full again. If every attempt brings an
 * attacker nearer, `overall` limits all addresses together as well.
 */
import type { Clock } from '../contracts/clock.ts';
import { LRUCache } from 'lru-cache';
import { atMost } from './cache-bound.ts';
import { bucketOf } from './http/address.ts';
import { isRecent } from './time.ts';

interface Bucket {
  tokens: number;
  readonly capacity: number;
  /** Epoch milliseconds. */
  filledAt: number;
}

export interface RateLimiter {
  /**
   * Takes the tokens of one action.
   * @param key an address (of an IPv6 address, its /64 counts), or anything else without a colon; undefined: only `overall` counts
   * @returns 0 when taken, else whole seconds until it can be
   */
  take(key: string | undefined): number;
  /** Gives so many tokens back, for an action that turned out to be harmless. */
  giveBack(key: string | undefined, tokens: number): void;
}

export interface RateLimiterOptions {
  /** `continuous` (default): tokens come back evenly. `each-minute`: all of them a minute after the first was taken. */
  readonly refill?: 'continuous' | 'each-minute';
  /** Tokens that one action takes. Default: 1. */
  readonly cost?: number;
  /** Tokens a minute for all keys together. Default: no limit. */
  readonly overall?: number;
}

const MAX_KEYS = 10_000;
const MINUTE_MS = 60_000;

/** @param perMinute tokens of one key: so many at once, and so many a minute */
export function createRateLimiter(perMinute: number, clock: Clock, options: RateLimiterOptions = {}): RateLimiter {
  const { refill = 'continuous', cost = 1 } = options;
  const buckets = new LRUCache<string, Bucket>(atMost(MAX_KEYS));
  const full = (capacity: number): Bucket => ({ tokens: capacity, capacity, filledAt: clock.nowMs() });
  // Not in the cache, where an attacker with many addresses could push it out.
  const overall = options.overall === undefined ? undefined : full(options.overall);

  function refilled(bucket: Bucket): Bucket {
    const now = clock.nowMs();
    if (refill === 'each-minute') {
      // A clock that is set back begins a new minute: the old one would last until the clock has caught up.
      return isRecent(bucket.filledAt, now, MINUTE_MS) ? bucket : Object.assign(bucket, full(bucket.capacity));
    }
    // A clock that is set back fills nothing, and counts from where it is now.
    const elapsedMs = Math.max(0, now - bucket.filledAt);
    bucket.tokens = Math.min(bucket.capacity, bucket.tokens + (elapsedMs * bucket.capacity) / MINUTE_MS);
    bucket.filledAt = now;
    return bucket;
  }

  function bucketsOf(key: string | undefined): readonly Bucket[] {
    const all = overall === undefined ? [] : [refilled(overall)];
    if (key === undefined) return all;
    const name = bucketOf(key);
    const bucket = refilled(buckets.get(name) ?? full(perMinute));
    buckets.set(name, bucket);
    return [bucket, ...all];
  }

  function waitMs({ tokens, capacity, filledAt }: Bucket): number {
    if (tokens >= cost) return 0;
    if (refill === 'each-minute') return filledAt + MINUTE_MS - clock.nowMs();
    return ((cost - tokens) * MINUTE_MS) / capacity;
  }

  return {
    take(key) {
      const taken = bucketsOf(key);
      const wait = Math.max(0, ...taken.map(waitMs));
      if (wait > 0) return Math.ceil(wait / 1000);
      for (const bucket of taken) bucket.tokens -= cost;
      return 0;
    },
    giveBack(key, tokens) {
      for (const bucket of bucketsOf(key)) bucket.tokens += tokens;
    },
  };
}

export interface Tally {
  /**
   * Counts one more, or several.
   * @returns how many there were under this key since the last audited one, including this one; undefined if this
   * one must not be audited
   */
  add(key: string, count?: number): number | undefined;
}

/** Of all keys together. */
const EVENTS_A_MINUTE = 100;

/**
 * Decides which repeated incidents are audited: for each key one event per minute, which carries the number of
 * incidents.
 *
 * An attacker causes rejections without end, from many addresses, so that the audit log loses what matters. So
 * there are at most a hundred such events per minute in all. Omitted ones are counted in the next event of the
 * same key, and in the metrics.
 * @param clock milliseconds
 */
export function createTally(clock: Clock): Tally {
  const counts = new LRUCache<string, { count: number; auditedAt: number }>(atMost(MAX_KEYS));
  let minute = { since: -Infinity, events: 0 };
  const isOver = (since: number): boolean => Math.abs(clock.nowMs() - since) >= MINUTE_MS;
  return {
    add(key, more = 1) {
      const known = counts.get(key) ?? { count: 0, auditedAt: -Infinity };
      counts.set(key, known);
      known.count += more;
      if (isOver(minute.since)) minute = { since: clock.nowMs(), events: 0 };
      if (!isOver(known.auditedAt) || minute.events >= EVENTS_A_MINUTE) return undefined;
      const { count } = known;
      known.count = 0;
      known.auditedAt = clock.nowMs();
      minute.events += 1;
      return count;
    },
  };
}
