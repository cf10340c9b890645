/** The bytes that wait for a sink, by account, and how many of them count when it is asked whether it fails. */
import { addBytes } from './batch.ts';

/**
 * Of the space before a sink fails: what an account has beyond this share does not count, so that no one account has the
 * requests of all others rejected.
 */
const COUNTED_OF_AN_ACCOUNT = 1 / 32;

export class AccountLoad {
  readonly #mostOfAccount: number;
  readonly #bytes = new Map<string, number>();
  #counted = 0;

  /** @param space bytes from which on the sink fails */
  constructor(space: number) {
    this.#mostOfAccount = space * COUNTED_OF_AN_ACCOUNT;
  }

  /** Bytes of all, and of each account no more than count. */
  get counted(): number {
    return this.#counted;
  }

  /** Returns all bytes of an account. */
  of(account: string): number {
    return this.#bytes.get(account) ?? 0;
  }

  /**
   * @param account undefined: the bytes are about no account's request, and all of them count
   * @param bytes negative: they do not wait any more
   */
  add(account: string | undefined, bytes: number): void {
    if (account === undefined) {
      this.#counted += bytes;
      return;
    }
    const before = this.#countedOf(account);
    addBytes(this.#bytes, account, bytes);
    this.#counted += this.#countedOf(account) - before;
  }

  clear(): void {
    this.#counted = 0;
    this.#bytes.clear();
  }

  #countedOf(account: string): number {
    return Math.min(this.of(account), this.#mostOfAccount);
  }
}
