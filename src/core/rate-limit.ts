/**
 * How often one address may do what costs us something: a token bucket for each address, of each replica by itself, in memory.
 *
 * An attacker begins sign-ins without end: each start makes a call to the identity provider and writes to the store, so each address has a
 * limit. The attacker uses many addresses: the number of buckets is bounded, so that they cannot use up memory; an address that pushes another
 * one's bucket out only forgets that it was empty.
 */
import type { Clock } from '../contracts/clock.ts';
import { LRUCache } from 'lru-cache';
import { bucketOf } from './http/address.ts';

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  filledAt: number;
}

export interface RateLimit {
  /** Takes one. @returns 0 when taken, else whole seconds until the next one */
  take(address: string): number;
}

const MAX_ADDRESSES = 10_000;
const MINUTE_MS = 60_000;

/** @param clock milliseconds */
export function createRateLimit(perMinute: number, clock: Clock): RateLimit {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_ADDRESSES });
  const perMillisecond = perMinute / MINUTE_MS;
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

export interface Tally {
  /**
   * Counts one more, or so many.
   * @returns how many there were under this key since the last one that was audited, this one included; undefined where this one is not to be
   *   audited
   */
  add(key: string, count?: number): number | undefined;
}

/** Over all keys. */
const EVENTS_A_MINUTE = 100;

/**
 * Of what happens again and again, says what is audited: for each key one event a minute, which carries how often it happened.
 *
 * An attacker has itself refused without end, from as many addresses as it likes, so that the audit log loses what matters: so there are at
 * most a hundred such events a minute in all. What they leave out is in the next one of the same key, and in the metrics.
 * @param clock milliseconds
 */
export function createTally(clock: Clock): Tally {
  const counts = new LRUCache<string, { count: number; auditedAt: number }>({ max: MAX_ADDRESSES });
  let minute = { since: -Infinity, events: 0 };
  const isOver = (since: number): boolean => Math.abs(clock.now() - since) >= MINUTE_MS;
  return {
    add(key, more = 1) {
      const known = counts.get(key) ?? { count: 0, auditedAt: -Infinity };
      counts.set(key, known);
      known.count += more;
      if (isOver(minute.since)) minute = { since: clock.now(), events: 0 };
      if (!isOver(known.auditedAt) || minute.events >= EVENTS_A_MINUTE) return undefined;
      const { count } = known;
      known.count = 0;
      known.auditedAt = clock.now();
      minute.events += 1;
      return count;
    },
  };
}
