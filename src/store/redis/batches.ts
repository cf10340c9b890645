/** Commands that wait together for the confirmation of followers. */
import type { Redis } from 'ioredis';

import type { Limits } from './settings.ts';

/** A reply, and whether enough followers have confirmed what was written with it. */
export interface Confirmed {
  readonly reply: unknown;
  readonly acknowledged: boolean;
}

/** The time limit of one piece of work. */
export interface WorkLimit {
  /** Returns whether the time is over: the caller has been told that it failed, so no further command may be sent. */
  readonly expired: () => boolean;
  /** Starts the time again for a further command, once a reply has arrived. */
  readonly restart: () => void;
}

/** Commands that share one time limit. */
export type Work<T> = (redis: Redis, limit: WorkLimit) => Promise<T>;

interface Waiting {
  readonly command: Work<unknown>;
  readonly confirmed: PromiseWithResolvers<Confirmed>;
}

/** A few milliseconds of Redis' time. */
const LARGEST_BATCH = 64;

/**
 * Sends commands in batches, one batch after another, and each batch has the time limit of one command. A thousand
 * revocations that come at once are so many milliseconds of work that, on a busy machine, the limit would be over
 * for the last of them while the store still writes the first: they would be called not written, be sent again, and
 * the queue would grow. In batches, the limit measures the store and not the queue before it.
 *
 * Where followers must confirm, a batch ends with a WAIT. WAIT covers everything written before it on its own
 * connection and blocks everything behind it (docs/revocation-protocol.md#settings), so one confirms all of the
 * batch or none.
 */
export class Batches {
  readonly #limits: Limits;
  readonly #run: (work: Work<void>) => Promise<void>;
  #waiting: Waiting[] = [];
  #draining = false;

  /** @param run gives a batch the connection, or fails within the time limit */
  constructor(limits: Limits, run: (work: Work<void>) => Promise<void>) {
    this.#limits = limits;
    this.#run = run;
  }

  async send(command: Work<unknown>): Promise<Confirmed> {
    const confirmed = Promise.withResolvers<Confirmed>();
    this.#waiting.push({ command, confirmed });
    if (!this.#draining) void this.#drain();
    return await confirmed.promise;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    while (this.#waiting.length > 0) await this.#batch(this.#waiting.splice(0, LARGEST_BATCH));
    this.#draining = false;
  }

  /** Never throws. */
  async #batch(batch: readonly Waiting[]): Promise<void> {
    let replies = 0;
    try {
      await this.#run((redis, limit) => this.#send(redis, limit, batch, () => (replies += 1)));
    } catch (error) {
      // An attacker who can stop the store has each caller wait for all who came before it. A store that
      // was silent for a whole batch is unavailable for those who wait behind it too, and they are told so now.
      const behind = replies === 0 ? this.#waiting.splice(0) : [];
      for (const { confirmed } of [...batch, ...behind]) confirmed.reject(error);
    }
  }

  /** Sends all of them in one tick, so that nothing comes between the commands and their WAIT. */
  async #send(redis: Redis, limit: WorkLimit, batch: readonly Waiting[], onReply: () => void): Promise<void> {
    const { acknowledgements, waitMs } = this.#limits;
    const replies = batch.map(({ command }) => command(redis, limit));
    // A WAIT without a reply has confirmed nothing.
    const count = acknowledgements === 0 ? 0 : redis.wait(acknowledgements, waitMs).catch(() => -1);
    const settled = replies.map(async (reply, index) => {
      const { confirmed } = batch[index] ?? {};
      try {
        const value = await reply;
        onReply();
        confirmed?.resolve({ reply: value, acknowledged: (await count) >= acknowledgements });
      } catch (error) {
        confirmed?.reject(error);
      }
    });
    await Promise.all([...settled, count]);
  }
}
