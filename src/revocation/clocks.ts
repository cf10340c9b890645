/**
 * Did a clock stand still? A lease counts on the monotonic clock to run. In a virtual machine that is resumed from a snapshot it may have
 * stood still for hours while the others went on: the lease would look fresh, and a revocation of those hours would be unknown here.
 *
 * Three clocks are compared from one renewal to the next: this process' monotonic one, the machine's uptime and the wall clock. None is
 * believed; where two of them disagree by more than a lease, the view is not believed either. (A wall clock that was set by hand costs one
 * fence as well.)
 */
import type { Clock } from '../contracts/clock.ts';

export interface Clocks {
  readonly monotonic: () => number;
  readonly clock: Clock;
  readonly uptime?: (() => number) | undefined;
}

export class ClockWitness {
  readonly #read: () => readonly number[];
  readonly #mostMs: number;
  #last: readonly number[];

  /** @param mostMs by how much they may differ from one look to the next */
  constructor({ monotonic, clock, uptime }: Clocks, mostMs: number) {
    this.#read = () => [monotonic(), clock.now(), ...(uptime === undefined ? [] : [uptime()])];
    this.#mostMs = mostMs;
    this.#last = this.#read();
  }

  /** @returns by how many milliseconds one clock got ahead of another since the last look, where that is too much */
  jump(): number | undefined {
    const now = this.#read();
    const passed = now.map((value, index) => value - (this.#last[index] ?? value));
    this.#last = now;
    const apart = Math.max(...passed) - Math.min(...passed);
    return apart > this.#mostMs ? apart : undefined;
  }
}
