/**
 * How many exchanges of one address may come to nothing within a minute: `limits.signInsPerMinute`, as sign-ins may be started.
 *
 * Threat: anybody may send anything here, and each costs a signature to verify and perhaps a question to an issuer. An exchange that succeeds
 * costs nothing: all the jobs of a company may come from one address, and each has shown a token that its issuer signed for us.
 *
 * Of each replica by itself, in memory: what is guarded is this replica's own work, and nothing can be guessed by trying.
 */
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/address.ts';
import { isRecent } from '../recent.ts';

const MINUTE_MS = 60_000;
/** Who pushes another address out only has it begin its minute anew. */
const MAX_ADDRESSES = 10_000;

export interface ExchangePace {
  /** @returns 0 where an exchange may be tried, else whole seconds until it may */
  wait(address: string): number;
  /** An exchange of this address came to nothing. */
  refused(address: string): void;
}

/** @param options.now epoch milliseconds */
export function createExchangePace(options: {
  readonly refusalsPerMinute: number;
  readonly now: () => number;
}): ExchangePace {
  const minutes = new LRUCache<string, { readonly since: number; count: number }>({ max: MAX_ADDRESSES });
  const current = (address: string): { readonly since: number; count: number } => {
    const known = minutes.get(bucketOf(address));
    const now = options.now();
    return known !== undefined && isRecent(known.since, now, MINUTE_MS) ? known : { since: now, count: 0 };
  };
  return {
    wait(address) {
      const { since, count } = current(address);
      return count < options.refusalsPerMinute ? 0 : Math.ceil((since + MINUTE_MS - options.now()) / 1000);
    },
    refused(address) {
      const minute = current(address);
      minute.count += 1;
      minutes.set(bucketOf(address), minute);
    },
  };
}
