/**
 * The own gate: targets that this replica refuses because it was asked to revoke them, before anything has been written.
 *
 * A hold is let go when its entry has come back through the log, because from then on the view refuses the same credentials. Where
 * the write failed nobody knows whether an entry stands; the hold stays, so that this replica at least keeps the admin's word, until an
 * entry of the same target comes, whoever asked for it, or the store begins a new life, in which no credential of the old one is good.
 */
import type { CoveringKeys, LogEntry, LogPosition, TargetKey } from '../core/credential/revocation.ts';

interface Hold {
  /** The last place in the log that was known here when it was asked. Undefined before the first join. */
  at: LogPosition | undefined;
  /** The write did not succeed, so its own entry is not waited for. */
  failed: boolean;
  /** What came since refuses what it targets: it goes if its write fails, or has failed. */
  replaced: boolean;
}

export class LocalGuard {
  /** By target, then by the id of the request that holds it shut. */
  readonly #holds = new Map<TargetKey, Map<string, Hold>>();
  #known: LogPosition | undefined;

  hold(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key) ?? new Map<string, Hold>();
    holders.set(requestId, { at: this.#known, failed: false, replaced: false });
    this.#holds.set(key, holders);
  }

  /** The write of `requestId` did not succeed: its hold stays until something stands in for it. */
  failed(key: TargetKey, requestId: string): void {
    const hold = this.#holds.get(key)?.get(requestId);
    if (hold !== undefined) hold.failed = true;
    this.#letGo(key);
  }

  /** A request asked for here stands at this place, which may be further than what has come back. */
  written(position: LogPosition): void {
    if (this.#known?.epoch === position.epoch && position.number > this.#known.number) this.#known = position;
  }

  /**
   * The entry is in the view. Threat: one that was written before a hold was asked spares who signed in between the two, so it does not
   * replace that hold.
   */
  applied({ number, change }: LogEntry): void {
    if (this.#known !== undefined) this.written({ ...this.#known, number });
    if (change.kind !== 'revoked') return;
    for (const hold of this.#holds.get(change.key)?.values() ?? []) hold.replaced ||= (hold.at?.number ?? 0) < number;
    this.#letGo(change.key);
  }

  /** The log was joined at this place. */
  began(position: LogPosition): void {
    this.#known = position;
    for (const [key, holders] of this.#holds) {
      for (const hold of holders.values()) {
        hold.at ??= { epoch: position.epoch, number: 0 };
        hold.replaced ||= hold.at.epoch !== position.epoch;
      }
      this.#letGo(key);
    }
  }

  /** The entry of `requestId` is in the view; or it was never asked for, and nothing stands in for anybody. */
  release(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key);
    holders?.delete(requestId);
    if (holders?.size === 0) this.#holds.delete(key);
  }

  shutFor({ session, account, provider }: CoveringKeys): boolean {
    if (this.#holds.size === 0) return false;
    // safeguard: LOCAL_GUARD
    return this.#holds.has(session) || this.#holds.has(account) || this.#holds.has(provider) || this.#holds.has('all');
  }

  #letGo(key: TargetKey): void {
    for (const [id, hold] of this.#holds.get(key) ?? []) if (hold.failed && hold.replaced) this.release(key, id);
  }
}
