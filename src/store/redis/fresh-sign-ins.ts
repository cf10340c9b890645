/** Accounts whose next sign-in must be a fresh one, in Redis. */
import type { Account } from '../../core/identity/identity.ts';
import type { FreshSignIns } from '../store.ts';
import { accountDigest } from './keys.ts';
import type { RedisParts } from './parts.ts';
import { text } from './reply.ts';
import { findFreshSignIn, liftFreshSignIn } from './scripts.ts';

/** The sorted set `fresh`. A revocation writes it, and the script that opens a session reads it. */
export class RedisFreshSignIns implements FreshSignIns {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async find(account: Account): Promise<number | undefined> {
    const { runner, main } = this.#parts;
    const mark = text((await runner.run(main, findFreshSignIn, [accountDigest(account)]))[1]);
    return mark === '' ? undefined : Number(mark);
  }

  async lift(account: Account, upTo?: number): Promise<'lifted' | 'none' | 'newer'> {
    const { runner, main } = this.#parts;
    const outcome = text((await runner.run(main, liftFreshSignIn, [accountDigest(account), upTo ?? '']))[1]);
    return outcome === 'lifted' || outcome === 'newer' ? outcome : 'none';
  }
}
