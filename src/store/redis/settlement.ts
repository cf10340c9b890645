/**
 * Leases across the store's lives: what a renewal tells the store of them, and when an epoch is settled.
 *
 * An epoch is settled once a replica has seen it, in one regime, for W. By then whoever held a lease in the epoch before has lost it, or has
 * written its locks back into this one; until then nothing is minted (docs/revocation-protocol.md#settle). W is of the longest lease that
 * may be out there, and not of this replica's own: one with a longer lease would still serve, and still know a lock, when the epoch is settled.
 */
import { leaseOf, waitFor } from '../../core/credential/lease.ts';
import type { Renewal, ReplicaState } from '../store.ts';

export class Settling {
  readonly #monotonic: () => number;
  #seen: { readonly life: string; readonly at: number } | undefined;
  /** As the last renewal that counts has said. */
  #known: Pick<Renewal, 'epoch' | 'longestLeaseMs'> | undefined;

  /** @param monotonic milliseconds of a clock that is never set back */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /**
   * The longest lease that a renewal has to tell the store of: this replica's own, and in a new epoch what was known in the one before, because a
   * store that was emptied has forgotten it. However long ago that was: whoever held it may have renewed since, while this replica was cut off.
   * @returns milliseconds
   */
  toTell(epoch: string, state: ReplicaState): number {
    const own = leaseOf(state);
    const known = this.#known;
    return known === undefined || known.epoch === epoch ? own : Math.max(own, known.longestLeaseMs);
  }

  /** To be called when the reply of a renewal has come that counts. @returns whether this epoch has been seen for W */
  seen({ epoch, regime, longestLeaseMs }: Renewal): boolean {
    const now = this.#monotonic();
    this.#known = { epoch, longestLeaseMs };
    const life = `${epoch} ${regime}`;
    if (this.#seen?.life !== life) this.#seen = { life, at: now };
    return now - this.#seen.at >= waitFor(longestLeaseMs);
  }
}
