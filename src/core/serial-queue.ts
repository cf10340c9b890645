/**
 * Work that costs more than a look-up is done for one request of an account at a time.
 *
 * An attacker sends sixty of them at once. All wait for the store, and then their work is done in one go, in which the
 * replica renews no lease. A rate limit does not help: it lets through as many at once as it allows in a minute.
 */
import { no, ok, type Result } from './result.ts';

/** When to try again after `full`, in seconds: the work before takes some milliseconds. */
export const RETRY_SECONDS = 1;

export class SerialQueue {
  readonly #mostWaiting: number;
  /** Of each key whose work is being done, those that wait. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /** @param mostWaiting how many of one key may wait; 0: a second one at the same moment is rejected */
  constructor(mostWaiting: number) {
    this.#mostWaiting = mostWaiting;
  }

  /**
   * Does the work as soon as no other work of this key is being done, in the order of the calls.
   * @param key an account, or what stands for its delegated sessions
   * @returns what the work returned, or that too many of this key wait
   * @throws whatever the work throws
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<Result<T, 'full'>> {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      this.#waiting.set(key, []);
    } else {
      if (waiting.length >= this.#mostWaiting) return no('full');
      await new Promise<void>((resolve) => void waiting.push(resolve));
    }
    try {
      return ok(await work());
    } finally {
      const next = this.#waiting.get(key)?.shift();
      if (next === undefined) this.#waiting.delete(key);
      else next();
    }
  }
}
