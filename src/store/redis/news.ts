import type { Redis } from 'ioredis';

import type { Connection } from './connection.ts';

/** What is published where a tail has a new wish; anything else is about an entry. */
export const WISH_NEWS = 'tails';

type Topic = 'entries' | 'wishes';

/**
 * Wakes those who wait for an entry, or for a wish of who tails the record. Every script that writes the log publishes on one channel; this
 * connection listens. It only makes things fast: a message that is lost costs one renewal's time, or one look's.
 */
export class News {
  readonly #waiters = { entries: new Set<() => void>(), wishes: new Set<() => void>() };
  readonly #channel: string;
  readonly #listening = new WeakSet<Redis>();

  constructor(connection: Connection, channel: string) {
    this.#channel = channel;
    connection.onUp((redis) => this.#listen(redis));
  }

  /** @returns a wait that began now; call `stop` when done with it */
  wait(topic: Topic): { readonly heard: Promise<void>; readonly stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => resolve();
    this.#waiters[topic].add(waiter);
    return {
      heard: promise,
      stop: () => {
        this.#waiters[topic].delete(waiter);
        resolve();
      },
    };
  }

  /** All of them. */
  wake(): void {
    this.#wake('entries');
    this.#wake('wishes');
  }

  #wake(topic: Topic): void {
    for (const waiter of this.#waiters[topic]) waiter();
  }

  #listen(redis: Redis): void {
    if (!this.#listening.has(redis)) {
      this.#listening.add(redis);
      redis.on('message', (_channel, said: string) => this.#wake(said === WISH_NEWS ? 'wishes' : 'entries'));
    }
    redis.subscribe(this.#channel).then(
      // What was published while nobody listened was missed: whoever waits looks for itself.
      () => this.wake(),
      () => redis.disconnect(true),
    );
  }
}
