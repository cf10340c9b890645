/**
 * Is it over everywhere? The one decision behind `complete: true`, as plain data in and plain data out.
 *
 * An entry is proven when it cannot be forgotten (acknowledged), when this replica still stands in the life of the store in which it was
 * written, and when every replica, this one included, has applied it or has no lease. The registry that came with the entry names every replica that has
 * renewed in this life; one that has not may still hold a lease of the life before, for W at most. So either we have followed this life
 * for W, or W has passed since the entry stood. That W is of the longest lease that may be out there, as the store remembers it across its lives.
 *
 * A replica that is silent for W of its own lease has none any more: the last renewal that it can have built on was seen by us W ago. One whose count moved after
 * the entry and whose number stayed below it is not let through by W alone: its renewal was answered with the entry, so it has either not
 * taken the answer in, and then it goes silent or is granted nothing, or its receipt is on the way. It stays pending until we see which.
 */
import type { LogPosition } from '../core/credential/revocation.ts';

/** How this replica stands in the store's life. Undefined while it has no lease. */
export interface UnbrokenLease {
  readonly epoch: string;
  readonly generation: string;
  /** Monotonic milliseconds since which every lease followed on the one before, all in this life. */
  readonly sinceMs: number;
  /** When the last renewal that was granted had been sent. */
  readonly renewedAtMs: number;
  /** W of the longest lease that may still be held from an earlier life. */
  readonly waitMs: number;
}

export interface Written {
  readonly position: LogPosition;
  readonly generation: string;
  /** The store had it confirmed by enough followers when it answered. */
  readonly acknowledged: boolean;
  /** Monotonic milliseconds at which that answer arrived. */
  readonly arrivedAt: number;
  readonly sessions: number;
}

export interface OtherReplica {
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'fenced';
  /** Of `pending`: milliseconds after which it is fenced if it stays silent. */
  readonly withinMs: number;
}

export interface ProofQuestion {
  readonly written: Written;
  /** This replica has applied the entry, and those that were written with it. */
  readonly isBack: boolean;
  /** Streams that it covers are still to be reset here. */
  readonly isCutting: boolean;
  readonly others: readonly OtherReplica[];
  readonly footing: UnbrokenLease | undefined;
  /** Monotonic milliseconds. */
  readonly now: number;
}

export type Proof =
  | { readonly outcome: 'proven' }
  /** It can never be proven: the life of the store in which it was written is over. */
  | { readonly outcome: 'void'; readonly missing: readonly string[] }
  | { readonly outcome: 'open'; readonly missing: readonly string[] };

const NEW_LIFE = 'the store began a new life: everybody signs in again; send it again to be sure';

export function judgeProof({ written, isBack, isCutting, others, footing, now }: ProofQuestion): Proof {
  if (footing === undefined) {
    return { outcome: 'open', missing: ['this replica: it has no lease now and cannot see the others'] };
  }
  if (!isSameLife(footing, written)) {
    return isOver(footing, written)
      ? { outcome: 'void', missing: [NEW_LIFE] }
      : { outcome: 'open', missing: ['this replica: it has not yet followed the store into its present life'] };
  }
  const missing = others
    .filter(({ state }) => state === 'pending')
    .map(({ name, withinMs }) => `replica ${name}: within ${seconds(withinMs)}`);
  // The own gate knows what was asked for, and not the browser session that the store ended with it.
  if (!isBack) missing.push('this replica: it has not yet read the entry back');
  if (isCutting) missing.push('this replica: it still closes streams');
  // A renewal that was sent after the answer and acknowledged confirms all that was written before it.
  if (!written.acknowledged && footing.renewedAtMs <= written.arrivedAt) {
    missing.push('redis: not enough followers have acknowledged');
  }
  // From an answer that no follower confirmed nothing is counted: a primary that has been replaced gives it too, while its successor grants
  // leases. Found by test/model/primary-generation.pml.
  const settled = Math.max(now - footing.sinceMs, written.acknowledged ? now - written.arrivedAt : 0);
  if (settled < footing.waitMs) {
    missing.push(`replicas from before the store's present life: within ${seconds(footing.waitMs - settled)}`);
  }
  return missing.length === 0 ? { outcome: 'proven' } : { outcome: 'open', missing };
}

export const isSameLife = (footing: UnbrokenLease, written: Written): boolean =>
  footing.epoch === written.position.epoch && footing.generation === written.generation;

/**
 * The life in which the entry was written has ended. Not by another epoch alone: an entry may be the first thing that this replica hears of
 * a new life, and then it is our own footing that is old.
 */
export const isOver = (footing: UnbrokenLease, written: Written): boolean =>
  !isSameLife(footing, written) && footing.renewedAtMs > written.arrivedAt;

const seconds = (ms: number): string => `${(Math.max(ms, 100) / 1000).toFixed(1)} s`;
