/**
 * How many connections there may be, by the memory that is left: as many as `limits.connections`, and fewer where it is
 * short.
 *
 * What is closed gives its memory back to this process, and seldom to the system, so that its level says little of what
 * is needed still. It is growth that counts: for each step there may be a sixteenth fewer, and while there is none,
 * slowly more again.
 */

/** Of all connections: as many are kept free where others wait for their clients. */
export const SPACE_SHARE = 1 / 16;
/** Between two looks, and between two sweeps, each of which goes through all connections. */
export const SWEEP_MS = 250;
/** Of `limits.connections`: as many there may be however little memory is left. */
const LEAST_SHARE = 1 / 32;
/** Of the memory that the process may have: from here on there may be fewer connections, and below it as many as ever. */
const TIGHT = 0.6;
const ROOMY = 0.5;
/** From here on requests in flight give way too. */
const CRITICAL = 0.7;
/** From here on there are never more again. */
const FULL = 0.85;
/** Of the memory: for each further one there may be fewer connections. */
const STEP = 0.01;
/** After so long without a step there may be more of them again. */
const STEADY_MS = 10_000;

/** What there is. */
interface Open {
  readonly weight: number;
  /** Without what single accounts have beyond their shares. */
  readonly counted: number;
}

export interface CeilingOptions {
  /** `limits.connections`. */
  readonly most: number;
  /** Returns which share of the memory that the process may have is in use (`memory.ts`). */
  readonly memoryInUse: () => number;
}

export class ConnectionCeiling {
  readonly #options: CeilingOptions;
  readonly #least: number;
  #most: number;
  /** Of the memory: the share from which on there may be fewer next. */
  #tightFrom = TIGHT;
  #isCritical = false;
  #lookedMs = -Infinity;
  #steadySinceMs = 0;

  constructor(options: CeilingOptions) {
    this.#options = options;
    this.#most = options.most;
    this.#least = Math.ceil(options.most * LEAST_SHARE);
  }

  /** As many there may be at this moment. */
  get most(): number {
    return this.#most;
  }

  /** There may be fewer than as many as ever. */
  get isTight(): boolean {
    return this.#most < this.#options.most;
  }

  /** What is in flight gives way, by the next sweep. */
  get isCritical(): boolean {
    return this.#isCritical;
  }

  /** To be called once those that had to give way are closed. */
  swept(): void {
    this.#isCritical = false;
  }

  /**
   * To be called again and again: memory is looked at four times a second at most.
   * @param look returns what there is, weighed by what is open on it where memory is filling
   */
  follow(look: (isFilling: boolean) => Open): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < SWEEP_MS) return;
    this.#lookedMs = nowMs;
    const used = this.#options.memoryInUse();
    const { weight, counted } = look(used >= ROOMY);
    if (used < ROOMY) {
      this.#most = this.#options.most;
      this.#tightFrom = TIGHT;
    } else if (weight <= this.#least) {
      // What is in use is not for these few.
      this.#tightFrom = Math.max(this.#tightFrom, used + STEP);
      this.#easeOff(used, nowMs);
    } else if (used >= this.#tightFrom) {
      this.#most = Math.max(this.#least, Math.min(this.#most, counted));
      this.#tightFrom += STEP;
      this.#isCritical ||= used >= CRITICAL;
      this.#steadySinceMs = nowMs;
    } else {
      this.#easeOff(used, nowMs);
    }
  }

  /** An attacker fills at once what becomes free, so where memory is critical it becomes free more slowly. */
  #easeOff(used: number, nowMs: number): void {
    const [steadyMs, more] = used < CRITICAL ? [STEADY_MS, 1 / 4] : [6 * STEADY_MS, SPACE_SHARE];
    // And not at all where each time might be the last.
    if (!this.isTight || used >= FULL || nowMs - this.#steadySinceMs < steadyMs) return;
    this.#most = Math.min(this.#options.most, Math.ceil(this.#most * (1 + more)));
    // Never up: an attacker's grows by less than a step in this time.
    this.#tightFrom = Math.max(TIGHT, Math.min(this.#tightFrom, Math.max(used + STEP, this.#tightFrom - STEP)));
    this.#steadySinceMs = nowMs;
  }
}
