/**
 * The newest refresh token of each session whose provider rotates them, while the store does not have it: a provider takes a second use of the
 * old one for theft, so one that is lost signs the person out.
 */
import { LRUCache } from 'lru-cache';

/** Longer than a store may be away before everybody signs in again. */
const UNSTORED_MS = 60 * 60 * 1000;

export interface NewestTokens {
  /** @param held what the store holds */
  of(held: string): string;
  /**
   * Remembers what took the place of `held`, until it is stored.
   * @throws what `store` throws
   */
  keep(held: string, newest: string, store: ((newest: string) => Promise<void>) | undefined): Promise<void>;
}

export function newestTokens(): NewestTokens {
  const unstored = new LRUCache<string, string>({ max: 1000, ttl: UNSTORED_MS });
  return {
    of: (held) => unstored.get(held) ?? held,
    async keep(held, newest, store) {
      // Until it is stored somewhere, this is the only place that knows it.
      unstored.set(held, newest);
      await store?.(newest);
      unstored.delete(held);
    },
  };
}
