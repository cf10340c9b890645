/** Notifications about new entries of the log, and about new subscriptions. */
import type { Redis } from 'ioredis';

import type { Connection } from './connection.ts';

/** The message that announces a new subscription of a tail; any other message announces an entry. */
export const SUBSCRIPTION_NEWS = 'tails';

type Topic = 'entries' | 'subscriptions';

/**
 * Wakes callers that wait for an entry, or for a subscription to the live audit log. Every script that writes the
 * log publishes on one channel, on which this connection listens. It only makes things faster: a lost message
 * costs the time until the next renewal or poll.
 */
export class News {
  readonly #waiters = { entries: new Set<() => void>(), subscriptions: new Set<() => void>() };
  readonly #channel: string;
  readonly #listening = new WeakSet<Redis>();

  constructor(connection: Connection, channel: string) {
    this.#channel = channel;
    connection.onUp((redis) => this.#listen(redis));
  }

  /** @returns a wait that has begun; call `stop` when done with it */
  wait(topic: Topic): { readonly notified: Promise<void>; readonly stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => resolve();
    this.#waiters[topic].add(waiter);
    return {
      notified: promise,
      stop: () => {
        this.#waiters[topic].delete(waiter);
        resolve();
      },
    };
  }

  /** Wakes all of them. */
  wake(): void {
    this.#wake('entries');
    this.#wake('subscriptions');
  }

  #wake(topic: Topic): void {
    for (const waiter of this.#waiters[topic]) waiter();
  }

  #listen(redis: Redis): void {
    if (!this.#listening.has(redis)) {
      this.#listening.add(redis);
      redis.on('message', (_channel, message: string) =>
        this.#wake(message === SUBSCRIPTION_NEWS ? 'subscriptions' : 'entries'),
      );
    }
    redis.subscribe(this.#channel).then(
      // Messages published before the subscription were missed, so every waiting caller checks for itself.
      () => this.wake(),
      () => redis.disconnect(true),
    );
  }
}
