/**
 * Requests to one provider: a few at a time, and one at a time while it fails, so that a provider that comes back is not met by everybody
 * at once.
 */
import { isRecent } from '../core/time.ts';

const MAX_CONCURRENT = 8;
/** After a failure nobody asks for so long. */
const PAUSE_MS = 5_000;

export class ProviderCircuitBreaker {
  #running = 0;
  #failing = false;
  /** Epoch milliseconds of the last failure, until a request ends well. */
  #failedAt: number | undefined;
  readonly #waiting: (() => void)[] = [];

  /** The last request failed. */
  get failing(): boolean {
    return this.#failing;
  }

  /** It failed a moment ago. */
  isOpen(now: number): boolean {
    return this.#failedAt !== undefined && isRecent(this.#failedAt, now, PAUSE_MS);
  }

  /** @returns true where it is news */
  recordFailure(now: number): boolean {
    const isChange = !this.#failing;
    this.#failing = true;
    this.#failedAt = now;
    return isChange;
  }

  /** @returns true where it is news */
  recordSuccess(): boolean {
    const isChange = this.#failing;
    this.#failing = false;
    this.#failedAt = undefined;
    return isChange;
  }

  async run<T>(request: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    } else this.#running += 1;
    try {
      return await request();
    } finally {
      this.#running -= 1;
      this.#startWaiting();
    }
  }

  get #limit(): number {
    return this.#failing ? 1 : MAX_CONCURRENT;
  }

  /** Hands the free places to those who wait longest. */
  #startWaiting(): void {
    while (this.#running < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running += 1;
      next();
    }
  }
}
