/**
 * How a connection closes once Node closes its socket: where memory may become short, not before its client has read all
 * that the system holds for it.
 *
 * Node closes a socket once all is written, and the system keeps what the client has not read for minutes. An attacker
 * left 4 MB with each request that had `Connection: close`, in memory that was no connection's any more, and so in
 * pieces of 60 kB, twelve thousand times. So it stays open, and counts, as long as its client goes on reading.
 */
import type { Socket } from 'node:net';
import { closesBy, type Closing } from '../../core/http/connection-reset.ts';
import { endpointsOf, type SystemBuffers } from './system-buffers.ts';

/** What it has written at least, if what the system holds of it matters: more than a handshake and a small response. */
const LEAST_WRITTEN = 8192;
/** How long a client may read nothing of the rest, how long it may take for all of it, and between two looks. */
const LINGER_MS = 30_000;
const MOST_LINGER_MS = 300_000;
const LOOK_MS = 250;

export interface LingeringOptions {
  readonly buffers: SystemBuffers;
  /** Memory may become short. */
  readonly isFilling: () => boolean;
  /** Its last response is not whole, and of no use. */
  readonly isBroken: () => boolean;
  /** An end was sent, or may have been. */
  readonly hasEnded: () => boolean;
  /** Called when only its client is waited for. */
  readonly onLinger?: () => void;
}

export class LingeringClose {
  readonly #endpoints: string;
  readonly #options: LingeringOptions;
  #isDropped = false;
  #held = 0;
  #progressMs = performance.now();

  /** @param socket the TCP socket */
  constructor(socket: Socket, options: LingeringOptions) {
    this.#endpoints = endpointsOf(socket);
    this.#options = options;
    closesBy(socket, (closing) => this.#close(closing));
  }

  /** Bytes that the system holds for it. */
  get held(): number {
    return this.#options.buffers.of(this.#endpoints);
  }

  /**
   * @param idleSinceMs since when nothing is open on it. Monotonic
   * @returns since when its client keeps it waiting: later where it still reads what the system holds
   */
  waitingSinceMs(idleSinceMs: number): number {
    if (!this.#options.isFilling()) return idleSinceMs;
    return Math.max(idleSinceMs, performance.now() - (this.#stuckMs() ?? Infinity));
  }

  /**
   * Returns for how long, as far as was asked before, its client has taken nothing of what the system holds; undefined: it
   * holds nothing. From look to look: an attacker's connections make looks rare, and no user is slow because of that.
   */
  #stuckMs(): number | undefined {
    const { held } = this;
    const { lookedMs } = this.#options.buffers;
    if (held < this.#held || this.#held === 0) this.#progressMs = lookedMs;
    this.#held = held;
    return held === 0 ? undefined : Math.max(0, lookedMs - this.#progressMs);
  }

  /** Does not wait for its client any more. */
  drop(): void {
    this.#isDropped = true;
  }

  #close({ close, reset, written, queued }: Closing): void {
    const { isFilling, isBroken, hasEnded, onLinger } = this.#options;
    if (!isFilling() || written < LEAST_WRITTEN) return close();
    if (queued > 0) return hasEnded() ? close() : reset();
    if (isBroken()) this.#isDropped = true;
    else if (this.#isDropped && this.held === 0) return close();
    if (this.#isDropped && !hasEnded()) return reset();
    this.#linger(close, reset);
    onLinger?.();
  }

  #linger(close: () => void, reset: () => void): void {
    const closedMs = performance.now();
    this.#progressMs = closedMs;
    const look = (): void => {
      const nowMs = performance.now();
      const isRead = this.#options.buffers.lookedMs > closedMs && this.held === 0;
      const isLate = (this.#stuckMs() ?? 0) > LINGER_MS || nowMs - closedMs > MOST_LINGER_MS;
      const way = isRead || !this.#options.isFilling() ? close : this.#isDropped || isLate ? reset : undefined;
      if (way === undefined) return wait();
      way();
    };
    // Not in the turn in which it closes: libuv refuses a reset until it has sent the end (`connection-reset.ts`), and
    // the socket would stay open permanently. It does so after the timers of a turn, and before what is immediate.
    const wait = (): void => void setTimeout(() => setImmediate(look), LOOK_MS).unref();
    wait();
  }
}
