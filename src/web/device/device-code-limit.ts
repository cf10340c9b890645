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
const WRONG_COST = 10;
/** All addresses together may try as much as so many of them. */
const OVERALL_FACTOR = 10;

/** Undefined: an address that many users share, so that only the limit of all together counts. */
type Address = string | undefined;

export interface CodeLimit {
  /** Pays for one try. @returns 0 when it may be made, else whole seconds until it may */
  take(address: Address): number;
  /** Gives back most of the cost, because the code was right. */
  refund(address: Address): void;
}

/** @param perMinute tries of one address, `limits.signInsPerMinute` */
export function createCodeLimit(perMinute: number, clock: Clock): CodeLimit {
  const capacity = Math.max(perMinute, WRONG_COST);
  const limiter = createRateLimiter(capacity, clock, { cost: WRONG_COST, overall: capacity * OVERALL_FACTOR });
  return {
    take: (address) => limiter.take(address),
    refund: (address) => limiter.giveBack(address, WRONG_COST - 1),
  };
}
