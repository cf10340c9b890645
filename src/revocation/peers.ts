/**
 * The other replicas, as this one sees their renewal counts move.
 *
 * A replica is alive while its renewal count moves, by our monotonic clock. Its wall clock and its own statements
 * prove nothing. A replica that is seen for the first time counts as alive until it has been silent for W. Time in
 * which this replica read no registry proves nothing either, so silence is measured from one reading to another. W
 * is that of the silent replica's own lease, whose length it has registered: ours may be shorter.
 */
import { leaseOf, waitFor } from '../core/credential/lease.ts';
import type { ReplicaState } from '../store/store.ts';

export interface Peer {
  readonly state: ReplicaState;
  /** Monotonic milliseconds at which its count was last seen to move, or at which it was first seen. */
  readonly movedAtMs: number;
  /**
   * W, in milliseconds, of the longest lease that it has registered: a lease that was granted before it registered
   * a shorter one may still run.
   */
  readonly waitMs: number;
  /**
   * True if its count has not moved for W: its last lease has lapsed, and its next one will bring it all entries.
   */
  readonly silent: boolean;
}

export class Peers {
  readonly #self: string;
  #peers = new Map<string, Peer>();
  #observedAtMs = Number.NEGATIVE_INFINITY;

  /** @param self the incarnation of this process, which is no peer */
  constructor(self: string) {
    this.#self = self;
  }

  /**
   * Takes the registry in as it was just read. A replica that is no longer in it has left. @param nowMs monotonic
   * milliseconds
   */
  observe(replicas: readonly ReplicaState[], nowMs: number): void {
    this.#observedAtMs = nowMs;
    const peers = new Map<string, Peer>();
    for (const state of this.others(replicas)) {
      const before = this.#peers.get(state.incarnation);
      const moved = before === undefined || before.state.count !== state.count;
      const movedAtMs = moved ? nowMs : before.movedAtMs;
      // safeguard: LEASE_OF_THE_SILENT
      const waitMs = Math.max(waitFor(leaseOf(state)), before?.waitMs ?? 0);
      peers.set(state.incarnation, { state, movedAtMs, waitMs, silent: nowMs - movedAtMs >= waitMs });
    }
    this.#peers = peers;
  }

  /** Monotonic milliseconds at which the registry was last read. */
  get observedAtMs(): number {
    return this.#observedAtMs;
  }

  /** Returns a registry without this process. */
  others(replicas: readonly ReplicaState[]): readonly ReplicaState[] {
    return replicas.filter((state) => state.incarnation !== this.#self);
  }

  /**
   * Forgets all. There may be a new primary generation, and what was seen in the one before proves nothing about
   * it.
   */
  clear(): void {
    this.#peers.clear();
  }

  all(): readonly Peer[] {
    return [...this.#peers.values()];
  }

  /** Returns the replicas that have not moved for `forMs`, nor for their W, as they were last seen. */
  gone(nowMs: number, forMs: number): readonly ReplicaState[] {
    return this.all()
      .filter((peer) => nowMs - peer.movedAtMs >= Math.max(forMs, peer.waitMs))
      .map((peer) => peer.state);
  }

  get(incarnation: string): Peer | undefined {
    return this.#peers.get(incarnation);
  }
}
