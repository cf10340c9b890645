/**
 * The registry of what is in flight: every request, from the tick of its first check until both its sides are closed.
 *
 * Indexed by session, account and provider, so that a cut touches what it must and nothing else. What has no credential yet is held
 * too: a fence must end it, or a request that was being checked when the lease lapsed would go on unwatched.
 *
 * A reset costs a fraction of a millisecond, so those of a large cut are spread over some turns of the event loop. Everything that is cut is marked
 * at once, and the gate refuses it from then on, so no byte passes meanwhile. What depends on the resets (a receipt, `complete`) asks `isCutting`.
 */
import type { Credential } from '../core/credential/credential.ts';
import type { TargetKey } from '../core/credential/revocation.ts';
import { createTurns } from '../timing/timing.ts';
import type { CutReason, Flight, Registration, SessionEnds, SessionInFlight } from './types.ts';

/** A few milliseconds of each turn. */
const RESETS_A_TURN = 50;

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
  /** The last reset of a cut that took more than one turn has been made. */
  readonly allCut: () => void;
}

export class FlightRegistry {
  readonly #options: FlightRegistryOptions;
  readonly #entries = new Set<Entry>();
  /** In each the oldest comes first. */
  readonly #byKey = new Map<TargetKey, Set<Entry>>();
  readonly #sessions = new Set<TargetKey>();
  readonly #turns = createTurns(RESETS_A_TURN);
  /** Marked and not reset yet. */
  readonly #marked = new Set<Entry>();
  /** Some of them are left for later turns. */
  #goesOn = false;
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

  /** Something is marked as cut that has not been reset yet. */
  get isCutting(): boolean {
    return this.#marked.size > 0;
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
   * Cuts what the target covers: in this turn, but for a revocation, for which the gate refuses what is covered already. Of a large one the first
   * resets are made in this turn and the others in the next ones.
   * @param below only credentials minted before this number of the log; one minted after the entry is not covered by it
   * @returns how many flights were cut
   */
  cut(key: TargetKey, reason: CutReason, below = Number.POSITIVE_INFINITY): number {
    const covered = [...((key === 'all' ? this.#entries : this.#byKey.get(key)) ?? [])].filter(
      ({ credential }) => credential !== undefined && credential.position.number < below,
    );
    const cut = this.#mark(covered, reason);
    for (const entry of cut) {
      if (reason === 'session_revoked') this.#turns.do(() => this.#reset(entry, reason));
      else this.#reset(entry, reason);
    }
    this.#goesOn ||= this.isCutting;
    return cut.length;
  }

  /** Cuts everything in this turn, what has no credential yet included. @returns how many flights were cut */
  cutAll(reason: CutReason): number {
    const cut = this.#mark([...this.#entries], reason);
    this.#goesOn = false;
    // With what earlier cuts have left: a new lease may follow in this very turn, and the gate would be open for it again.
    for (const entry of this.#marked) this.#reset(entry, entry.cutReason ?? reason);
    return cut.length;
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
    if (!this.#entries.delete(entry)) return;
    // Its connection may carry another request by now, which must not be reset for this one.
    this.#unmark(entry);
    if (credential === undefined) return;
    for (const key of Object.values(credential.keys)) {
      const entries = this.#byKey.get(key);
      if (entries?.delete(entry) === true && entries.size === 0) this.#byKey.delete(key);
    }
    const { session } = credential.keys;
    if (this.#byKey.has(session)) return;
    this.#sessions.delete(session);
    this.#options.empty(session);
  }

  /** Once only per flight. @returns those that had not been cut before */
  #mark(entries: readonly Entry[], reason: CutReason): readonly Entry[] {
    const fresh = entries.filter(({ cutReason }) => cutReason === undefined);
    for (const entry of fresh) {
      entry.cutReason = reason;
      this.#marked.add(entry);
    }
    this.#cutTotal += fresh.length;
    return fresh;
  }

  /** The entry stays until `close`, so that drain still sees what has not closed. */
  #reset(entry: Entry, reason: CutReason): void {
    if (!this.#marked.has(entry)) return;
    try {
      // safeguard: CUT
      entry.flight.cut(reason);
    } catch {
      // `Flight.cut` promises not to throw. Should one do so all the same, the others must still be cut.
    }
    this.#unmark(entry);
  }

  #unmark(entry: Entry): void {
    if (!this.#marked.delete(entry) || this.isCutting || !this.#goesOn) return;
    this.#goesOn = false;
    this.#options.allCut();
  }
}
