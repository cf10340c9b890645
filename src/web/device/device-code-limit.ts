/**
 * The limit on codes that may be tried, by one address and by all together. A try costs as much as a wrong one
 * before it is made, and most of that is refunded where it was right: so simultaneous tries are no cheaper than
 * sequential ones.
 *
 * Each replica counts by itself, in memory: with 20^8 codes and thirty wrong ones a minute, an attacker who
 * guesses at ten replicas has, in the ten minutes of a code, one chance in eight million for each code that is
 * pending. A count in the store would make that eighty million, at the price of one write for each guess of an
 * unauthenticated client, and one attacker could block the page of every replica with it.
 */
import type { Clock } from '../../contracts/clock.ts';
import { createRateLimiter } from '../../core/rate-limit.ts';
import type { RequestContext } from '../../http/request-context.ts';

/** The cost of a wrong try, in right ones. */
const WRONG_COST = 10;
/** The limit of all addresses together, in limits of one address. */
const OVERALL_FACTOR = 10;

type From = Pick<RequestContext, 'address' | 'shared'>;

export interface CodeLimit {
  /** Takes one try. @returns 0 when it may be made, else whole seconds until it may */
  take(from: From): number;
  /** Gives back most of the cost, because the code was right. */
  refund(from: From): void;
}

/** Undefined for an address that users share: only the limit of all together counts. */
const keyOf = ({ shared, address }: From): string | undefined => (shared === true ? undefined : address);

/** @param perMinute tries of one address, `limits.signInsPerMinute` */
export function createCodeLimit(perMinute: number, clock: Clock): CodeLimit {
  const capacity = Math.max(perMinute, WRONG_COST);
  const limiter = createRateLimiter(capacity, clock, { cost: WRONG_COST, overall: capacity * OVERALL_FACTOR });
  return {
    take: (from) => limiter.take(keyOf(from)),
    refund: (from) => limiter.giveBack(keyOf(from), WRONG_COST - 1),
  };
}
