/**
 * Keeps space for new connections: what only waits for its own client gives way.
 *
 * An attacker without a credential opens as many connections as there may be, and sends nothing, half a handshake, half
 * a request, or one rejected request every few minutes: no user gets a connection, and each of theirs holds 70 kB.
 * No limit by address helps: behind a load balancer all clients may have the same one. So connections on which no
 * credential was accepted have a fifth of the number, and beyond that, or where hardly any connection is left, those
 * that have waited longest for their client are closed. One that a request is open on never is. A client of
 * Kubernetes that finds its idle connection closed opens another one.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { ProxyLogger, ProxyMetrics } from '../dependencies.ts';

/** Of `limits.connections`: enough for all who sign in at the same moment. */
const UNAUTHENTICATED_SHARE = 1 / 5;
/** Of all connections: as many are kept free where others wait for their clients. */
const SPACE_SHARE = 1 / 16;
/** Between two sweeps, each of which goes through all connections. */
const SWEEP_MS = 250;
const REPORT_EVERY_MS = 60_000;

export interface Occupant {
  /** Since when it has waited for its client; undefined: it does not. Monotonic milliseconds. */
  readonly waitingSinceMs: number | undefined;
  /** Closes the connection. */
  giveWay(): void;
}

export interface ConnectionLimitOptions {
  /** `limits.connections`. */
  readonly most: number;
  /** How long a connection may wait for its client in any case. Milliseconds. */
  readonly waitMs: number;
  /** @param count connections that were closed */
  readonly onClosed: (count: number) => void;
}

export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions;
  readonly #unauthenticated = new Set<Occupant>();
  readonly #users = new Set<Occupant>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(options: ConnectionLimitOptions) {
    this.#options = options;
  }

  /** To be called for each new connection. */
  add(occupant: Occupant): void {
    this.#unauthenticated.add(occupant);
    this.#sweepSoon();
  }

  /** @param isUsers whether the last credential on it was accepted */
  note(occupant: Occupant, isUsers: boolean): void {
    const [from, to] = isUsers ? [this.#unauthenticated, this.#users] : [this.#users, this.#unauthenticated];
    if (from.delete(occupant)) to.add(occupant);
  }

  remove(occupant: Occupant): void {
    this.#unauthenticated.delete(occupant);
    this.#users.delete(occupant);
  }

  /** Again and again for as long as there are too many: those that are new may not give way yet. */
  #sweepSoon(): void {
    if (this.#sweep !== undefined || (this.#missing() <= 0 && this.#excess() <= 0)) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      this.#makeSpace();
      this.#sweepSoon();
    }, SWEEP_MS).unref();
  }

  /** Closes those without a credential first, and of each kind what has waited longest. */
  #makeSpace(): void {
    const beforeMs = performance.now() - this.#options.waitMs;
    const closed = this.#close(
      longestFirst(this.#unauthenticated, beforeMs),
      Math.max(this.#missing(), this.#excess()),
    );
    // An attacker opens all there may be within a moment, which may not give way yet. In place of a user's it would
    // only open another one, until no user has any.
    const ofUsers = this.#missing() - Math.max(0, this.#excess());
    const all = closed + this.#close(longestFirst(this.#users, beforeMs), ofUsers);
    if (all > 0) this.#options.onClosed(all);
  }

  /** Returns how many connections more should be free. */
  #missing(): number {
    const { most } = this.#options;
    return this.#unauthenticated.size + this.#users.size - most + Math.ceil(most * SPACE_SHARE);
  }

  /** Returns how many connections without a credential there are too many. */
  #excess(): number {
    return this.#unauthenticated.size - Math.ceil(this.#options.most * UNAUTHENTICATED_SHARE);
  }

  #close(waiting: readonly Occupant[], count: number): number {
    const closing = waiting.slice(0, Math.max(0, count));
    for (const occupant of closing) {
      this.remove(occupant);
      occupant.giveWay();
    }
    return closing.length;
  }
}

/** @param beforeMs only those that have waited since before then */
function longestFirst(occupants: ReadonlySet<Occupant>, beforeMs: number): readonly Occupant[] {
  const waiting: { readonly occupant: Occupant; readonly sinceMs: number }[] = [];
  for (const occupant of occupants) {
    const sinceMs = occupant.waitingSinceMs;
    if (sinceMs !== undefined && sinceMs <= beforeMs) waiting.push({ occupant, sinceMs });
  }
  return waiting.toSorted((left, right) => left.sinceMs - right.sinceMs).map(({ occupant }) => occupant);
}

/**
 * Counts what had to give way, and logs it once a minute.
 * @param setting how many connections there may be, for the log
 */
export function closedReporter(
  {
    metrics,
    logger,
    clock,
  }: {
    readonly metrics: Pick<ProxyMetrics, 'rejection'>;
    readonly logger: Pick<ProxyLogger, 'warn'>;
    readonly clock: Clock;
  },
  setting: string,
): ConnectionLimitOptions['onClosed'] {
  let silentUntil = 0;
  return (count) => {
    for (let each = 0; each < count; each += 1) metrics.rejection('connection_gave_way');
    if (clock.nowMs() < silentUntil) return;
    silentUntil = clock.nowMs() + REPORT_EVERY_MS;
    logger.warn(
      { count },
      `connections closed that waited for their clients: there are nearly as many as ${setting}, or many without a credential`,
    );
  };
}
