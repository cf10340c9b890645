/**
 * The view: the log's live entries, indexed so that one question costs four look-ups whatever the log's length.
 *
 * Per target only the highest number is kept. A credential is covered by any entry with a number above its own place, so the
 * highest answers for all the lower ones.
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
  /** Providers, of which a configuration has a handful, and everything. */
  readonly #wide = new Map<TargetKey, Mark>();

  /** Number of marks held. */
  get size(): number {
    return this.#sessions.size + this.#accounts.size + this.#wide.size;
  }

  /** Takes an entry in. An entry that revokes nobody leaves the view as it is. */
  apply({ change, number, until }: LogEntry): void {
    if (change.kind !== 'revoked') return;
    const { key } = change;
    if (key.startsWith('session:')) this.#sessions.set(key, number, until);
    else if (key.startsWith('account:')) this.#accounts.set(key, number, until);
    else this.#mark(key, number, until);
  }

  /** True when an entry above `number` covers the credential. */
  covers(keys: CoveringKeys, number: number): boolean {
    return (
      this.#sessions.number(keys.session) > number ||
      this.#accounts.number(keys.account) > number ||
      (this.#wide.get(keys.provider)?.number ?? 0) > number ||
      (this.#wide.get(EVERYTHING)?.number ?? 0) > number
    );
  }

  /** Forgets what can cover nobody any more. @param now epoch seconds */
  prune(now: number): void {
    this.#sessions.prune(now);
    this.#accounts.prune(now);
    for (const [key, mark] of this.#wide) if (mark.until < now) this.#wide.delete(key);
  }

  /** Begins afresh with what a join has read. */
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
