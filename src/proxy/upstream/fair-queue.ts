/**
 * Shares a limited number of connections out among accounts: which request gets the next free one.
 *
 * An attacker keeps a connection for as long as they like, by an upload that trickles or a response that is read
 * slowly, and may have several accounts. With a fixed share, a few accounts would hold every connection. So an
 * account takes another one only while it holds less than half of what is left: one account holds a third of them at
 * most, and however many join, each leaves two thirds of what it finds. An account that holds none always has its
 * turn, and accounts take turns, so that no account waits behind the queue of another. Where many accounts together
 * hold every connection, one whose client keeps it waiting is ended for each account that holds none (`http1-pool.ts`).
 */

interface Waiting {
  /** Undefined: the proxy's own request, which no share limits. */
  readonly account: string | undefined;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

export class FairQueue<T extends Waiting> {
  readonly #most: number;
  readonly #held = new Map<string | undefined, number>();
  /** By account; the account whose turn is next is first. */
  readonly #waiting = new Map<string | undefined, Set<T>>();
  #heldByAll = 0;
  #size = 0;

  /** @param most connections; infinite: no account is limited */
  constructor(most: number) {
    this.#most = most;
  }

  /** Requests that wait. */
  get size(): number {
    return this.#size;
  }

  /** Requests that wait and could all be given a connection now, if there were any number of free ones. */
  get wanted(): number {
    let wanted = 0;
    for (const [account, items] of this.#waiting) wanted += Math.min(items.size, this.#allowance(account));
    return wanted;
  }

  /** Accounts of which requests wait, and which hold no connection. */
  get withoutAny(): number {
    let without = 0;
    for (const account of this.#waiting.keys()) if (!this.#held.has(account)) without += 1;
    return without;
  }

  /** Returns how many connections the account holds. */
  heldBy(account: string | undefined): number {
    return this.#held.get(account) ?? 0;
  }

  add(item: T): void {
    const items = this.#waiting.get(item.account);
    if (items === undefined) this.#waiting.set(item.account, new Set([item]));
    else items.add(item);
    this.#size += 1;
  }

  /** @returns false if it does not wait */
  remove(item: T): boolean {
    const items = this.#waiting.get(item.account);
    if (items?.delete(item) !== true) return false;
    if (items.size === 0) this.#waiting.delete(item.account);
    this.#size -= 1;
    return true;
  }

  /** Takes the next one out. @returns undefined if none may have a connection now */
  take(): T | undefined {
    for (const [account, items] of this.#waiting) {
      const [item] = items;
      if (item === undefined || this.#allowance(account) === 0) continue;
      this.remove(item);
      if (items.size > 0) {
        this.#waiting.delete(account);
        this.#waiting.set(account, items);
      }
      return item;
    }
    return undefined;
  }

  /** Takes out what has waited since before then. @param beforeMs monotonic milliseconds */
  takeOlder(beforeMs: number): readonly T[] {
    const older: T[] = [];
    for (const items of this.#waiting.values()) {
      for (const item of items) {
        // In the order of their arrival.
        if (item.sinceMs >= beforeMs) break;
        older.push(item);
      }
    }
    return older.filter((item) => this.remove(item));
  }

  /** Takes everything out. */
  takeAll(): readonly T[] {
    return this.takeOlder(Number.POSITIVE_INFINITY);
  }

  /** True if a request that comes now may have a connection before all that wait. */
  mayPass(account: string | undefined): boolean {
    return this.#size === 0 && this.#allowance(account) > 0;
  }

  /** Notes that the account holds one connection more. */
  hold(account: string | undefined): void {
    this.#held.set(account, this.heldBy(account) + 1);
    this.#heldByAll += 1;
  }

  release(account: string | undefined): void {
    const held = this.heldBy(account) - 1;
    if (held > 0) this.#held.set(account, held);
    else this.#held.delete(account);
    this.#heldByAll -= 1;
  }

  /** Returns how many more connections the account may take, of as many as it likes. */
  #allowance(account: string | undefined): number {
    if (account === undefined) return Number.POSITIVE_INFINITY;
    const held = this.heldBy(account);
    // Each that it takes is one more that it holds, and one less that is left.
    const more = Math.ceil((this.#most - this.#heldByAll - 2 * held) / 3);
    return Math.max(more, held === 0 ? 1 : 0);
  }
}
