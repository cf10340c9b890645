/** What this replica knows of one revocation that it was asked for, and the response that is made of it (docs/reference/admin-api.md#revocation). */
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
  /** The highest renewal of its that we know of, and since when (monotonic milliseconds). */
  count: number;
  movedAt: number;
  /** W of its lease, in milliseconds. */
  waitMs: number;
  silent: boolean;
}

export interface RevocationRecord {
  readonly id: string;
  readonly target: RevocationTarget;
  readonly key: TargetKey;
  readonly canSignInAgain: boolean;
  /** RFC 3339. */
  readonly at: string;
  /** Monotonic milliseconds. */
  readonly begunAt: number;
  readonly streamsClosed: number;
  /** Undefined until it has been written. */
  written: Written | undefined;
  /** By incarnation: every other replica in the registry that came with the entry. */
  readonly others: Map<string, Other>;
  /** Everything that it covers has been reset here. */
  isCut: boolean;
  /** Its entry has not come back, and still may: the own gate is shut for it until then. */
  held: boolean;
  /** Never `open` again once it is something else. */
  proof: Proof;
  /** Monotonic milliseconds at which the proof came to its end. */
  endedAt: number | undefined;
  /** Resolves with the end of the proof, whichever. */
  readonly ended: PromiseWithResolvers<void>;
}

export function newRecord(
  { target, lock, canSignInAgain }: RevocationOrder,
  begun: Pick<RevocationRecord, 'id' | 'key' | 'at' | 'begunAt' | 'streamsClosed'>,
): RevocationRecord {
  return {
    ...begun,
    target,
    // Whoever is locked out cannot, whatever else is true of their provider.
    canSignInAgain: lock === undefined && (canSignInAgain ?? true),
    written: undefined,
    others: new Map(),
    isCut: false,
    held: true,
    proof: { outcome: 'open', missing: [] },
    endedAt: undefined,
    ended: Promise.withResolvers(),
  };
}

/**
 * Takes the registry in that came with the entry: who is not in it joins later, and with the entry.
 * @param peers what is known of them in the entry's life of the store; absent where this replica does not stand in it
 */
export function noteOthers(
  record: RevocationRecord,
  others: readonly ReplicaState[],
  peers: Peers | undefined,
  arrivedAt: number,
): void {
  for (const state of others) {
    const { incarnation, name, count, streamsCut } = state;
    const unseen = { silent: false, movedAt: arrivedAt, waitMs: waitFor(leaseOf(state)) };
    const { silent, movedAt, waitMs } = peers?.get(incarnation) ?? unseen;
    record.others.set(incarnation, { name, cutBefore: streamsCut, receipt: undefined, count, movedAt, waitMs, silent });
  }
}

/**
 * Takes in what the others have shown since. To be called only while this replica stands in the entry's life of the store.
 * @param options.isFresh the registry was read after the entry was written. An answer that was under way meanwhile may be older, and whoever is
 *   missing in it may only have come later.
 */
export function noteReceipts(
  record: RevocationRecord,
  peers: Peers,
  { now, isFresh }: { readonly now: number; readonly isFresh: boolean },
): void {
  const { written, others, begunAt } = record;
  if (written === undefined) return;
  for (const [incarnation, other] of others) {
    const peer = peers.get(incarnation);
    if (peer === undefined) {
      // Who has left the registry has cut everything before it went, or had not moved for a minute until the moment it was taken out.
      if (isFresh) others.delete(incarnation);
      continue;
    }
    const { state } = peer;
    if (state.count > other.count) [other.count, other.movedAt] = [state.count, now];
    // Attacker has a replica whose lease is longer than ours cut off from the store, and goes on there: so its own W counts, not ours.
    other.waitMs = Math.max(other.waitMs, peer.waitMs);
    // safeguard: WAIT_FOR_SILENT
    other.silent = peers.observedAt - other.movedAt >= other.waitMs;
    if (other.receipt === undefined && state.number >= written.position.number) {
      other.receipt = { ms: now - begunAt, streamsClosed: state.streamsCut - other.cutBefore };
    }
  }
}

const stateOf = (other: Other): OtherReplica['state'] =>
  other.receipt === undefined ? (other.silent ? 'fenced' : 'pending') : 'applied';

/** @param now monotonic milliseconds */
export const othersOf = (record: RevocationRecord, now: number): readonly OtherReplica[] =>
  [...record.others.values()].map((other) => ({
    name: other.name,
    state: stateOf(other),
    withinMs: other.waitMs - (now - other.movedAt),
  }));

/** @param now monotonic milliseconds */
export function answerOf(record: RevocationRecord, replicaName: string, now: number): RevocationResult {
  const { id, at, written, others, proof, begunAt, endedAt, canSignInAgain } = record;
  const own: ReplicaReceipt = {
    id: replicaName,
    state: record.isCut ? 'applied' : 'pending',
    ms: rounded((written?.arrivedAt ?? now) - begunAt),
    streamsClosed: record.streamsClosed,
  };
  const replicas = [own, ...[...others.values()].map(receiptOf)];
  const answer = {
    id,
    at,
    sessions: written?.sessions ?? 0,
    streamsClosed: replicas.reduce((total, receipt) => total + (receipt.streamsClosed ?? 0), 0),
    complete: proof.outcome === 'proven',
    elapsedMs: rounded((endedAt ?? now) - begunAt),
    canSignInAgain,
    replicas,
  };
  return proof.outcome === 'proven' ? answer : { ...answer, missing: proof.missing };
}

function receiptOf(other: Other): ReplicaReceipt {
  const { name, receipt } = other;
  if (receipt === undefined) return { id: name, state: stateOf(other) };
  return { id: name, state: 'applied', ms: rounded(receipt.ms), streamsClosed: receipt.streamsClosed };
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;
