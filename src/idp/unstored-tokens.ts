/**
 * The newest refresh token of each session whose provider rotates them, while the store does not have it: a
 * provider takes a second use of the old one for theft, so a lost one signs the user out.
 */
import { LRUCache } from 'lru-cache';

/** Longer than a store may be unavailable before every user signs in again. */
const KEPT_MS = 60 * 60 * 1000;

export interface UnstoredTokens {
  /** @param held the token in the store */
  of(held: string): string;
  /** Remembers the token that replaced `held`, until it is stored. */
  remember(held: string, newest: string): void;
  /**
   * Stores the token that replaced `held`, if there is one.
   * @returns the newest one
   * @throws what `store` throws
   */
  stored(held: string, store: ((newest: string) => Promise<void>) | undefined): Promise<string>;
}

export function createUnstoredTokens(): UnstoredTokens {
  // Until it is stored, it is known only here.
  const unstored = new LRUCache<string, string>({ max: 1000, ttl: KEPT_MS });
  const of = (held: string): string => unstored.get(held) ?? held;
  return {
    of,
    remember: (held, newest) => void unstored.set(held, newest),
    async stored(held, store) {
      const newest = of(held);
      if (newest !== held) await store?.(newest);
      unstored.delete(held);
      return newest;
    },
  };
}
