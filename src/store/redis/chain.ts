/** The hashes by which a replica sees that the log was rolled back. */
import type { LogPosition } from '../../core/credential/revocation.ts';
import type { ChainPosition } from './runner.ts';

/** A replica renews from its last position, so a few are plenty. */
const REMEMBERED = 1024;

/** The chain hashes that this replica has seen. They show when a log was rolled back. */
export class Chain {
  readonly #hashes = new Map<number, string>();
  #epoch = '';

  /** Starts with this position and forgets everything before it. */
  begin(position: LogPosition, hash: string): ChainPosition {
    this.#epoch = position.epoch;
    this.#hashes.clear();
    this.extend(position.number, hash);
    return { ...position, hash };
  }

  extend(number: number, hash: string): void {
    this.#hashes.set(number, hash);
    const [oldest] = this.#hashes.keys();
    if (this.#hashes.size > REMEMBERED && oldest !== undefined) this.#hashes.delete(oldest);
  }

  at(position: LogPosition): ChainPosition {
    const hash = position.epoch === this.#epoch ? this.#hashes.get(position.number) : undefined;
    return { epoch: position.epoch, number: position.number, hash: hash ?? '' };
  }
}
