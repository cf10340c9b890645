/**
 * The other replicas, as this one sees them move.
 *
 * A replica is alive while its renewal counter moves, by our own monotonic clock: its wall clock, and what it says of itself, prove
 * nothing. One seen for the first time counts as alive, until it has been silent for W. Time in which we did not look proves nothing either:
 * silence is measured from look to look. W is that of its own lease, whose length it has registered: ours may be shorter.
 */
import { leaseOf, waitFor } from '../core/credential/lease.ts';
import type { ReplicaState } from '../store/store.ts';

export interface Peer {
  readonly state: ReplicaState;
  /** Monotonic milliseconds at which its count was last seen to move, or it was first seen. */
  readonly movedAt: number;
  /** W, in milliseconds, of the longest lease that it has registered: one that was granted before it said less may still run. */
  readonly waitMs: number;
  /** W without a move: its last lease has run out, and the next one will bring it all entries. */
  readonly silent: boolean;
}

export class Peers {
  readonly #own: string;
  #peers = new Map<string, Peer>();
  #observedAt = Number.NEGATIVE_INFINITY;

  /** @param own this process' incarnation, which is no peer */
  constructor(own: string) {
    this.#own = own;
  }

  /** Takes the registry in as it was just read. Who is no longer in it has left. @param now monotonic milliseconds */
  observe(replicas: readonly ReplicaState[], now: number): void {
    this.#observedAt = now;
    const peers = new Map<string, Peer>();
    for (const state of this.others(replicas)) {
      const before = this.#peers.get(state.incarnation);
      const moved = before === undefined || before.state.count !== state.count;
      const movedAt = moved ? now : before.movedAt;
      // safeguard: LEASE_OF_THE_SILENT
      const waitMs = Math.max(waitFor(leaseOf(state)), before?.waitMs ?? 0);
      peers.set(state.incarnation, { state, movedAt, waitMs, silent: now - movedAt >= waitMs });
    }
    this.#peers = peers;
  }

  /** Monotonic milliseconds of the last look. */
  get observedAt(): number {
    return this.#observedAt;
  }

  /** A registry without this process. */
  others(replicas: readonly ReplicaState[]): readonly ReplicaState[] {
    return replicas.filter((state) => state.incarnation !== this.#own);
  }

  /** The store may have begun a new life: what was seen in the one before says nothing about it. */
  clear(): void {
    this.#peers.clear();
  }

  all(): readonly Peer[] {
    return [...this.#peers.values()];
  }

  /** Those that have not moved for `forMs`, nor for their W, as they were last seen. */
  gone(now: number, forMs: number): readonly ReplicaState[] {
    return this.all()
      .filter((peer) => now - peer.movedAt >= Math.max(forMs, peer.waitMs))
      .map((peer) => peer.state);
  }

  get(incarnation: string): Peer | undefined {
    return this.#peers.get(incarnation);
  }
}
