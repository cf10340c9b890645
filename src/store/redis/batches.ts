import type { Redis } from 'ioredis';

import type { Limits } from './settings.ts';

/** A reply, and whether enough followers have confirmed what was written with it. */
export interface Confirmed {
  readonly reply: unknown;
  readonly acknowledged: boolean;
}

export type Command = (redis: Redis) => Promise<unknown>;

interface Waiting {
  readonly command: Command;
  readonly expired: () => boolean;
  readonly confirmed: PromiseWithResolvers<Confirmed>;
}

/** A few milliseconds of Redis' time. */
const LARGEST_BATCH = 64;

/**
 * Sends commands followed by a WAIT. WAIT covers everything written before it on its own connection and blocks
 * everything behind it (docs/revocation-protocol.md#settings). So commands that arrive meanwhile are sent
 * together, with one WAIT, which confirms all or none of them.
 */
export class Batches {
  readonly #limits: Limits;
  readonly #waiting: Waiting[] = [];
  #draining = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** @param expired returns true once the caller has been told that it failed: then nothing is sent */
  async send(redis: Redis, command: Command, expired: () => boolean): Promise<Confirmed> {
    const confirmed = Promise.withResolvers<Confirmed>();
    this.#waiting.push({ command, expired, confirmed });
    if (!this.#draining) void this.#drain(redis);
    return await confirmed.promise;
  }

  async #drain(redis: Redis): Promise<void> {
    this.#draining = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, LARGEST_BATCH).filter(({ expired }) => !expired());
      if (batch.length > 0) await this.#batch(redis, batch);
    }
    this.#draining = false;
  }

  /** Sends all of them in one tick, so that nothing comes between the commands and their WAIT. Never throws. */
  async #batch(redis: Redis, batch: readonly Waiting[]): Promise<void> {
    const { acknowledgements, waitMs } = this.#limits;
    const replies = batch.map(({ command }) => command(redis));
    // A WAIT without a reply has confirmed nothing.
    const count = redis.wait(acknowledgements, waitMs).catch(() => -1);
    const settled = replies.map(async (reply, index) => {
      const { confirmed } = batch[index] ?? {};
      try {
        confirmed?.resolve({ reply: await reply, acknowledged: (await count) >= acknowledgements });
      } catch (error) {
        confirmed?.reject(error);
      }
    });
    await Promise.all([...settled, count]);
  }
}
