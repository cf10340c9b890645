/**
 * The own gate: targets that this replica refuses because it was asked to revoke them, before anything has been written.
 *
 * A hold is let go when its entry has come back through the log, because from then on the view refuses the same credentials. Where
 * the write failed nobody knows whether an entry stands; the hold stays, so that this replica at least keeps the admin's word, until a
 * later revocation of the same target has been written.
 */
import type { Coverable, RevocationTarget } from '../core/revocation.ts';
import { targetKey } from './view.ts';

export class OwnGate {
  /** Target -> ids of the requests that hold it shut. */
  readonly #holds = new Map<string, Set<string>>();

  hold(target: RevocationTarget, requestId: string): void {
    const key = targetKey(target);
    const holders = this.#holds.get(key) ?? new Set();
    holders.add(requestId);
    this.#holds.set(key, holders);
  }

  /** The entry of `requestId` is in the view. `failed` are the requests whose write never succeeded: this entry stands in for them. */
  release(target: RevocationTarget, requestId: string, failed: ReadonlySet<string>): void {
    const key = targetKey(target);
    const holders = this.#holds.get(key);
    if (holders === undefined) return;
    holders.delete(requestId);
    for (const other of failed) holders.delete(other);
    if (holders.size === 0) this.#holds.delete(key);
  }

  shutFor(credential: Coverable): boolean {
    if (this.#holds.size === 0) return false;
    return (
      this.#holds.has(targetKey({ kind: 'session', session: credential.session })) ||
      this.#holds.has(targetKey({ kind: 'account', account: credential.account })) ||
      this.#holds.has(targetKey({ kind: 'provider', provider: credential.provider })) ||
      this.#holds.has(targetKey({ kind: 'all' }))
    );
  }
}
