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
 *
 * What one connection holds differs by twenty times. An attacker's client certificate of 62 kB has 30,000 empty names,
 * of which OpenSSL keeps 3.4 MB with the connection, and 260 connections took 900 MB without any credential. So one
 * counts as several by the bytes of its handshake. And five accounts, each with what it may have, took 1.2 GB: where
 * the memory that the process may have is nearly used up, there may be fewer connections than there are, and those of
 * the accounts with the most give way first.
 *
 * A request whose body comes a byte at a time is in flight for hours, and never gives way: one account had 400 of them,
 * each on a connection with certificates of 46 kB, 1 GiB in 40 s, while everyone else's idle connections were closed to
 * make space. So one that counts as several becomes no account's that has no space for it, nothing is sent on for it,
 * and what an account has beyond its share takes no space of others but for the connections themselves.
 *
 * Five accounts had 400 requests in flight each, on connections of 400 kB: 97 % of 1 GiB, although all that waited for
 * its client was closed. So where memory is short there may be fewer (`connection-ceiling.ts`), of which one account has
 * a quarter at most; and where it is critical, what is in flight gives way too, of the accounts with the most, counted by
 * what is open on their connections. The system would end the process otherwise, with everyone's requests.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { ProxyLogger, ProxyMetrics } from '../dependencies.ts';
import { ConnectionCeiling, SPACE_SHARE, SWEEP_MS, type CeilingOptions } from './connection-ceiling.ts';

/** Of `limits.connections`: enough for all who sign in at the same moment. */
const UNAUTHENTICATED_SHARE = 1 / 5;
/** Of `limits.connections`. */
const ACCOUNT_SHARE = 1 / 16;
/** The jobs of a fleet with one account have hundreds at the same time, also where the share is small. */
const LEAST_OF_AN_ACCOUNT = 256;
/** All that is open is looked at, which takes a millisecond for a thousand. */
const WEIGHED_EVERY_MS = 1_000;
/** Of the connections that there may be then: as many has one account at most. */
const TIGHT_SHARE = 1 / 4;
/** So much shorter is the wait then of connections on which no credential was accepted. */
const TIGHT_WAIT = 4;
/** A user's counts as so many only while data that came with its handshake waits to be decrypted. */
const HEAVY = 3;
const REPORT_EVERY_MS = 60_000;

/** Returns how many connections one account has, but for what is in flight at a cluster. */
export const connectionsOfAccount = (connections: number): number =>
  Math.max(LEAST_OF_AN_ACCOUNT, Math.ceil(connections * ACCOUNT_SHARE));

export interface Occupant {
  /** Since when it has waited for its client; undefined: it does not. Monotonic milliseconds. */
  readonly waitingSinceMs: number | undefined;
  /** As how many connections it counts. Default: one. To be set before it is added, or by `weigh`. */
  readonly weight?: number;
  /** As how many more it counts by what is open on it, where memory may become short. */
  readonly openWeight?: number;
  /** It has not even sent a ClientHello, and gives way before older ones that have. */
  readonly isSilent?: boolean;
  /** Since when its client has held open what is of no use to others: it counts for its own account, or where it has none. */
  readonly heldSinceMs?: number | undefined;
  /** Since when at least its client has been late with all that is open on it: it counts where memory is short. */
  readonly lateSinceMs?: number | undefined;
  /** Closes the connection. */
  giveWay(): void;
}

export interface ConnectionLimitOptions extends CeilingOptions {
  /** How long a connection may wait for its client in any case. Milliseconds. */
  readonly waitMs: number;
  /** @param count connections that were closed */
  readonly onClosed: (count: number) => void;
}

/** Connections with what they count as. */
class Group {
  readonly #weights = new Map<Occupant, number>();
  #weight = 0;

  /** Of all. */
  get weight(): number {
    return this.#weight;
  }

  get size(): number {
    return this.#weights.size;
  }

