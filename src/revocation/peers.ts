/**
 * The other replicas, as this one sees them move.
 *
 * A replica is alive while its renewal counter moves, by our own monotonic clock: its wall clock, and what it says of itself, prove
 * nothing. One seen for the first time counts as alive, until it has been silent for `silentMs`.
 */
import type { ReplicaState } from '../store/store.ts';

export interface Peer {
  readonly state: ReplicaState;
  /** Monotonic milliseconds at which its count was last seen to move, or it was first seen. */
  readonly movedAt: number;
}

export class Peers {
  readonly #own: string;
  readonly #silentMs: number;
  #peers = new Map<string, Peer>();

  /** @param own this process' incarnation, which is no peer */
  constructor(own: string, silentMs: number) {
    this.#own = own;
    this.#silentMs = silentMs;
  }

  /** Takes the registry in as it was just read. Who is no longer in it has left. */
  observe(replicas: readonly ReplicaState[], now: number): void {
    const peers = new Map<string, Peer>();
    for (const state of replicas) {
      if (state.incarnation === this.#own) continue;
      const before = this.#peers.get(state.incarnation);
      const moved = before === undefined || before.state.count !== state.count;
      peers.set(state.incarnation, { state, movedAt: moved ? now : before.movedAt });
    }
    this.#peers = peers;
  }

  alive(now: number): readonly Peer[] {
    return [...this.#peers.values()].filter((peer) => now - peer.movedAt < this.#silentMs);
  }

  /** Incarnations that have not moved for `forMs`: they will not come back under that name. */
  silent(now: number, forMs: number): readonly string[] {
    return [...this.#peers.values()].filter((p) => now - p.movedAt >= forMs).map((p) => p.state.incarnation);
  }

  get(incarnation: string): Peer | undefined {
    return this.#peers.get(incarnation);
  }
}
