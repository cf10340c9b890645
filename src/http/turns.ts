/**
 * Work that costs more than a look-up is done for one request of an account at a time.
 *
 * An attacker sends sixty of them at once. All wait for the store, and then their work is done in one go, in which the
 * replica renews no lease. A rate limit does not help: it lets through as many at once as it allows in a minute.
 */
import { tooMany } from './call-limits.ts';

/** When to try again, in seconds: the one before takes some milliseconds. */
export const RETRY_SECONDS = 1;

export interface Turns {
  /**
   * Does the work as soon as no other work of this key is being done, in the order of the calls.
   * @param key an account, or what stands for its delegated sessions
   * @throws ProblemError `too_many_requests` where `mostWaiting` wait already; and whatever the work throws
   */
  take<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** True where `take` would throw `too_many_requests` now. */
  isFull(key: string): boolean;
}

/**
 * @param what there is too much of, for messages: `lists at once`
 * @param mostWaiting how many of one key may wait; 0: a second one at the same moment is rejected
 */
export function createTurns(what: string, mostWaiting: number): Turns {
  /** Of each key whose work is being done, those that wait. */
  const lines = new Map<string, (() => void)[]>();
  const isFull = (key: string): boolean => (lines.get(key)?.length ?? -1) >= mostWaiting;
  return {
    isFull,
    async take(key, work) {
      const line = lines.get(key);
      if (line === undefined) {
        lines.set(key, []);
      } else {
        if (isFull(key)) throw tooMany(what, RETRY_SECONDS);
        await new Promise<void>((resolve) => void line.push(resolve));
      }
      try {
        return await work();
      } finally {
        const next = lines.get(key)?.shift();
        if (next === undefined) lines.delete(key);
        else next();
      }
    },
  };
}
