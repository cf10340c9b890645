/** How long a count has stood still. */
export class Progress {
  #last: number | undefined;
  #sinceMs = 0;

  /** Begins anew with the next look. */
  reset(): void {
    this.#last = undefined;
  }

  /**
   * @param count whatever moves with progress
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
