/** Measures how long a count has stood still. */
export class Progress {
  #last: number | undefined;
  #sinceMs = 0;

  /** Starts again with the next reading. */
  reset(): void {
    this.#last = undefined;
  }

  /**
   * @param count any number that moves with progress
   * @param nowMs monotonic
   * @returns milliseconds since `count` was first seen with this value
   */
  stalledMs(count: number, nowMs: number): number {
    if (count !== this.#last) {
      this.#last = count;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }
}
