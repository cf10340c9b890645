/**
 * Decides whether a revocation is in force everywhere: the one decision behind `complete: true`, as plain data in
 * and plain data out.
 *
 * An entry is proven when three conditions hold. It cannot be forgotten (it is acknowledged). This replica still
 * follows the primary generation in which it was written. And every replica, this one included, has applied it or
 * has no lease. The registry that came with the entry names every replica that has renewed in this generation. A
 * replica that has not renewed in it may still hold a lease of the generation before, for W at most. So either this
 * replica has followed this generation for W, or W has passed since the entry was written. That W is of the longest
 * lease that may exist, which the store remembers across its generations.
 *
 * A replica that is silent for W of its own lease has no lease any more: we saw, W ago, the last renewal that its
 * lease can rest on. W alone does not prove a replica whose count moved after the entry and whose number stayed
 * below it. Its renewal returned the entry. Either it has not processed that reply, and then it goes silent or is
 * granted nothing, or its receipt is on the way. It stays pending until we see which.
 */
import type { Appended } from '../store/store.ts';
import type { LogPosition } from '../core/credential/revocation.ts';

/**
 * A lease that has followed without a gap on those before it, all in one primary generation. Undefined while this
 * replica has no lease.
 */
export interface UnbrokenLease {
  readonly epoch: string;
  readonly generation: string;
  /** Monotonic milliseconds since which every lease followed on the one before, all in this generation. */
  readonly sinceMs: number;
  /** Monotonic milliseconds at which the last renewal that was granted had been sent. */
  readonly renewedAtMs: number;
  /** W of the longest lease that may still be held from an earlier generation. */
  readonly waitMs: number;
}

export interface Written {
  readonly position: LogPosition;
  readonly generation: string;
  /** True if enough followers had confirmed the entry when the store replied. */
  readonly acknowledged: boolean;
  /** Monotonic milliseconds at which that reply arrived. */
  readonly arrivedAtMs: number;
  readonly sessions: number;
  readonly delegated?: Appended['delegated'];
  readonly openRequests?: Appended['openRequests'];
}

export interface OtherReplica {
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'fenced';
  /** If `pending`: milliseconds after which it is fenced if it stays silent. */
  readonly withinMs: number;
}

export interface ProofInput {
  readonly written: Written;
  /** True if this replica has applied the entry, and those that were written with it. */
  readonly isBack: boolean;
  /** How many streams are still to be reset here, those that it covers among them. */
  readonly streamsLeft: number;
  readonly others: readonly OtherReplica[];
  readonly unbrokenLease: UnbrokenLease | undefined;
  /** Monotonic milliseconds. */
  readonly nowMs: number;
}

export type Proof =
  | { readonly outcome: 'proven' }
  /** It can never be proven: the primary generation in which it was written is over. */
  | { readonly outcome: 'void'; readonly missing: readonly string[] }
  | { readonly outcome: 'open'; readonly missing: readonly string[] };

/** What is missing from a proof that is void. */
export const NEW_GENERATION =
  'there is a new primary generation, so all users sign in again: send the revocation again to be sure';

export function judgeProof({ written, isBack, streamsLeft, others, unbrokenLease, nowMs }: ProofInput): Proof {
  if (unbrokenLease === undefined) {
    return { outcome: 'open', missing: ['this replica: it has no lease now, so it cannot see the others'] };
  }
  if (!isSameGeneration(unbrokenLease, written)) {
    return isGenerationOver(unbrokenLease, written)
      ? { outcome: 'void', missing: [NEW_GENERATION] }
      : { outcome: 'open', missing: ['this replica: it has not yet followed the store to its new primary generation'] };
  }
  const missing = others
    .filter(({ state }) => state === 'pending')
    .map(({ name, withinMs }) => `replica ${name}: within ${seconds(withinMs)}`);
  // The local guard knows the target, but not the browser session that the store ended with it.
  if (!isBack) missing.push('this replica: it has not yet read the entry back');
  if (streamsLeft > 0) missing.push(`this replica: it still closes streams, ${streamsLeft} are left`);
  // A renewal that was sent after the reply and acknowledged confirms all that was written before it.
  if (!written.acknowledged && unbrokenLease.renewedAtMs <= written.arrivedAtMs) {
    missing.push('redis: not enough followers have acknowledged');
  }
  // No time is counted from a reply that no follower confirmed: a primary that has been replaced sends such a reply
  // too, while its successor grants leases. Found by test/model/primary-generation.pml.
  const settled = Math.max(nowMs - unbrokenLease.sinceMs, written.acknowledged ? nowMs - written.arrivedAtMs : 0);
  if (settled < unbrokenLease.waitMs) {
    missing.push(`replicas of an earlier primary generation: within ${seconds(unbrokenLease.waitMs - settled)}`);
  }
  return missing.length === 0 ? { outcome: 'proven' } : { outcome: 'open', missing };
}

export const isSameGeneration = (unbrokenLease: UnbrokenLease, written: Written): boolean =>
  unbrokenLease.epoch === written.position.epoch && unbrokenLease.generation === written.generation;

/**
 * True if the generation in which the entry was written has ended. A different epoch alone does not show that: an
 * entry may be the first sign of a new generation that reaches this replica, and then its own lease is the older
 * one.
 */
export const isGenerationOver = (unbrokenLease: UnbrokenLease, written: Written): boolean =>
  !isSameGeneration(unbrokenLease, written) && unbrokenLease.renewedAtMs > written.arrivedAtMs;

const seconds = (ms: number): string => `${(Math.max(ms, 100) / 1000).toFixed(1)} s`;
