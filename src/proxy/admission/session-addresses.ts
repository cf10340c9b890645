/**
 * Counts the addresses from which one session is used. A stolen token is worth nothing without its key, but an
 * attacker who copies the whole cache of a laptop has both: then one session comes from the user's addresses and
 * from the attacker's.
 */
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/http/address.ts';

/** Office, home, telephone and a VPN are four. A user who travels changes them over days, not within the hour. */
const MAX_ADDRESSES = 4;
const WINDOW_SECONDS = 3600;
const MAX_SESSIONS = 10_000;

interface SeenAddresses {
  /** Epoch seconds. */
  readonly since: number;
  readonly seen: Set<string>;
}

export class SessionAddresses {
  readonly #sessions = new LRUCache<string, SeenAddresses>({ max: MAX_SESSIONS });

  /**
   * Notes one use. An IPv6 /64 counts as one address.
   * @param nowSeconds epoch seconds
   * @returns true once in the window of a session: at the first use from one address too many
   */
  isOneTooMany(session: string, address: string, nowSeconds: number): boolean {
    const known = this.#sessions.get(session);
    const bucket = bucketOf(address);
    if (known === undefined || nowSeconds - known.since >= WINDOW_SECONDS) {
      this.#sessions.set(session, { since: nowSeconds, seen: new Set([bucket]) });
      return false;
    }
    // One address more than the limit is kept, and no more, so that the set stays small.
    if (known.seen.has(bucket) || known.seen.size > MAX_ADDRESSES) return false;
    known.seen.add(bucket);
    return known.seen.size > MAX_ADDRESSES;
  }
}
