/**
 * Numbers that no line has, counted between any two lines without iterating over them: a hostile file may have a
 * hole after every line.
 */
import type { Hole } from './assemble.ts';

export class Holes {
  readonly #ends: readonly number[];
  /** Numbers in this hole and all before it. */
  readonly #sums: readonly number[];

  /** @param holes in the order of their numbers */
  constructor(holes: readonly Hole[]) {
    let sum = 0;
    this.#ends = holes.map(({ to }) => to);
    this.#sums = holes.map(({ from, to }) => (sum += to - from + 1));
  }

  /** Returns how many are missing from `first` to `last`, both included; neither is inside a hole. */
  missing(first: number, last: number): number {
    return this.#upTo(last) - this.#upTo(first - 1);
  }

  #upTo(seq: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    return this.#sums[low - 1] ?? 0;
  }
}
