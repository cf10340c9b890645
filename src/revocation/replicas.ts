/** The replicas as `GET replicas` shows them: this one from its own state, the others from what it sees of them. */
import { defined } from '../core/defined.ts';
import type { DrillPart } from '../store/store.ts';
import type { Peer } from './peers.ts';
import type { ReplicaView } from './types.ts';

export interface LocalReplica {
  readonly id: string;
  readonly incarnation: string;
  readonly fenced: boolean;
  /** Monotonic milliseconds of the last renewal that was granted. */
  readonly freshAtMs: number | undefined;
  readonly number: number;
  readonly streamsCut: number;
  readonly drill: DrillPart | undefined;
}

/** @param nowMs monotonic milliseconds */
export function replicaViews(local: LocalReplica, peers: readonly Peer[], nowMs: number): readonly ReplicaView[] {
  const { id, incarnation, fenced, freshAtMs, number, streamsCut, drill } = local;
  const self: ReplicaView = {
    id,
    incarnation,
    self: true,
    state: fenced ? 'fenced' : 'live',
    seenMsAgo: Math.round(nowMs - (freshAtMs ?? 0)),
    number,
    streamsCut,
    ...defined({ drill }),
  };
  return [self, ...peers.map((peer) => viewOf(peer, nowMs))];
}

function viewOf({ state, movedAtMs, silent }: Peer, nowMs: number): ReplicaView {
  const { name, incarnation, number, streamsCut, drill, servesNothing } = state;
  return {
    id: name,
    incarnation,
    self: false,
    state: silent ? 'silent' : 'live',
    seenMsAgo: Math.round(nowMs - movedAtMs),
    number,
    streamsCut,
    ...defined({ drill, servesNothing }),
  };
}
