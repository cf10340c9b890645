/**
 * What is open now, without an order: added and removed in constant time, thousands of times a second.
 *
 * Not a `Set`: V8 gives a Set a new table every few changes, and each table that is replaced keeps the next one. Once
 * one of them has grown old, nothing that was ever in a later table is freed before a full collection. Measured with a
 * `Set` of open requests: everything that a request allocated, 6 kB of it, survived the request.
 */

/** The slot of a value. Only the list changes it. */
export interface Slot<T> {
  readonly value: T;
  /** -1 once it is removed. */
  at: number;
}

export class UnorderedList<T> {
  readonly #slots: Slot<T>[] = [];

  get size(): number {
    return this.#slots.length;
  }

  add(value: T): Slot<T> {
    const slot = { value, at: this.#slots.length };
    this.#slots.push(slot);
    return slot;
  }

  /** @returns false if it had been removed */
  remove(slot: Slot<T>): boolean {
    const { at } = slot;
    if (at === -1) return false;
    slot.at = -1;
    const last = this.#slots.pop();
    if (last !== undefined && last !== slot) {
      last.at = at;
      this.#slots[at] = last;
    }
    return true;
  }

  /** Returns the values of this moment. */
  values(): readonly T[] {
    return this.#slots.map(({ value }) => value);
  }
}
