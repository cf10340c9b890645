/**
 * The own gate: targets that this replica refuses because it was asked to revoke them, before anything has been written.
 *
 * A hold is let go when its entry has come back through the log, because from then on the view refuses the same credentials. Where
 * the write failed nobody knows whether an entry stands; the hold stays, so that this replica at least keeps the admin's word, until a
 * later revocation of the same target has been written.
 */
import type { CoveringKeys, TargetKey } from '../core/revocation.ts';

type Hold = 'asked' | 'failed';

export class OwnGate {
  /** By target, then by the id of the request that holds it shut. */
  readonly #holds = new Map<TargetKey, Map<string, Hold>>();

  hold(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key) ?? new Map<string, Hold>();
    holders.set(requestId, 'asked');
    this.#holds.set(key, holders);
  }

  /** The write of `requestId` did not succeed: its hold stays until another entry of the same target stands in for it. */
  failed(key: TargetKey, requestId: string): void {
    this.#holds.get(key)?.set(requestId, 'failed');
  }

  /** The entry of `requestId` is in the view. */
  release(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key);
    if (holders === undefined) return;
    for (const [other, hold] of holders) if (other === requestId || hold === 'failed') holders.delete(other);
    if (holders.size === 0) this.#holds.delete(key);
  }

  /** `requestId` was never asked for; nothing stands in for anybody. */
  withdraw(key: TargetKey, requestId: string): void {
    const holders = this.#holds.get(key);
    holders?.delete(requestId);
    if (holders?.size === 0) this.#holds.delete(key);
  }

  shutFor({ session, account, provider }: CoveringKeys): boolean {
    if (this.#holds.size === 0) return false;
    return this.#holds.has(session) || this.#holds.has(account) || this.#holds.has(provider) || this.#holds.has('all');
  }
}
