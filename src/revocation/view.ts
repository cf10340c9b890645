/**
 * The view: the log's live entries, indexed so that one check costs four look-ups, however long the log is.
 *
 * Only the highest number is kept for each target. A credential is covered by any entry with a number above its own
 * position, so the highest entry stands for all lower ones.
 */
import type { CoveringKeys, LogEntry, TargetKey } from '../core/credential/revocation.ts';
import { DigestMarks } from './digest-marks.ts';

interface Mark {
  readonly number: number;
  /** Epoch seconds after which no credential can exist that the mark covers. */
  readonly until: number;
}

const EVERYTHING: TargetKey = 'all';

export class View {
  readonly #sessions = new DigestMarks();
  readonly #accounts = new DigestMarks();
  /** Marks of providers, of which a configuration has a handful, and of `all`. */
  readonly #wide = new Map<TargetKey, Mark>();

  /** Number of marks held. */
  get size(): number {
    return this.#sessions.size + this.#accounts.size + this.#wide.size;
  }

  /** Adds an entry. An entry that revokes nothing leaves the view as it is. */
  apply({ change, number, until }: LogEntry): void {
    if (change.kind !== 'revoked') return;
    const { key } = change;
    if (key.startsWith('session:')) this.#sessions.set(key, number, until);
    else if (key.startsWith('account:')) this.#accounts.set(key, number, until);
    else this.#mark(key, number, until);
  }

  /** True if an entry above `number` covers the credential. */
  covers(keys: CoveringKeys, number: number): boolean {
    // An attacker who has the key of a delegated session goes on after the session above it was revoked.
    // safeguard: ANCESTORS
    if (keys.ancestors?.some((ancestor) => this.#sessions.number(ancestor) > number) === true) return true;
    return (
      this.#sessions.number(keys.session) > number ||
      this.#accounts.number(keys.account) > number ||
      (this.#wide.get(keys.provider)?.number ?? 0) > number ||
      (this.#wide.get(EVERYTHING)?.number ?? 0) > number
    );
  }

  /** True if any entry is about this grant, whatever its number: a grant ends once, for tokens minted after that as well. */
  endsGrant(key: TargetKey): boolean {
    return this.#sessions.number(key) > 0;
  }

  /** Removes the marks that can cover no credential any more. @param nowSeconds epoch seconds */
  prune(nowSeconds: number): void {
    this.#sessions.prune(nowSeconds);
    this.#accounts.prune(nowSeconds);
    for (const [key, mark] of this.#wide) if (mark.until < nowSeconds) this.#wide.delete(key);
  }

  /** Replaces everything by the entries that a join has read. */
  reset(entries: readonly LogEntry[]): void {
    this.#sessions.clear();
    this.#accounts.clear();
    this.#wide.clear();
    for (const entry of entries) this.apply(entry);
  }

  #mark(key: TargetKey, number: number, until: number): void {
    const before = this.#wide.get(key);
    this.#wide.set(key, {
      number: Math.max(number, before?.number ?? 0),
      until: Math.max(until, before?.until ?? 0),
    });
  }
}
