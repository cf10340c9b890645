/**
 * A queue of many lines, of which each gives one in turn.
 *
 * An attacker sends 240 requests right behind each of 800 handshakes. In one queue for all, what any user sends comes
 * behind them: 45 s later. So each address, and each account, has a line of its own.
 */
export class FairQueue<T> {
  /** The line whose turn it is comes first; within a line the one that has waited longest. */
  readonly #lines = new Map<string, Set<T>>();
  readonly #lineOf = new Map<T, string>();

  get size(): number {
    return this.#lineOf.size;
  }

  has(item: T): boolean {
    return this.#lineOf.has(item);
  }

  /** One that is in it keeps its place. */
  add(item: T, line: string): void {
    if (this.has(item)) return;
    this.#lineOf.set(item, line);
    const own = this.#lines.get(line) ?? new Set();
    this.#lines.set(line, own.add(item));
  }

  /** @returns whether it was in it */
  delete(item: T): boolean {
    const line = this.#lineOf.get(item);
    if (line === undefined) return false;
    this.#lineOf.delete(item);
    const own = this.#lines.get(line);
    own?.delete(item);
    if (own?.size === 0) this.#lines.delete(line);
    return true;
  }

  /** Removes and returns the next one; undefined where there is none. */
  take(): T | undefined {
    for (const [line, own] of this.#lines) {
      for (const item of own) {
        this.delete(item);
        // Its line is the last from now on.
        if (this.#lines.delete(line)) this.#lines.set(line, own);
        return item;
      }
    }
    return undefined;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#lineOf.keys();
  }
}