  /** Of all, without what is open on them. */
  get bareWeight(): number {
    return [...this.#weights.keys()].reduce((sum, { weight = 1 }) => sum + weight, 0);
  }

  get members(): Iterable<Occupant> {
    return this.#weights.keys();
  }

  /** Undefined if it is not among them. */
  weightOf(occupant: Occupant): number | undefined {
    return this.#weights.get(occupant);
  }

  /** One that is among them keeps its place. */
  set(occupant: Occupant, weight: number): void {
    this.#weight += weight - (this.#weights.get(occupant) ?? 0);
    this.#weights.set(occupant, weight);
  }

  delete(occupant: Occupant): void {
    this.#weight -= this.#weights.get(occupant) ?? 0;
    this.#weights.delete(occupant);
  }
}

export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions;
  readonly #unauthenticated = new Group();
  readonly #users = new Group();
  /** Of users, where these are known. */
  readonly #accountOf = new Map<Occupant, string>();
  readonly #accounts = new Map<string, Group>();
  /** Accounts with more than their share. */
  readonly #beyond = new Set<string>();
  readonly #mostOfAccount: number;
  readonly #ceiling: ConnectionCeiling;
  #countsOpen = false;
  #weighedMs = -Infinity;
  #sweep: NodeJS.Timeout | undefined;

  constructor(options: ConnectionLimitOptions) {
    this.#options = options;
    this.#ceiling = new ConnectionCeiling(options);
    this.#mostOfAccount = connectionsOfAccount(options.most);
  }

  /** To be called for each new connection. */
  add(occupant: Occupant): void {
    this.#setUnauthenticated(occupant);
    this.#sweepSoon();
  }

  /** To be called once the weight of a connection has changed. */
  weigh(occupant: Occupant): void {
    if (this.#unauthenticated.weightOf(occupant) !== undefined) this.#setUnauthenticated(occupant);
    else if (this.#users.weightOf(occupant) !== undefined) this.#setUsers(occupant, this.#accountOf.get(occupant));
    this.#sweepSoon();
  }

  /**
   * @param isUsers whether the last credential on it was accepted
   * @param account whose it was; undefined: it has no share
   * @returns whether it was noted. One that counts as several, or any where memory is short, is not where it would bring
   *   its account beyond its share: nothing may be in flight on it for this account
   */
  note(occupant: Occupant, isUsers: boolean, account?: string): boolean {
    if (!this.#isAdded(occupant)) return true;
    const wasUsers = this.#users.weightOf(occupant) !== undefined;
    if (wasUsers === isUsers && this.#accountOf.get(occupant) === account) return true;
    if (isUsers && account !== undefined && !this.#hasSpaceFor(occupant, account)) return false;
    this.#move(occupant, isUsers, account);
    return true;
  }

  /** Notes one as a user's also where the account has no space for it. */
  assign(occupant: Occupant, account: string): void {
    if (this.#isAdded(occupant) && this.#accountOf.get(occupant) !== account) this.#move(occupant, true, account);
  }

  #isAdded(occupant: Occupant): boolean {
    return (this.#users.weightOf(occupant) ?? this.#unauthenticated.weightOf(occupant)) !== undefined;
  }

  #move(occupant: Occupant, isUsers: boolean, account: string | undefined): void {
    this.remove(occupant);
    if (isUsers) this.#setUsers(occupant, account);
    else this.#setUnauthenticated(occupant);
    this.#sweepSoon();
  }

  /** Closes what the account does not need. */
  #hasSpaceFor({ weight = 1 }: Occupant, account: string): boolean {
    const own = this.#accounts.get(account);
    const share = this.#shareNow;
    const mayBeMore = !this.#ceiling.isTight || this.#missing() <= 0;
    if (own === undefined || (weight === 1 && mayBeMore)) return weight <= share;
    const most = share - weight;
    if (own.weight <= most) return true;
    const closed = this.#closeOf(own, own.weight - most, this.#beforeMs);
    if (closed > 0) this.#options.onClosed(closed);
    return own.weight <= most;
  }

  remove(occupant: Occupant): void {
    this.#unauthenticated.delete(occupant);
    this.#users.delete(occupant);
    const account = this.#accountOf.get(occupant);
    const own = account === undefined ? undefined : this.#accounts.get(account);
    this.#accountOf.delete(occupant);
    if (account === undefined || own === undefined) return;
    own.delete(occupant);
    if (own.weight <= this.#mostOfAccount) this.#beyond.delete(account);
    if (own.weight === 0) this.#accounts.delete(account);
  }

  #setUsers(occupant: Occupant, account: string | undefined): void {
    const now = this.#weightNow(occupant);
    this.#users.set(occupant, now);
    if (account === undefined) return;
    this.#accountOf.set(occupant, account);
    const own = this.#accounts.get(account) ?? new Group();
    this.#accounts.set(account, own);
    own.set(occupant, now);
    if (own.weight > this.#mostOfAccount) this.#beyond.add(account);
    else this.#beyond.delete(account);
  }

  /** What is open on connections counts, because memory may become short. */
  get countsOpen(): boolean {
    return this.#countsOpen;
  }

  get #weight(): number {
    return this.#unauthenticated.weight + this.#users.weight;
  }

  /**
   * Without what single accounts have beyond their shares: others give way for the connections of these, and not for
   * what they hold.
   */
  get #counted(): number {
    let weight = this.#weight;
    for (const account of this.#beyond) weight -= (this.#accounts.get(account)?.weight ?? 0) - this.#mostOfAccount;
    return Math.max(weight, this.#unauthenticated.size + this.#users.size);
  }

  /** What an account may have at this moment. */
  get #shareNow(): number {
    return this.#ceiling.isTight
      ? Math.min(this.#mostOfAccount, Math.ceil(this.#ceiling.most * TIGHT_SHARE))
      : this.#mostOfAccount;
  }

  get #beforeMs(): number {
    return performance.now() - this.#options.waitMs;
  }

  /** Again and again for as long as there are too many: those that are new may not give way yet. */
  #sweepSoon(): void {
    this.#followMemory();
    // What is held by connections that are open already may grow without any further one.
    if (this.#sweep !== undefined || this.#weight === 0) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      this.#followMemory();
      if (this.#isCrowded) this.#makeSpace();
      this.#ceiling.swept();
      this.#sweepSoon();
    }, SWEEP_MS).unref();
  }

  #followMemory(): void {
    this.#ceiling.follow((isFilling) => {
      this.#weighOpen(isFilling);
      return { weight: this.#weight, counted: this.#counted };
    });
  }

  /**
   * Three accounts held 581 MB by 12 connections, on each of which 90 streams were not read; and anyone without a
   * credential by 100 long heads on each. Users with hundreds of connections gave way for them.
   */
  #weighOpen(counts: boolean): void {
    const nowMs = performance.now();
    if (counts ? !this.#ceiling.isTight && nowMs - this.#weighedMs < WEIGHED_EVERY_MS : !this.#countsOpen) return;
    this.#countsOpen = counts;
    this.#weighedMs = nowMs;
    for (const occupant of this.#users.members) this.#setUsers(occupant, this.#accountOf.get(occupant));
    for (const occupant of this.#unauthenticated.members) this.#setUnauthenticated(occupant);
  }

  #weightNow({ weight = 1, openWeight = 0 }: Occupant): number {
    return this.#countsOpen ? weight + openWeight : weight;
  }

  #setUnauthenticated(occupant: Occupant): void {
    this.#unauthenticated.set(occupant, this.#weightNow(occupant));
  }

  get #isCrowded(): boolean {
    return this.#beyond.size > 0 || this.#missing() > 0 || this.#excess() > 0;
  }

