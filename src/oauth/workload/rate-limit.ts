/**
 * How many exchanges of one address may come to nothing within a minute: `limits.signInsPerMinute`, as sign-ins may be started.
 *
 * Threat: anybody may send anything here. A program in a loop is told to wait and, where it does, costs nothing meanwhile. An exchange that
 * succeeds is never counted and never kept waiting: all the jobs of a company may come from one address, and each has shown a token that its issuer
 * signed for us.
 *
 * Of each replica by itself, in memory: nothing can be guessed by trying.
 */
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/http/address.ts';
import { isRecent } from '../../core/time.ts';

const MINUTE_MS = 60_000;
/** Who pushes another address out only has it begin its minute anew. */
const MAX_ADDRESSES = 10_000;

export interface ExchangePace {
  /**
   * An exchange of this address came to nothing.
   * @returns 0 where that is no more than the limit, else whole seconds until the minute is over
   */
  refused(address: string): number;
}

/** @param options.now epoch milliseconds */
export function createExchangePace(options: {
  readonly rejectionsPerMinute: number;
  readonly now: () => number;
}): ExchangePace {
  const minutes = new LRUCache<string, { readonly since: number; count: number }>({ max: MAX_ADDRESSES });
  return {
    refused(address) {
      const key = bucketOf(address);
      const now = options.now();
      const known = minutes.get(key);
      const minute = known !== undefined && isRecent(known.since, now, MINUTE_MS) ? known : { since: now, count: 0 };
      minute.count += 1;
      minutes.set(key, minute);
      if (minute.count <= options.rejectionsPerMinute) return 0;
      return Math.max(1, Math.ceil((minute.since + MINUTE_MS - now) / 1000));
    },
  };
}
