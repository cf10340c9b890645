/**
 * The view: the log's live entries, indexed so that one question costs four look-ups whatever the log's length.
 *
 * Per target only the highest number is kept. A credential is covered by any entry with a number above its own place, so the
 * highest answers for all the lower ones.
 */
import type { Coverable, LogEntry, RevocationTarget } from '../core/revocation.ts';

interface Mark {
  readonly number: number;
  /** Epoch seconds after which no credential can exist that the mark covers. */
  readonly until: number;
}

/** The one key of `all`. */
const EVERYTHING = '*';

/** Where a target is looked up: its kind and the value of that kind. */
function keyOf(target: RevocationTarget): string {
  switch (target.kind) {
    case 'session':
      return target.session;
    case 'account':
      return target.account;
    case 'provider':
      return target.provider;
    case 'all':
      return EVERYTHING;
  }
}

/** A target as one string, for maps that hold targets of every kind. */
export const targetKey = (target: RevocationTarget): string => `${target.kind}:${keyOf(target)}`;

export class View {
  readonly #marks: Record<RevocationTarget['kind'], Map<string, Mark>> = {
    session: new Map(),
    account: new Map(),
    provider: new Map(),
    all: new Map(),
  };

  /** Number of targets held. */
  get size(): number {
    return Object.values(this.#marks).reduce((total, marks) => total + marks.size, 0);
  }

  /** Takes an entry in. An entry that revokes nobody (`identity-changed`) leaves the view as it is. */
  apply(entry: LogEntry): void {
    if (entry.change.kind !== 'revoked') return;
    const { target } = entry.change;
    const marks = this.#marks[target.kind];
    const before = marks.get(keyOf(target));
    marks.set(keyOf(target), {
      number: Math.max(entry.number, before?.number ?? 0),
      until: Math.max(entry.until, before?.until ?? 0),
    });
  }

  /** True when an entry above `number` covers the credential. */
  covers(credential: Coverable, number: number): boolean {
    const { session, account, provider, all } = this.#marks;
    return (
      (session.get(credential.session)?.number ?? 0) > number ||
      (account.get(credential.account)?.number ?? 0) > number ||
      (provider.get(credential.provider)?.number ?? 0) > number ||
      (all.get(EVERYTHING)?.number ?? 0) > number
    );
  }

  /** Forgets what can cover nobody any more. @param now epoch seconds */
  prune(now: number): void {
    for (const marks of Object.values(this.#marks)) {
      for (const [key, mark] of marks) if (mark.until < now) marks.delete(key);
    }
  }

  /** Begins afresh with what a join has read. */
  reset(entries: readonly LogEntry[]): void {
    for (const marks of Object.values(this.#marks)) marks.clear();
    for (const entry of entries) this.apply(entry);
  }
}