  /**
   * Closes those beyond an account's share and those without a credential first, and of each kind what has waited
   * longest; of the latter, what has sent no ClientHello before anything else.
   */
  #makeSpace(): void {
    const beforeMs = this.#beforeMs;
    // An attacker opens a thousand a second, and each step that memory grows by them would cost users theirs.
    const withoutUserMs = this.#ceiling.isTight ? performance.now() - this.#options.waitMs / TIGHT_WAIT : beforeMs;
    let ofAccounts = 0;
    for (const account of this.#beyond) {
      const own = this.#accounts.get(account) ?? new Group();
      // Nothing is short yet: a user who reads many lists over a slow network has all of them in the system's buffers.
      if (!this.#ceiling.isTight && own.bareWeight <= this.#mostOfAccount) continue;
      ofAccounts += this.#closeOf(own, own.weight - this.#mostOfAccount, beforeMs);
    }
    const silent = [...this.#unauthenticated.members].filter(({ isSilent }) => isSilent === true);
    const ofSilent = this.#close(longestFirst(silent, withoutUserMs), Math.max(this.#missing(), this.#excess()));
    // Nor does a handshake that takes a while give way to those that are new, and may not give way yet themselves.
    const ofOthers = Math.max(this.#missing(), this.#excess() - (silent.length - ofSilent));
    const others = (): readonly Occupant[] =>
      [...this.#unauthenticated.members].filter(({ isSilent }) => isSilent !== true);
    // Nothing of a cluster is in flight on them. An attacker leaves a 401 unread, or sends half a request, on 3,100 of
    // them: 1 GiB. Those with large certificates are opened faster than two seconds pass.
    const heavy = others().filter(({ weight = 1 }) => weight >= HEAVY);
    const ofHeavy = this.#close(longestFirst(heavy, performance.now(), heldSinceOf), ofOthers);
    const left = Math.max(this.#missing(), this.#excess() - (silent.length - ofSilent));
    const closed = ofSilent + ofHeavy + this.#close(longestFirst(others(), withoutUserMs, heldSinceOf), left);
    // An attacker opens all there may be within a moment, which may not give way yet. In place of a user's it would
    // only open another one, until no user has any.
    const ofUsers = (): number => this.#missing() - Math.max(0, this.#excess());
    const ofLargest = this.#ceiling.isTight ? this.#closeOfLargest(ofUsers(), beforeMs) : 0;
    const all = ofAccounts + closed + ofLargest + this.#close(longestFirst(this.#users.members, beforeMs), ofUsers());
    if (all > 0) this.#options.onClosed(all);
  }

  /** Closes those of the accounts that have the most, also what they hold open or have in flight, down to one level. */
  #closeOfLargest(count: number, beforeMs: number): number {
    const largest = [...this.#accounts.values()].toSorted((left, right) => right.weight - left.weight);
    const level = levelFor(
      largest.map(({ weight }) => weight),
      count,
    );
    const until = this.#weight - count;
    let closed = 0;
    for (const own of largest) {
      // The level is rounded down: a thousand accounts with one connection each would have none.
      const left = Math.min(own.weight - level, this.#weight - until);
      if (left <= 0) break;
      const atMost = own.weight - left;
      closed += this.#closeOf(own, left, beforeMs);
      // The newest first: what has been open for long is a user's watch.
      if (this.#ceiling.isCritical) closed += this.#close([...own.members].toReversed(), own.weight - atMost);
    }
    return closed;
  }

  /** Closes those of an account, as many as count for `weight`; where memory is short, also those with a late client. */
  #closeOf(own: Group, weight: number, beforeMs: number): number {
    const until = own.weight - weight;
    const closed = this.#close(longestFirst(own.members, beforeMs, heldSinceOf), weight);
    if (!this.#ceiling.isTight) return closed;
    return closed + this.#close(longestFirst(own.members, beforeMs, lateSinceOf), own.weight - until);
  }

  /** Returns how many connections more should be free. */
  #missing(): number {
    return this.#counted - this.#ceiling.most + Math.ceil(this.#ceiling.most * SPACE_SHARE);
  }

  /** Returns how many connections without a credential there are too many. */
  #excess(): number {
    return this.#unauthenticated.weight - Math.ceil(this.#ceiling.most * UNAUTHENTICATED_SHARE);
  }

  /**
   * Closes as many of them as count for `weight` together, from the first on.
   * @returns how many
   */
  #close(waiting: readonly Occupant[], weight: number): number {
    let left = weight;
    let closed = 0;
    for (const occupant of waiting) {
      if (left <= 0) break;
      left -= this.#users.weightOf(occupant) ?? this.#unauthenticated.weightOf(occupant) ?? 0;
      closed += 1;
      this.remove(occupant);
      occupant.giveWay();
    }
    return closed;
  }
}

const heldSinceOf = ({ heldSinceMs, waitingSinceMs }: Occupant): number | undefined => heldSinceMs ?? waitingSinceMs;
const lateSinceOf = ({ lateSinceMs }: Occupant): number | undefined => lateSinceMs;

/** @returns the highest level at which those above it are `count` above it together; `weights` from the largest on */
function levelFor(weights: readonly number[], count: number): number {
  let above = 0;
  for (const [index, weight] of weights.entries()) {
    above += weight;
    const next = weights[index + 1] ?? 0;
    const level = (above - count) / (index + 1);
    if (level >= next) return Math.max(0, Math.floor(level));
  }
  return 0;
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
      `connections closed: there are nearly as many as ${setting} or the memory allow, or many without a credential or of one account`,
    );
  };
}
