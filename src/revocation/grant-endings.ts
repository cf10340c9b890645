/**
 * Ends what is made with groups that were granted for a while, at the moment that this replica has known from the
 * beginning: no message has to arrive, and no one asks for a check under a quiet watch (docs/revocation-protocol.md#grants).
 *
 * It is only for what is quiet. Whatever passes a byte is checked by the guard in that tick, so a process that was
 * stopped beyond the end passes nothing before this timer runs.
 */

/** Longest wait of one timer (setTimeout overflows at 24.8 days). Waking up early costs one pass through the list. */
const MAX_TIMER_MS = 3_600_000;

export interface GrantEndingsOptions {
  /** Milliseconds of a clock that is never set. A wall clock that is set back an hour would give the grant an hour more. */
  readonly monotonicMs: () => number;
  /** Cuts what has ended. @returns the next end, monotonic milliseconds; undefined if there is none */
  readonly cutEnded: (nowMs: number) => number | undefined;
}

export class GrantEndings {
  readonly #options: GrantEndingsOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Monotonic milliseconds at which the timer goes off. */
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(options: GrantEndingsOptions) {
    this.#options = options;
  }

  /** Sets the one timer that serves all grants: to the earliest end. @param endMs monotonic milliseconds */
  checkAt(endMs: number): void {
    const nowMs = this.#options.monotonicMs();
    // One that should have gone off by now is late, as in a machine that stood still, so nothing relies on it.
    if (endMs >= this.#timerAtMs && this.#timerAtMs > nowMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = endMs;
    const wait = Math.min(Math.max(Math.ceil(endMs - nowMs), 0), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.#check(), wait);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #check(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const next = this.#options.cutEnded(this.#options.monotonicMs());
    if (next !== undefined) this.checkAt(next);
  }
}
