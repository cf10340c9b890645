/**
 * When each grant is over, by the monotonic clock of this process (docs/revocation-protocol.md#grants).
 *
 * The store says how long a grant has left by its own clock, and the replica counts that down from before it asked. An
 * attacker sets a clock back an hour, or writes to Redis what was there before: so once this replica knows an end, none
 * that it reads later is later. It is therefore kept when caches are dropped and when the log is joined again, and beyond
 * the end itself.
 */
import { MOST_GRANTS, type SessionGrant } from '../../core/access/request.ts';
import { grantKey, type TargetKey } from '../../core/credential/revocation.ts';

/** By how much this clock may be slower than the store's, as for a lease (`waitFor`). */
const DRIFT = 1.001;

/** Some kilobytes each. As many grants at once as the store has, and those of before. */
const MOST_KEPT = 4 * MOST_GRANTS;

export interface GrantDeadline {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  /** By which an entry of the log covers it. */
  readonly key: TargetKey;
}

export class GrantDeadlines {
  readonly #known = new Map<string, GrantDeadline>();

  /**
   * Notes what the store says. An end that is known already is only ever brought forward.
   * @param askedAtMs monotonic milliseconds, before the store was asked
   */
  note({ id, leftMs }: Pick<SessionGrant, 'id' | 'leftMs'>, askedAtMs: number): void {
    // safeguard: GRANT_NEVER_EXTENDED
    const known = this.#known.get(id);
    // What is no number has no time left.
    const atMs = Math.min(leftMs > 0 ? askedAtMs + leftMs / DRIFT : askedAtMs, known?.atMs ?? Number.POSITIVE_INFINITY);
    if (known === undefined && this.#known.size >= MOST_KEPT) this.#forgetFirstToEnd();
    this.#known.set(id, { atMs, key: known?.key ?? grantKey(id) });
  }

  /** Undefined where it is not known, and then the grant gives nothing. */
  of(id: string): GrantDeadline | undefined {
    return this.#known.get(id);
  }

  #forgetFirstToEnd(): void {
    let first: string | undefined;
    let firstAtMs = Number.POSITIVE_INFINITY;
    for (const [id, { atMs }] of this.#known) if (atMs < firstAtMs) [first, firstAtMs] = [id, atMs];
    if (first !== undefined) this.#known.delete(first);
  }
}
