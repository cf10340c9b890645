import { randomBytes } from 'node:crypto';

import type { LogPosition } from '../../core/revocation.ts';
import type { Clock } from '../clock.ts';
import type { Connection } from './connection.ts';
import { list, text } from './reply.ts';
import { newEpoch, type Script } from './scripts/head.ts';
import { unavailable } from './unavailable.ts';

export type Argument = string | number;

/** A place in the log with its chain hash; '' where the hash is not known (only numbers are compared then). */
export interface ChainPlace extends LogPosition {
  readonly hash: string;
}

const NOWHERE: ChainPlace = { epoch: '', number: 0, hash: '' };

/** Runs scripts with their head's arguments, and begins a new epoch where the head asks for one. */
export class Runner {
  readonly #base: string;
  readonly #clock: Clock;
  /** Where this replica knows the log to be: every script checks it, so that a rolled-back log is seen by whoever comes first. */
  #known: ChainPlace = NOWHERE;

  constructor(base: string, clock: Clock) {
    this.#base = base;
    this.#clock = clock;
  }

  know(place: ChainPlace): void {
    this.#known = place;
  }

  /**
   * @returns the script's answer, whose first element is its own tag. An epoch that was over has been replaced meanwhile, and the
   *   script ran in the new one.
   * @throws AppError `store_unavailable`
   */
  async run(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const reply = await this.runOnce(connection, script, args, this.#known);
      const tag = reply[0];
      if (tag !== 'REGIME' && tag !== 'ROLLBACK') return reply;
      await this.beginEpoch(connection, reply);
    }
    throw unavailable('epoch_unsettled');
  }

  /** Once, from a given place, without looking at what the head says. */
  async runOnce(
    connection: Connection,
    script: Script,
    args: readonly Argument[],
    place: ChainPlace,
  ): Promise<readonly unknown[]> {
    return await this.#evaluate(connection, script, [
      this.#clock.now(),
      place.epoch,
      place.number,
      place.hash,
      ...args,
    ]);
  }

  /** @param seen the head's answer, REGIME or ROLLBACK, with the epoch that was seen */
  async beginEpoch(connection: Connection, seen: readonly unknown[]): Promise<void> {
    this.#known = NOWHERE;
    const id = randomBytes(16).toString('base64url');
    await this.#evaluate(connection, newEpoch, [text(seen[1]), text(seen[2]), id]);
  }

  async #evaluate(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    const reply = await connection.run(async (redis, expired) => {
      try {
        return await redis.evalsha(script.sha, 1, this.#base, ...args);
      } catch (error) {
        // A server that was restarted, or whose scripts were flushed, takes the text again.
        if (expired() || !(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return await redis.eval(script.lua, 1, this.#base, ...args);
      }
    });
    return list(reply);
  }
}
