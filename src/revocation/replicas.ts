/** The replicas as `GET replicas` shows them: this one by what it knows of itself, the others by what it sees of them. */
import type { DrillPart } from '../store/store.ts';
import type { Peer } from './peers.ts';
import type { ReplicaView } from './types.ts';

export interface OwnReplica {
  readonly id: string;
  readonly incarnation: string;
  readonly fenced: boolean;
  /** Monotonic milliseconds of the last renewal that was granted. */
  readonly freshAtMs: number | undefined;
  readonly number: number;
  readonly streamsCut: number;
  readonly drill: DrillPart | undefined;
}

/** @param now monotonic milliseconds */
export function replicaViews(own: OwnReplica, peers: readonly Peer[], now: number): readonly ReplicaView[] {
  const { id, incarnation, fenced, freshAtMs, number, streamsCut, drill } = own;
  const self: ReplicaView = {
    id,
    incarnation,
    self: true,
    state: fenced ? 'fenced' : 'live',
    seenMsAgo: Math.round(now - (freshAtMs ?? 0)),
    number,
    streamsCut,
    ...(drill === undefined ? {} : { drill }),
  };
  return [self, ...peers.map((peer) => viewOf(peer, now))];
}

function viewOf({ state, movedAt, silent }: Peer, now: number): ReplicaView {
  const { name, incarnation, number, streamsCut, drill } = state;
  return {
    id: name,
    incarnation,
    self: false,
    state: silent ? 'silent' : 'live',
    seenMsAgo: Math.round(now - movedAt),
    number,
    streamsCut,
    ...(drill === undefined ? {} : { drill }),
  };
}
