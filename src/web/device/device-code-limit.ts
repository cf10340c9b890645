/**
 * How many codes may be tried, by one address and by all together. A try is paid for as a wrong one before it is made, and most of it is given
 * back where it was right: so tries at the same time are no cheaper than tries one after another.
 *
 * Of each replica by itself, in memory: with 20^8 codes and thirty wrong ones a minute, an attacker who guesses at ten replicas has, in the ten
 * minutes of a code, one chance in eight million for each code that is out. A count in the store would make that eighty million, for a write to
 * the store at each guess, and one attacker could close the page of every replica with it.
 */
import type { Clock } from '../../contracts/clock.ts';
import { createRateLimiter } from '../../core/rate-limit.ts';

/** In right ones. */
const WRONG_COSTS = 10;
/** All addresses together may try as much as so many of them. */
const ALL_OVER_ONE = 10;

/** Undefined: an address that many users share, so that only the limit of all together counts. */
type From = string | undefined;

export interface CodeLimit {
  /** Pays for one try. @returns 0 when it may be made, else whole seconds until it may */
  take(from: From): number;
  /** The try was right. */
  right(from: From): void;
}

/** @param perMinute tries of one address, `limits.signInsPerMinute` */
export function createCodeLimit(perMinute: number, clock: Clock): CodeLimit {
  const most = Math.max(perMinute, WRONG_COSTS);
  const limiter = createRateLimiter(most, clock, { cost: WRONG_COSTS, overall: most * ALL_OVER_ONE });
  return {
    take: (from) => limiter.take(from),
    right: (from) => limiter.giveBack(from, WRONG_COSTS - 1),
  };
}
