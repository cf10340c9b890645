/**
 * Leases across primary generations: what a renewal reports about them to the store, and when an epoch is settled.
 *
 * An epoch is settled once a replica has seen it, in one primary generation, for W. By then every replica that
 * held a lease in the epoch before has lost it, or has written its locks back into this one; until then nothing is
 * minted (docs/revocation-protocol.md#settle). W is derived from the longest lease that any replica may hold, not
 * from this replica's own: a replica with a longer lease would still serve, and still know a lock, when the epoch
 * is settled.
 */
import { leaseOf, waitFor } from '../../core/credential/lease.ts';
import type { Renewal, ReplicaState } from '../store.ts';

export class Settlement {
  readonly #monotonicMs: () => number;
  #seen: { readonly key: string; readonly at: number } | undefined;
  /** As reported by the last renewal that counts. */
  #known: Pick<Renewal, 'epoch' | 'longestLeaseMs'> | undefined;

  /** @param monotonicMs milliseconds of a clock that is never set back */
  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /**
   * Returns the longest lease that a renewal must report to the store: this replica's own, and in a new epoch also
   * the longest known in the one before, because a store that lost its data has forgotten it. The time since then
   * does not matter: its holder may have renewed while this replica was cut off.
   * @returns milliseconds
   */
  leaseToReport(epoch: string, state: ReplicaState): number {
    const own = leaseOf(state);
    const known = this.#known;
    return known === undefined || known.epoch === epoch ? own : Math.max(own, known.longestLeaseMs);
  }

  /**
   * Records a renewal that counts.
   * @returns whether this epoch has been seen for W
   */
  seen({ epoch, generation, longestLeaseMs }: Renewal): boolean {
    const now = this.#monotonicMs();
    this.#known = { epoch, longestLeaseMs };
    const key = `${epoch} ${generation}`;
    if (this.#seen?.key !== key) this.#seen = { key, at: now };
    return now - this.#seen.at >= waitFor(longestLeaseMs);
  }
}
