/**
 * The lease: until when this replica may trust its view.
 *
 * A renewal asks the store for everything new, so its reply proves that the view was complete when the renewal was
 * SENT. The lease therefore runs from `sentAtMs`, never from the arrival of the reply. All times are milliseconds
 * on the monotonic clock of this process. No wall clock decides, because clocks differ and can be set back.
 */

/**
 * What the reply to a renewal did to the lease. `late`: it came after the end of the lease that it could have
 * granted, and grants nothing.
 */
export type LeaseOutcome = 'late' | 'first' | 'lapsed' | 'extended';

export class Lease {
  readonly #lengthMs: number;
  #deadlineMs: number | undefined;
  #freshAtMs: number | undefined;

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  /** Undefined if no lease was ever granted, or if it was dropped. */
  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  /** When the view was last known to be complete. Survives a drop, so that staleness keeps growing. */
  get freshAtMs(): number | undefined {
    return this.#freshAtMs;
  }

  /** True before the deadline. The instant of the deadline is already too late. */
  holds(nowMs: number): boolean {
    return this.#deadlineMs !== undefined && nowMs < this.#deadlineMs;
  }

  /**
   * Judges the reply to a renewal and grants nothing yet. If the result is `lapsed`, the caller must fence before
   * it calls `grant`, because a lapsed lease is never merely extended.
   */
  judge(sentAtMs: number, nowMs: number): LeaseOutcome {
    if (nowMs >= sentAtMs + this.#lengthMs) return 'late';
    if (this.#deadlineMs === undefined) return 'first';
    return nowMs >= this.#deadlineMs ? 'lapsed' : 'extended';
  }

  grant(sentAtMs: number): void {
    this.#deadlineMs = Math.max(this.#deadlineMs ?? 0, sentAtMs + this.#lengthMs);
    this.#freshAtMs = Math.max(this.#freshAtMs ?? 0, sentAtMs);
  }

  drop(): void {
    this.#deadlineMs = undefined;
  }
}
