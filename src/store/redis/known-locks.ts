import type { Clock } from '../../contracts/clock.ts';
import { ACCOUNT_WATERMARK_SECONDS, LONGEST_TOKEN_SECONDS } from '../lifetimes.ts';
import type { Connection } from './connection.ts';
import { pairs } from './reply.ts';
import type { ChainPlace, Runner } from './runner.ts';
import { readLocks, restoreLocks } from './scripts/locks.ts';
import { unavailable } from './unavailable.ts';

/** Each lock written back may end an account's sessions: few enough for one script's time. */
const BATCH = 50;

interface SurvivorParts {
  readonly runner: Runner;
  readonly main: Connection;
  readonly writes: Connection;
  readonly clock: Clock;
}

/**
 * The locks that this replica knows, sealed as they are, so that they survive a store that forgets them
 * (docs/revocation-protocol.md#head-3). In a new epoch they are written back before this replica has its first lease there.
 */
export class Survivor {
  readonly #parts: SurvivorParts;
  /** The epoch in which `#locks` were read; undefined when they have to be read afresh. */
  #current: string | undefined;
  /** The last epoch in which they were known. */
  #last: string | undefined;
  #locks = new Map<string, string>();

  constructor(parts: SurvivorParts) {
    this.#parts = parts;
  }

  /** Entries may have been missed: what is known of locks has to be read again. */
  joined(): void {
    this.#current = undefined;
  }

  /**
   * To be called before a renewal from this place: makes sure that the store knows what this replica knows of locks, and the other way round.
   * @returns false where that is not so because the epoch is another one there: no lease may come of this round
   * @throws AppError `store_unavailable` also where too few followers confirmed what was written back
   */
  async enter(place: ChainPlace, longestTokenSeconds: number | undefined): Promise<boolean> {
    if (this.#current === place.epoch) return true;
    const isNew = this.#last !== undefined && this.#last !== place.epoch;
    if (isNew && !(await this.#restore(place, longestTokenSeconds))) return false;
    const reply = await this.#parts.runner.runOnce(this.#parts.main, readLocks, [], place);
    if (reply[0] !== 'OK' || reply[1] !== place.epoch) return false;
    this.#locks = new Map(pairs(reply[2]));
    this.#current = place.epoch;
    this.#last = place.epoch;
    return true;
  }

  /** @param reply what a renewal's entries changed: account digest, sealed lock or '', and so on */
  learn(reply: unknown): void {
    for (const [account, lock] of pairs(reply)) {
      if (lock === '') this.#locks.delete(account);
      else this.#locks.set(account, lock);
    }
  }

  async #restore(place: ChainPlace, longestTokenSeconds = LONGEST_TOKEN_SECONDS): Promise<boolean> {
    const { runner, writes, clock } = this.#parts;
    // safeguard: SURVIVOR
    const known = [...this.#locks];
    for (let from = 0; from < known.length; from += BATCH) {
      const args = [
        longestTokenSeconds,
        clock.now() + ACCOUNT_WATERMARK_SECONDS * 1000,
        ...known.slice(from, from + BATCH).flat(),
      ];
      const { reply, acknowledged } = await runner.writeOnce(writes, restoreLocks, args, place);
      if (reply[0] !== 'OK') return false;
      if (!acknowledged) throw unavailable('redis_unacknowledged');
    }
    return true;
  }
}
