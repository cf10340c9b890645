/**
 * The registry of what is in flight: every request, from the tick of its first check until both its sides are closed.
 *
 * Indexed by session, account and provider, so that a cut touches what it must and nothing else. What has no credential yet is held
 * too: a fence must end it, or a request that was being checked when the lease lapsed would go on unwatched.
 */
import type { Credential } from '../core/credential.ts';
import type { TargetKey } from '../core/revocation.ts';
import type { CutReason, Flight, Registration, SessionEnds, SessionInFlight } from './revocation.ts';

interface Entry {
  readonly flight: Flight;
  credential: Credential | undefined;
  /** Monotonic milliseconds. */
  boundAt: number;
  cutReason: CutReason | undefined;
}

export interface FlightRegistryOptions {
  readonly monotonic: () => number;
  /** A flight of the session has been bound. */
  readonly bound: (credential: Credential, ends: SessionEnds) => void;
  /** The last flight of the session has closed. */
  readonly empty: (session: TargetKey) => void;
}

export class FlightRegistry {
  readonly #options: FlightRegistryOptions;
  readonly #entries = new Set<Entry>();
  /** In each the oldest comes first. */
  readonly #byKey = new Map<TargetKey, Set<Entry>>();
  readonly #sessions = new Set<TargetKey>();
  #cutTotal = 0;

  constructor(options: FlightRegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Flights cut since the process began. */
  get cutTotal(): number {
    return this.#cutTotal;
  }

  register(flight: Flight): Registration {
    const entry: Entry = { flight, credential: undefined, boundAt: 0, cutReason: undefined };
    this.#entries.add(entry);
    return {
      bind: (credential, ends) => this.#bind(entry, credential, ends),
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
  cut(key: TargetKey, reason: CutReason, below = Number.POSITIVE_INFINITY): number {
    let cut = 0;
    for (const entry of (key === 'all' ? this.#entries : this.#byKey.get(key)) ?? []) {
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

  /** What has been cut and has not closed yet is not counted. */
  sessions(): readonly SessionInFlight[] {
    return [...this.#sessions].flatMap((key) => {
      const entries = [...(this.#byKey.get(key) ?? [])].filter((entry) => entry.cutReason === undefined);
      const [oldest] = entries;
      if (oldest?.credential === undefined) return [];
      const { session, keys } = oldest.credential;
      return [{ session, keys, flights: entries.length, sinceMs: oldest.boundAt }];
    });
  }

  #bind(entry: Entry, credential: Credential, ends: SessionEnds): void {
    if (!this.#entries.has(entry) || entry.cutReason !== undefined) return;
    if (entry.credential !== undefined) throw new Error('a flight is bound once');
    entry.credential = credential;
    entry.boundAt = this.#options.monotonic();
    for (const key of Object.values(credential.keys)) {
      const entries = this.#byKey.get(key);
      if (entries === undefined) this.#byKey.set(key, new Set([entry]));
      else entries.add(entry);
    }
    this.#sessions.add(credential.keys.session);
    this.#options.bound(credential, ends);
  }

  #forget(entry: Entry): void {
    const { credential } = entry;
    if (!this.#entries.delete(entry) || credential === undefined) return;
    for (const key of Object.values(credential.keys)) {
      const entries = this.#byKey.get(key);
      if (entries?.delete(entry) === true && entries.size === 0) this.#byKey.delete(key);
    }
    const { session } = credential.keys;
    if (this.#byKey.has(session)) return;
    this.#sessions.delete(session);
    this.#options.empty(session);
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
}
