/** Locks on accounts in Redis. */
import type { Account } from '../../core/identity/identity.ts';
import type { Lock, LockStore } from '../store.ts';
import { accountDigest } from './keys.ts';
import type { RedisParts } from './parts.ts';
import { number, pairs, text } from './reply.ts';
import { findLock, readLocks, removeLock } from './scripts.ts';

/**
 * The hash `lock` holds one sealed lock per account. Scripts only check whether there is one: an unreadable lock
 * still locks.
 */
export class RedisLocks implements LockStore {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async find(account: Account): Promise<Lock | undefined> {
    const hash = accountDigest(account);
    const { runner, main } = this.#parts;
    const sealed = text((await runner.run(main, findLock, [hash]))[1]);
    if (sealed === '') return undefined;
    return (await this.#open(hash, sealed)) ?? unreadable(account);
  }

  async list(): Promise<readonly Lock[]> {
    const { runner, main } = this.#parts;
    const sealed = pairs((await runner.run(main, readLocks, []))[2]);
    const locks = sealed.map(([hash, lock]) => this.#open(hash, lock));
    // A lock that cannot be opened names no account, so it cannot be shown. It locks all the same, and has been
    // reported.
    return (await Promise.all(locks)).filter((lock) => lock !== undefined);
  }

  async remove(account: Account): Promise<boolean> {
    const { runner, main } = this.#parts;
    return number((await runner.run(main, removeLock, [accountDigest(account)]))[1]) === 1;
  }

  async #open(hash: string, sealed: string): Promise<Lock | undefined> {
    const { sealer, keys, reportTampered } = this.#parts;
    const lock = (await sealer.open(sealed, keys.sealedLock(hash))) as Lock | undefined;
    if (lock === undefined) reportTampered('lock');
    return lock;
  }
}

/** Fail closed: otherwise an attacker who can write to Redis could unlock an account by damaging its lock. */
const unreadable = (account: Account): Lock => ({
  account,
  reason:
    'This lock cannot be read: it was changed in Redis, or sealed by a key that no longer exists. It stays in force until it is removed.',
  by: 'unknown',
  at: 0,
});
