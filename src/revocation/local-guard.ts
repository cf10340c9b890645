/**
 * The local guard: targets that this replica rejects because it was asked to revoke them, before anything has been
 * written.
 *
 * A hold is released when its entry has come back through the log, because from then on the view rejects the same
 * credentials. If the write failed, no one knows whether an entry exists. The hold then stays, so that at least
 * this replica does what the admin asked for, until an entry of the same target comes, whichever request it is
 * from, or until there is a new primary generation, in which no credential of the old one is good.
 */
import {
  keyList,
  type CoveringKeys,
  type LogEntry,
  type LogPosition,
  type TargetKey,
} from '../core/credential/revocation.ts';

interface Hold {
  /** The last position of the log that was known here when the hold was made. Undefined before the first join. */
  position: LogPosition | undefined;
  /** The write did not succeed, so the hold does not wait for its own entry. */
  failed: boolean;
  /**
   * An entry that came since rejects what the hold targets. The hold is released if its write fails, or has failed.
   */
  replaced: boolean;
}

export class LocalGuard {
  /** By target, then by the id of the request that made the hold. */
  readonly #holds = new Map<TargetKey, Map<string, Hold>>();
  #known: LogPosition | undefined;

  hold(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key) ?? new Map<string, Hold>();
    holders.set(requestId, { position: this.#known, failed: false, replaced: false });
    this.#holds.set(key, holders);
  }

  /** Notes that the write of `requestId` did not succeed: its hold stays until something replaces it. */
  failed(key: TargetKey, requestId: string): void {
    const hold = this.#holds.get(key)?.get(requestId);
    if (hold !== undefined) hold.failed = true;
    this.#releaseReplaced(key);
  }

  /** Notes that a request made here has this position, which may be further than what has come back. */
  written(position: LogPosition): void {
    if (this.#known?.epoch === position.epoch && position.number > this.#known.number) this.#known = position;
  }

  /**
   * Notes that the entry is in the view. An attacker signs in between an entry and a later hold of the same target,
   * and that entry does not cover the new session, so such an entry does not replace the hold.
   */
  applied({ number, change }: LogEntry): void {
    if (this.#known !== undefined) this.written({ ...this.#known, number });
    if (change.kind !== 'revoked') return;
    for (const hold of this.#holds.get(change.key)?.values() ?? [])
      hold.replaced ||= (hold.position?.number ?? 0) < number;
    this.#releaseReplaced(change.key);
  }

  /** Notes that the log was joined at this position. */
  joined(position: LogPosition): void {
    this.#known = position;
    for (const [key, holders] of this.#holds) {
      for (const hold of holders.values()) {
        hold.position ??= { epoch: position.epoch, number: 0 };
        hold.replaced ||= hold.position.epoch !== position.epoch;
      }
      this.#releaseReplaced(key);
    }
  }

  /**
   * Releases the hold: the entry of `requestId` is in the view, or it was never asked for and nothing replaces it.
   */
  release(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key);
    holders?.delete(requestId);
    if (holders?.size === 0) this.#holds.delete(key);
  }

  /** Whether the session is held. A hold of one of its grants is asked for with `holds`. */
  rejects(keys: CoveringKeys): boolean {
    if (this.#holds.size === 0) return false;
    const { grants: _grants, ...own } = keys;
    // safeguard: LOCAL_GUARD
    return this.#holds.has('all') || keyList(own).some((key) => this.#holds.has(key));
  }

  holds(key: TargetKey): boolean {
    return this.#holds.has(key);
  }

  #releaseReplaced(key: TargetKey): void {
    for (const [id, hold] of this.#holds.get(key) ?? []) if (hold.failed && hold.replaced) this.release(key, id);
  }
}
