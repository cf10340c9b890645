/**
 * Measures for how long a request has only waited for its own client: for the next piece of its body, or until more of
 * its response is read.
 *
 * An attacker lets many requests trickle, a byte at a time, each of which holds a connection to the API server. A limit
 * between two pieces never ends them. So what passes pays for the time that it took, at the rate of a very slow
 * network; one who is slower is late, and gives way when others have no connection.
 */

/** Milliseconds. A lost packet is sent again by then, and others do not wait for long. */
const GRACE_MS = 500;
/** A request at this rate is never late, and to hold 800 connections so takes 100 Mbit/s. 1 byte/ms is 1 kB/s. */
const BYTES_PER_MS = 16;

export class ClientDelay {
  readonly #passed: () => number;
  /** Waited so far, and not paid. Milliseconds. */
  #unpaidMs = 0;
  /** Undefined: the client is not waited for. */
  #since: { readonly ms: number; readonly passed: number } | undefined;

  /** @param passed bytes that the client has sent and read, both together, of the whole request */
  constructor(passed: () => number) {
    this.#passed = passed;
  }

  /** Notes that nothing but the client is missing now. */
  waits(): void {
    this.#since ??= { ms: performance.now(), passed: this.#passed() };
  }

  /** Notes that the client has done its part. */
  goesOn(): void {
    this.#unpaidMs = this.#unpaid(performance.now());
    this.#since = undefined;
  }

  /**
   * @param nowMs monotonic
   * @returns milliseconds by which the client is late; 0: it is in time, or is not waited for
   */
  lateMs(nowMs: number): number {
    return this.#since === undefined ? 0 : Math.max(0, this.#unpaid(nowMs) - GRACE_MS);
  }

  #unpaid(nowMs: number): number {
    const { ms, passed } = this.#since ?? { ms: nowMs, passed: this.#passed() };
    // Nothing is paid in advance: a client that was fast may stop.
    return Math.max(0, this.#unpaidMs + nowMs - ms - (this.#passed() - passed) / BYTES_PER_MS);
  }
}
