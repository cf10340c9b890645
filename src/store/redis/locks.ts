import type { Account } from '../../core/identity/identity.ts';
import type { Lock, LockStore } from '../store.ts';
import { accountDigest } from './keys.ts';
import type { RedisParts } from './parts.ts';
import { number, pairs, text } from './reply.ts';
import { findLock, readLocks, removeLock } from './scripts/locks.ts';

/** The hash `lock` holds one sealed lock an account. Scripts ask only whether there is one: a lock that nobody can read still locks. */
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
    // One that does not open names no account, so it cannot be shown; it locks all the same, and has been reported.
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

/** Fail closed: who could write to Redis could else unlock an account by spoiling its lock. */
const unreadable = (account: Account): Lock => ({
  account,
  reason:
    'This lock cannot be read: it was changed in Redis, or sealed by a key that is gone. It stands until it is removed.',
  by: 'unknown',
  at: 0,
});
