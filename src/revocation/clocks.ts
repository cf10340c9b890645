/**
 * Detects that a clock stood still. A lease relies on the monotonic clock to run. In a virtual machine that is
 * resumed from a snapshot it may have stood still for hours while the other clocks went on: the lease would look
 * fresh, and a revocation of those hours would be unknown here.
 *
 * Three clocks are compared from one renewal to the next: the monotonic clock of this process, the uptime of the
 * machine, and the wall clock. None is trusted alone. If two of them differ by more than a lease, the view is not
 * trusted either. (A wall clock that was set manually costs one fence as well.)
 */
import type { Clock } from '../contracts/clock.ts';

export interface Clocks {
  readonly monotonicMs: () => number;
  readonly clock: Clock;
  readonly uptimeMs?: (() => number) | undefined;
}

export class ClockComparison {
  readonly #read: () => readonly number[];
  readonly #maxDifferenceMs: number;
  #last: readonly number[];

  /** @param maxDifferenceMs by how much they may differ from one reading to the next */
  constructor({ monotonicMs, clock, uptimeMs }: Clocks, maxDifferenceMs: number) {
    this.#read = () => [monotonicMs(), clock.nowMs(), ...(uptimeMs === undefined ? [] : [uptimeMs()])];
    this.#maxDifferenceMs = maxDifferenceMs;
    this.#last = this.#read();
  }

  /**
   * @returns by how many milliseconds one clock got ahead of another since the last reading, if that is too much
   */
  jump(): number | undefined {
    const now = this.#read();
    const passed = now.map((value, index) => value - (this.#last[index] ?? value));
    this.#last = now;
    const differenceMs = Math.max(...passed) - Math.min(...passed);
    return differenceMs > this.#maxDifferenceMs ? differenceMs : undefined;
  }
}
