/**
 * Keeps space for new connections: what only waits for its own client gives way.
 *
 * An attacker without a credential opens as many connections as there may be, and sends nothing, half a handshake, half
 * a request, or one rejected request every few minutes: no user gets a connection, and each of theirs holds 70 kB.
 * No limit by address helps: behind a load balancer all clients may have the same one. So connections on which no
 * credential was accepted have a fifth of the number, and beyond that, or where hardly any connection is left, those
 * that have waited longest for their client are closed. One that a request is open on never is. A client of
 * Kubernetes that finds its idle connection closed opens another one.
 *
 * One account without any right opens thousands, and each holds what its client has left unfinished, up to 500 kB. So
 * an account has a sixteenth of the number, and beyond that its own that have waited longest for their client are
 * closed. All of them count, and a rejection that it does not read, or half a request under `/-/`, keeps none: it held
 * a thousand more by these. Those with a request in flight at a cluster stay; their number has a limit of its own.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { ProxyLogger, ProxyMetrics } from '../dependencies.ts';

/** Of `limits.connections`: enough for all who sign in at the same moment. */
const UNAUTHENTICATED_SHARE = 1 / 5;
/** Of all connections: as many are kept free where others wait for their clients. */
const SPACE_SHARE = 1 / 16;
/** Of `limits.connections`. */
const ACCOUNT_SHARE = 1 / 16;
/** The jobs of a fleet with one account have hundreds at the same time, also where the share is small. */
const LEAST_OF_AN_ACCOUNT = 256;
/** Between two sweeps, each of which goes through all connections. */
const SWEEP_MS = 250;
const REPORT_EVERY_MS = 60_000;

/** Returns how many connections one account has, but for what is in flight at a cluster. */
export const connectionsOfAccount = (connections: number): number =>
  Math.max(LEAST_OF_AN_ACCOUNT, Math.ceil(connections * ACCOUNT_SHARE));

export interface Occupant {
  /** Since when it has waited for its client; undefined: it does not. Monotonic milliseconds. */
  readonly waitingSinceMs: number | undefined;
  /** It has not even sent a ClientHello, and gives way before older ones that have. */
  readonly isSilent?: boolean;
  /** Since when its client has held open what is of no use to others: it counts for its own account only. */
  readonly heldSinceMs?: number | undefined;
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
  /** With their accounts, where these are known. */
  readonly #users = new Map<Occupant, string | undefined>();
  readonly #accounts = new Map<string, Set<Occupant>>();
  /** Accounts with more than their share. */
  readonly #beyond = new Set<string>();
  readonly #mostOfAccount: number;
  #sweep: NodeJS.Timeout | undefined;

  constructor(options: ConnectionLimitOptions) {
    this.#options = options;
    this.#mostOfAccount = connectionsOfAccount(options.most);
  }

  /** To be called for each new connection. */
  add(occupant: Occupant): void {
    this.#unauthenticated.add(occupant);
    this.#sweepSoon();
  }

  /**
   * @param isUsers whether the last credential on it was accepted
   * @param account whose it was; undefined: it has no share
   */
  note(occupant: Occupant, isUsers: boolean, account?: string): void {
    const wasUsers = this.#users.has(occupant);
    if (!wasUsers && !this.#unauthenticated.has(occupant)) return;
    if (wasUsers === isUsers && this.#users.get(occupant) === account) return;
    this.remove(occupant);
    if (!isUsers) {
      this.#unauthenticated.add(occupant);
      return;
    }
    this.#users.set(occupant, account);
    if (account === undefined) return;
    const own = this.#accounts.get(account) ?? new Set();
    this.#accounts.set(account, own.add(occupant));
    if (own.size <= this.#mostOfAccount) return;
    this.#beyond.add(account);
    this.#sweepSoon();
  }

  remove(occupant: Occupant): void {
    this.#unauthenticated.delete(occupant);
    const account = this.#users.get(occupant);
    this.#users.delete(occupant);
    const own = account === undefined ? undefined : this.#accounts.get(account);
    if (account === undefined || own === undefined) return;
    own.delete(occupant);
    if (own.size <= this.#mostOfAccount) this.#beyond.delete(account);
    if (own.size === 0) this.#accounts.delete(account);
  }

  /** Again and again for as long as there are too many: those that are new may not give way yet. */
  #sweepSoon(): void {
    if (this.#sweep !== undefined || !this.#isCrowded) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      this.#makeSpace();
      this.#sweepSoon();
    }, SWEEP_MS).unref();
  }

  get #isCrowded(): boolean {
    return this.#missing() > 0 || this.#excess() > 0 || this.#beyond.size > 0;
  }

  /**
   * Closes those beyond an account's share and those without a credential first, and of each kind what has waited
   * longest; of the latter, what has sent no ClientHello before anything else.
   */
  #makeSpace(): void {
    const beforeMs = performance.now() - this.#options.waitMs;
    let ofAccounts = 0;
    for (const account of this.#beyond) {
      const own = this.#accounts.get(account) ?? new Set();
      const sinceOf = ({ heldSinceMs, waitingSinceMs }: Occupant): number | undefined => heldSinceMs ?? waitingSinceMs;
      ofAccounts += this.#close(longestFirst(own, beforeMs, sinceOf), own.size - this.#mostOfAccount);
    }
    const silent = [...this.#unauthenticated].filter(({ isSilent }) => isSilent === true);
    const ofSilent = this.#close(longestFirst(silent, beforeMs), Math.max(this.#missing(), this.#excess()));
    // Nor does a handshake that takes a while give way to those that are new, and may not give way yet themselves.
    const ofOthers = Math.max(this.#missing(), this.#excess() - (silent.length - ofSilent));
    const others = [...this.#unauthenticated].filter(({ isSilent }) => isSilent !== true);
    const closed = ofSilent + this.#close(longestFirst(others, beforeMs), ofOthers);
    // An attacker opens all there may be within a moment, which may not give way yet. In place of a user's it would
    // only open another one, until no user has any.
    const ofUsers = this.#missing() - Math.max(0, this.#excess());
    const all = ofAccounts + closed + this.#close(longestFirst(this.#users.keys(), beforeMs), ofUsers);
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
function longestFirst(
  occupants: Iterable<Occupant>,
  beforeMs: number,
  sinceOf: (occupant: Occupant) => number | undefined = ({ waitingSinceMs }) => waitingSinceMs,
): readonly Occupant[] {
  const waiting: { readonly occupant: Occupant; readonly sinceMs: number }[] = [];
  for (const occupant of occupants) {
    const sinceMs = sinceOf(occupant);
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
      `connections closed that waited for their clients: there are nearly as many as ${setting}, or many without a credential or of one account`,
    );
  };
}
