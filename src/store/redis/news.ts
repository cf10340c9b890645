import type { Redis } from 'ioredis';

import type { Connection } from './connection.ts';

/**
 * Wakes those who wait for an entry. Every script that writes the log publishes on one channel; this connection listens. It only
 * makes things fast: a message that is lost costs one renewal's time.
 */
export class News {
  readonly #waiters = new Set<() => void>();
  readonly #channel: string;
  readonly #listening = new WeakSet<Redis>();

  constructor(connection: Connection, channel: string) {
    this.#channel = channel;
    connection.onUp((redis) => this.#listen(redis));
  }

  /** @returns a wait that began now; call `stop` when done with it */
  wait(): { readonly heard: Promise<void>; readonly stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => resolve();
    this.#waiters.add(waiter);
    return {
      heard: promise,
      stop: () => {
        this.#waiters.delete(waiter);
        resolve();
      },
    };
  }

  wake(): void {
    for (const waiter of this.#waiters) waiter();
  }

  #listen(redis: Redis): void {
    if (!this.#listening.has(redis)) {
      this.#listening.add(redis);
      redis.on('message', () => this.wake());
    }
    redis.subscribe(this.#channel).then(
      // What was published while nobody listened was missed: whoever waits looks for itself.
      () => this.wake(),
      () => redis.disconnect(true),
    );
  }
}
