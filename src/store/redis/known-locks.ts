/** The locks that this replica knows, which survive a store that loses them. */
import type { Clock } from '../../contracts/clock.ts';
import { ACCOUNT_WATERMARK_SECONDS, LONGEST_TOKEN_SECONDS } from '../lifetimes.ts';
import type { Connection } from './connection.ts';
import { pairs } from './reply.ts';
import type { ChainPosition, Runner } from './runner.ts';
import { readLocks, restoreLocks } from './scripts.ts';
import { unavailable } from './unavailable.ts';

/** Each lock written back may end an account's sessions, so a batch is small enough for one script. */
const BATCH = 50;

interface KnownLocksParts {
  readonly runner: Runner;
  readonly main: Connection;
  readonly writes: Connection;
  readonly clock: Clock;
}

/**
 * The locks that this replica knows, still sealed, so that they survive a store that loses them
 * (docs/revocation-protocol.md#head-3). In a new epoch they are written back before this replica has its first
 * lease there.
 */
export class KnownLocks {
  readonly #parts: KnownLocksParts;
  /** The epoch in which `#locks` were read; undefined if they must be read again. */
  #current: string | undefined;
  /** The last epoch in which they were known. */
  #last: string | undefined;
  #locks = new Map<string, string>();

  constructor(parts: KnownLocksParts) {
    this.#parts = parts;
  }

  /** Makes the next renewal read the locks again, because entries may have been missed. */
  invalidate(): void {
    this.#current = undefined;
  }

  /**
   * Synchronizes the locks of this replica and of the store; called before a renewal from this position.
   * @returns false if the store is in another epoch: this round must not grant a lease
   * @throws AppError `store_unavailable`, also if too few followers confirmed the locks that were written back
   */
  async synchronize(position: ChainPosition, longestTokenSeconds: number | undefined): Promise<boolean> {
    if (this.#current === position.epoch) return true;
    const isNew = this.#last !== undefined && this.#last !== position.epoch;
    if (isNew && !(await this.#restore(position, longestTokenSeconds))) return false;
    const reply = await this.#parts.runner.runOnce(this.#parts.main, readLocks, [], position);
    if (reply[0] !== 'OK' || reply[1] !== position.epoch) return false;
    this.#locks = new Map(pairs(reply[2]));
    this.#current = position.epoch;
    this.#last = position.epoch;
    return true;
  }

  /** @param reply what a renewal's entries changed: account digest, sealed lock or '', and so on */
  update(reply: unknown): void {
    for (const [account, lock] of pairs(reply)) {
      if (lock === '') this.#locks.delete(account);
      else this.#locks.set(account, lock);
    }
  }

  async #restore(position: ChainPosition, longestTokenSeconds = LONGEST_TOKEN_SECONDS): Promise<boolean> {
    const { runner, writes, clock } = this.#parts;
    // safeguard: SURVIVOR
    const known = [...this.#locks];
    for (let from = 0; from < known.length; from += BATCH) {
      const args = [
        longestTokenSeconds,
        clock.nowMs() + ACCOUNT_WATERMARK_SECONDS * 1000,
        ...known.slice(from, from + BATCH).flat(),
      ];
      const { reply, acknowledged } = await runner.writeOnce(writes, restoreLocks, args, position);
      if (reply[0] !== 'OK') return false;
      if (!acknowledged) throw unavailable('redis_unacknowledged');
    }
    return true;
  }
}
