/**
 * From how many places is one session used? A token is worth nothing without its key, but whoever copies a laptop's whole cache has both:
 * then one session comes from the person's places and from the thief's.
 */
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/http/address.ts';

/** Office, home, telephone and a VPN are four; a person who travels changes them over days, not within the hour. */
const MOST_PLACES = 4;
const WINDOW_SECONDS = 3600;
const MOST_SESSIONS = 10_000;

interface Places {
  /** Epoch seconds. */
  readonly since: number;
  readonly seen: Set<string>;
}

export class SessionAddresses {
  readonly #sessions = new LRUCache<string, Places>({ max: MOST_SESSIONS });

  /**
   * Notes one use. An IPv6 /64 is one place.
   * @param now epoch seconds
   * @returns true once in the window of a session: at the first use from one place too many
   */
  isOneTooMany(session: string, address: string, now: number): boolean {
    const known = this.#sessions.get(session);
    const place = bucketOf(address);
    if (known === undefined || now - known.since >= WINDOW_SECONDS) {
      this.#sessions.set(session, { since: now, seen: new Set([place]) });
      return false;
    }
    // One more than the limit is kept, and nothing beyond it: the set stays small whoever fills it.
    if (known.seen.has(place) || known.seen.size > MOST_PLACES) return false;
    known.seen.add(place);
    return known.seen.size > MOST_PLACES;
  }
}
