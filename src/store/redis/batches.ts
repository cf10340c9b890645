import type { Redis } from 'ioredis';

import type { Limits } from './settings.ts';

/** An answer, and whether enough followers hold what was written for it. */
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
 * Sends commands with a WAIT behind them. WAIT counts from the last write of its own connection and holds up whatever stands behind it
 * there (docs/revocation-protocol.md#settings), so commands that come meanwhile go together, with one WAIT for all of
 * them, which confirms all or none.
 */
export class Batches {
  readonly #limits: Limits;
  readonly #waiting: Waiting[] = [];
  #flying = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** @param expired says true once the caller has been told that it failed: then nothing is sent */
  async send(redis: Redis, command: Command, expired: () => boolean): Promise<Confirmed> {
    const confirmed = Promise.withResolvers<Confirmed>();
    this.#waiting.push({ command, expired, confirmed });
    if (!this.#flying) void this.#fly(redis);
    return await confirmed.promise;
  }

  async #fly(redis: Redis): Promise<void> {
    this.#flying = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, LARGEST_BATCH).filter(({ expired }) => !expired());
      if (batch.length > 0) await this.#batch(redis, batch);
    }
    this.#flying = false;
  }

  /** All in one tick, so that nothing comes between the commands and their WAIT. Never throws. */
  async #batch(redis: Redis, batch: readonly Waiting[]): Promise<void> {
    const { acknowledgements, waitMs } = this.#limits;
    const replies = batch.map(({ command }) => command(redis));
    // A WAIT that brings no answer has confirmed nothing.
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
