/**
 * The lease: until when this replica may trust its view.
 *
 * A renewal asks the store for everything new, so its reply proves that the view was complete when it was SENT. The lease therefore
 * runs from `sentAt`, never from the reply's arrival. All times are milliseconds on this process' own monotonic clock: no wall clock
 * decides, because clocks differ and can be set back.
 */

/** What a renewal's reply did to the lease. `late`: it came after the lease that it could have granted, and grants nothing. */
export type LeaseOutcome = 'late' | 'first' | 'lapsed' | 'extended';

export class Lease {
  readonly #lengthMs: number;
  #deadline: number | undefined;
  #freshAt: number | undefined;

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  /** Undefined when no lease was ever granted, or it was dropped. */
  get deadline(): number | undefined {
    return this.#deadline;
  }

  /** When the view was last known to be complete. Survives a drop, so that staleness keeps growing. */
  get freshAt(): number | undefined {
    return this.#freshAt;
  }

  /** The instant of the deadline is already too late. */
  holds(now: number): boolean {
    return this.#deadline !== undefined && now < this.#deadline;
  }

  /**
   * Judges the reply to a renewal without granting anything yet: where the answer is `lapsed` the caller must fence before it calls
   * `grant`, because a lapsed lease is never merely extended.
   */
  judge(sentAt: number, now: number): LeaseOutcome {
    if (now >= sentAt + this.#lengthMs) return 'late';
    if (this.#deadline === undefined) return 'first';
    return now >= this.#deadline ? 'lapsed' : 'extended';
  }

  grant(sentAt: number): void {
    this.#deadline = Math.max(this.#deadline ?? 0, sentAt + this.#lengthMs);
    this.#freshAt = Math.max(this.#freshAt ?? 0, sentAt);
  }

  drop(): void {
    this.#deadline = undefined;
  }
}
