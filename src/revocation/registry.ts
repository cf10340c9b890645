/**
 * The registry of what is in flight: every request, from the tick of its first check until both its sides are closed.
 *
 * Indexed by session, account and provider, so that a cut touches what it must and nothing else. What has no credential yet is held
 * too: a fence must end it, or a request that was being checked when the lease lapsed would go on unwatched.
 */
import type { Credential } from '../core/credential.ts';
import type { RevocationTarget } from '../core/revocation.ts';
import type { CutReason, Flight, Registration } from './revocation.ts';

/** Longest wait that one timer may have (setTimeout overflows at 24.8 days); waking up early costs one look at the list. */
const LONGEST_TIMER_MS = 3_600_000;

interface Entry {
  readonly flight: Flight;
  credential: Credential | undefined;
  /** Epoch seconds. */
  expiresAt: number;
  cutReason: CutReason | undefined;
}

type Index = Map<string, Set<Entry>>;

export class FlightRegistry {
  readonly #clock: { now(): number };
  readonly #entries = new Set<Entry>();
  readonly #bySession: Index = new Map();
  readonly #byAccount: Index = new Map();
  readonly #byProvider: Index = new Map();
  #timer: NodeJS.Timeout | undefined;
  /** Epoch seconds at which the timer will look for ended sessions. */
  #timerAt = Number.POSITIVE_INFINITY;
  #cutTotal = 0;

  /** @param clock wall clock in epoch milliseconds, for the ends of sessions */
  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Flights cut since the process began. */
  get cutTotal(): number {
    return this.#cutTotal;
  }

  register(flight: Flight): Registration {
    const entry: Entry = { flight, credential: undefined, expiresAt: Number.POSITIVE_INFINITY, cutReason: undefined };
    this.#entries.add(entry);
    return {
      bind: (credential, sessionExpiresAt) => this.#bind(entry, credential, sessionExpiresAt),
      get cutReason() {
        return entry.cutReason;
      },
      close: () => this.#forget(entry),
    };
  }

  /**
   * Cuts what the target covers.
   * @param below only credentials minted before this number of the log; one minted after the entry is not covered by it
   * @returns how many flights were cut
   */
  cut(target: RevocationTarget, reason: CutReason, below = Number.POSITIVE_INFINITY): number {
    let cut = 0;
    for (const entry of this.#covered(target)) {
      if (entry.credential !== undefined && entry.credential.position.number < below && this.#cut(entry, reason))
        cut += 1;
    }
    return cut;
  }

  /** Cuts everything, what has no credential yet included. @returns how many flights were cut */
  cutAll(reason: CutReason): number {
    let cut = 0;
    for (const entry of this.#entries) if (this.#cut(entry, reason)) cut += 1;
    return cut;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #covered(target: RevocationTarget): Iterable<Entry> {
    switch (target.kind) {
      case 'session':
        return this.#bySession.get(target.session) ?? [];
      case 'account':
        return this.#byAccount.get(target.account) ?? [];
      case 'provider':
        return this.#byProvider.get(target.provider) ?? [];
      case 'all':
        return this.#entries;
    }
  }

  #bind(entry: Entry, credential: Credential, sessionExpiresAt: number): void {
    if (!this.#entries.has(entry) || entry.cutReason !== undefined) return;
    if (entry.credential !== undefined) throw new Error('a flight is bound once');
    entry.credential = credential;
    entry.expiresAt = sessionExpiresAt;
    add(this.#bySession, credential.session, entry);
    add(this.#byAccount, credential.account, entry);
    add(this.#byProvider, credential.provider, entry);
    this.#watchEnd(sessionExpiresAt);
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry);
    const { credential } = entry;
    if (credential === undefined) return;
    remove(this.#bySession, credential.session, entry);
    remove(this.#byAccount, credential.account, entry);
    remove(this.#byProvider, credential.provider, entry);
  }

  /** Once only per flight. The entry stays until `close`, so that drain still sees what has not closed. */
  #cut(entry: Entry, reason: CutReason): boolean {
    if (entry.cutReason !== undefined) return false;
    entry.cutReason = reason;
    this.#cutTotal += 1;
    try {
      entry.flight.cut(reason);
    } catch {
      // `Flight.cut` promises not to throw. Should one do so all the same, the others must still be cut.
    }
    return true;
  }

  /** One timer serves all: it stands at the earliest end there is, and looks through the list when it goes off. */
  #watchEnd(expiresAt: number): void {
    if (expiresAt >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = expiresAt;
    const wait = Math.min(Math.max(expiresAt * 1000 - this.#clock.now(), 0), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.#endExpired(), wait);
    this.#timer.unref();
  }

  #endExpired(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now() / 1000;
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries) {
      if (entry.cutReason !== undefined) continue;
      if (entry.expiresAt <= now) this.#cut(entry, 'session_expired');
      else next = Math.min(next, entry.expiresAt);
    }
    if (next !== Number.POSITIVE_INFINITY) this.#watchEnd(next);
  }
}

function add(index: Index, key: string, entry: Entry): void {
  const entries = index.get(key);
  if (entries === undefined) index.set(key, new Set([entry]));
  else entries.add(entry);
}

function remove(index: Index, key: string, entry: Entry): void {
  const entries = index.get(key);
  if (entries?.delete(entry) === true && entries.size === 0) index.delete(key);
}
