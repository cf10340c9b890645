/**
 * The circuit breaker and the queue of one provider: a few requests at a time, and one at a time while it fails,
 * so that a provider that recovers does not get the requests of all sessions at once.
 */
import { isRecent } from '../core/time.ts';

const MAX_CONCURRENT = 8;
/** How long after a failure no request is sent. */
const PAUSE_MS = 5_000;

export class ProviderCircuitBreaker {
  #running = 0;
  #failing = false;
  /** Epoch milliseconds of the last failure, until a request succeeds. */
  #failedAt: number | undefined;
  readonly #waiting: (() => void)[] = [];

  /** The last request failed. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Returns whether no request may be sent now, because one has failed a moment ago. */
  isOpen(now: number): boolean {
    return this.#failedAt !== undefined && isRecent(this.#failedAt, now, PAUSE_MS);
  }

  /** @returns true where the request before had succeeded */
  recordFailure(now: number): boolean {
    const isChange = !this.#failing;
    this.#failing = true;
    this.#failedAt = now;
    return isChange;
  }

  /** @returns true where the request before had failed */
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

  /** Gives free slots to the requests that have waited longest. */
  #startWaiting(): void {
    while (this.#running < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running += 1;
      next();
    }
  }
}
