/**
 * The progress of one revocation that this replica was asked for, and the result that is made of it
 * (docs/reference/admin-api.md#revocation).
 */
import { leaseOf, waitFor } from '../core/credential/lease.ts';
import type { RevocationTarget, TargetKey } from '../core/credential/revocation.ts';
import type { ReplicaState } from '../store/store.ts';
import type { OtherReplica, Proof, Written } from './proof.ts';
import type { Peers } from './peers.ts';
import type { ReplicaReceipt, RevocationResult, RevocationOrder } from './types.ts';

interface Other {
  readonly name: string;
  /** Flights that it had cut before the entry was written. */
  readonly cutBefore: number;
  receipt: { readonly ms: number; readonly streamsClosed: number } | undefined;
  /** Its highest renewal count that we know of, and since when (monotonic milliseconds). */
  count: number;
  movedAtMs: number;
  /** W of its lease, in milliseconds. */
  waitMs: number;
  silent: boolean;
}

export interface RevocationProgress {
  readonly id: string;
  readonly target: RevocationTarget;
  readonly key: TargetKey;
  readonly canSignInAgain: boolean;
  /** RFC 3339. */
  readonly at: string;
  /** Monotonic milliseconds. */
  readonly begunAtMs: number;
  readonly streamsClosed: number;
  /** Undefined until it has been written. */
  written: Written | undefined;
  /** By incarnation: every other replica in the registry that came with the entry. */
  readonly others: Map<string, Other>;
  /** Everything that it covers has been reset here. */
  isCut: boolean;
  /** Its entry has not come back and still may: the local guard holds its target until then. */
  held: boolean;
  /** Never `open` again once it is something else. */
  proof: Proof;
  /** Monotonic milliseconds at which the proof ended. */
  endedAtMs: number | undefined;
  /** Resolves when the proof ends, with either outcome. */
  readonly ended: PromiseWithResolvers<void>;
}

export function newProgress(
  { target, lock, canSignInAgain }: RevocationOrder,
  begun: Pick<RevocationProgress, 'id' | 'key' | 'at' | 'begunAtMs' | 'streamsClosed'>,
): RevocationProgress {
  return {
    ...begun,
    target,
    // A locked user cannot, whatever else is true of their provider.
    canSignInAgain: lock === undefined && (canSignInAgain ?? true),
    written: undefined,
    others: new Map(),
    isCut: false,
    held: true,
    proof: { outcome: 'open', missing: [] },
    endedAtMs: undefined,
    ended: Promise.withResolvers(),
  };
}

/**
 * Adds the registry that came with the entry. A replica that is not in it joins later, and reads the entry then.
 * @param peers what is known of them in the primary generation of the entry; absent if this replica does not follow
 *   that generation
 */
export function noteOthers(
  progress: RevocationProgress,
  others: readonly ReplicaState[],
  peers: Peers | undefined,
  arrivedAtMs: number,
): void {
  for (const state of others) {
    const { incarnation, name, count, streamsCut } = state;
    const unseen = { silent: false, movedAtMs: arrivedAtMs, waitMs: waitFor(leaseOf(state)) };
    const { silent, movedAtMs, waitMs } = peers?.get(incarnation) ?? unseen;
    progress.others.set(incarnation, {
      name,
      cutBefore: streamsCut,
      receipt: undefined,
      count,
      movedAtMs,
      waitMs,
      silent,
    });
  }
}

/**
 * Adds what the others have shown since. Must only be called while this replica follows the primary generation of
 * the entry.
 * @param options.isFresh the registry was read after the entry was written. A reply that was under way meanwhile
 *   may be older, and a replica that is missing in it may only have come later.
 */
export function noteReceipts(
  progress: RevocationProgress,
  peers: Peers,
  { nowMs, isFresh }: { readonly nowMs: number; readonly isFresh: boolean },
): void {
  const { written, others, begunAtMs } = progress;
  if (written === undefined) return;
  for (const [incarnation, other] of others) {
    const peer = peers.get(incarnation);
    if (peer === undefined) {
      // A replica that has left the registry has cut everything before it left, or had not moved for a minute when
      // it was removed.
      if (isFresh) others.delete(incarnation);
      continue;
    }
    const { state } = peer;
    if (state.count > other.count) [other.count, other.movedAtMs] = [state.count, nowMs];
    // An attacker cuts off a replica whose lease is longer than ours from the store, and goes on there, so its own
    // W counts, not ours.
    other.waitMs = Math.max(other.waitMs, peer.waitMs);
    // safeguard: WAIT_FOR_SILENT
    other.silent = peers.observedAtMs - other.movedAtMs >= other.waitMs;
    if (other.receipt === undefined && state.number >= written.position.number) {
      other.receipt = { ms: nowMs - begunAtMs, streamsClosed: state.streamsCut - other.cutBefore };
    }
  }
}

const stateOf = (other: Other): OtherReplica['state'] =>
  other.receipt === undefined ? (other.silent ? 'fenced' : 'pending') : 'applied';

/** @param nowMs monotonic milliseconds */
export const othersOf = (progress: RevocationProgress, nowMs: number): readonly OtherReplica[] =>
  [...progress.others.values()].map((other) => ({
    name: other.name,
    state: stateOf(other),
    withinMs: other.waitMs - (nowMs - other.movedAtMs),
  }));

/**
 * @param local name of this replica; absent where it serves nothing
 * @param nowMs monotonic milliseconds
 */
export function resultOf(progress: RevocationProgress, local: string | undefined, nowMs: number): RevocationResult {
  const { id, at, written, others, proof, begunAtMs, endedAtMs, canSignInAgain } = progress;
  const own = (name: string): ReplicaReceipt => ({
    id: name,
    state: progress.isCut ? 'applied' : 'pending',
    ms: rounded((written?.arrivedAtMs ?? nowMs) - begunAtMs),
    streamsClosed: progress.streamsClosed,
  });
  const replicas = [...(local === undefined ? [] : [own(local)]), ...[...others.values()].map(receiptOf)];
  const result = {
    id,
    at,
    sessions: written?.sessions ?? 0,
    ...(written?.delegated && { delegated: written.delegated.labels, delegatedCount: written.delegated.count }),
    ...(written?.openRequests !== undefined && { requestsWithdrawn: written.openRequests }),
    streamsClosed: replicas.reduce((total, receipt) => total + (receipt.streamsClosed ?? 0), 0),
    complete: proof.outcome === 'proven',
    elapsedMs: rounded((endedAtMs ?? nowMs) - begunAtMs),
    canSignInAgain,
    replicas,
  };
  return proof.outcome === 'proven' ? result : { ...result, missing: proof.missing };
}

function receiptOf(other: Other): ReplicaReceipt {
  const { name, receipt } = other;
  if (receipt === undefined) return { id: name, state: stateOf(other) };
  return { id: name, state: 'applied', ms: rounded(receipt.ms), streamsClosed: receipt.streamsClosed };
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;
