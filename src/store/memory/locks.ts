/** Locks on accounts in memory. */
import type { Account } from '../../core/identity/identity.ts';
import type { Lock, LockStore } from '../store.ts';

export class MemoryLocks implements LockStore {
  readonly #locks = new Map<Account, Lock>();
  readonly #onRemoved: (account: Account) => void;

  /** @param onRemoved writes the entry, within the caller's tick */
  constructor(onRemoved: (account: Account) => void) {
    this.#onRemoved = onRemoved;
  }

  has(account: Account): boolean {
    return this.#locks.has(account);
  }

  /** Within the caller's tick. */
  set(lock: Lock): void {
    this.#locks.set(lock.account, { ...lock });
  }

  async find(account: Account): Promise<Lock | undefined> {
    const lock = this.#locks.get(account);
    return lock === undefined ? undefined : { ...lock };
  }

  async list(): Promise<readonly Lock[]> {
    return [...this.#locks.values()].map((lock) => ({ ...lock }));
  }

  async remove(account: Account): Promise<boolean> {
    const removed = this.#locks.delete(account);
    if (removed) this.#onRemoved(account);
    return removed;
  }
}
