/**
 * The registry of what is in flight: every request, from the tick of its first check until both its sides are
 * closed.
 *
 * It is indexed by session, by each session above a delegated one, account and provider, so that a cut touches only what
 * it must; those of grants, by each grant as well. A flight without a credential is held too: a fence must end it, or a
 * request that was being checked when the lease lapsed would go on unwatched.
 *
 * A reset costs a fraction of a millisecond, so the resets of a large cut are spread over some turns of the event
 * loop. Everything that is cut is marked immediately, and the guard rejects it from then on, so no byte passes
 * meanwhile. Whatever depends on the resets (a receipt, `complete`) reads `isCutting`.
 */
import { UnorderedList, type Slot } from '../core/unordered-list.ts';
import type { FlightCredential } from '../core/credential/credential.ts';
import { keyList, type TargetKey } from '../core/credential/revocation.ts';
import { createTurns } from '../timing/timing.ts';
import type { CutReason, Flight, OpenStream, Registration, SessionEnds, SessionInFlight } from './types.ts';

/** They take a few milliseconds of each turn. */
const RESETS_PER_TURN = 50;

interface EntryOwner {
  readonly bind: (entry: Entry, credential: FlightCredential, ends: SessionEnds) => void;
  readonly forget: (entry: Entry) => void;
}

/** One object for each request, of a class: a literal with a getter and functions costs several times as much. */
class Entry implements Registration {
  readonly flight: Flight;
  readonly #owner: EntryOwner;
  credential: FlightCredential | undefined;
  /** Monotonic milliseconds. */
  boundAtMs = 0;
  cutReason: CutReason | undefined;
  /** Among all. */
  slot: Slot<Entry> | undefined;
  /** Among those of each key, in the order of the credential's keys. */
  readonly slots: Slot<Entry>[] = [];

  constructor(flight: Flight, owner: EntryOwner) {
    this.flight = flight;
    this.#owner = owner;
  }

  bind(credential: FlightCredential, ends: SessionEnds): void {
    this.#owner.bind(this, credential, ends);
  }

  close(): void {
    this.#owner.forget(this);
  }
}

/** Monotonic milliseconds. Without an end it is over, as the guard says. */
const endOf = ({ credential }: Entry): number => credential?.grantsEndAtMs ?? Number.NEGATIVE_INFINITY;

export interface FlightRegistryOptions {
  readonly monotonicMs: () => number;
  /** A flight of the session has been bound. */
  readonly bound: (credential: FlightCredential, ends: SessionEnds) => void;
  /** The last flight of the session has closed. */
  readonly empty: (session: TargetKey) => void;
  /** The last reset of a cut that took more than one turn has been made. */
  readonly allCut: () => void;
}

export class FlightRegistry {
  readonly #options: FlightRegistryOptions;
  readonly #owner: EntryOwner = {
    bind: (entry, credential, ends) => this.#bind(entry, credential, ends),
    forget: (entry) => this.#forget(entry),
  };
  readonly #entries = new UnorderedList<Entry>();
  readonly #byKey = new Map<TargetKey, UnorderedList<Entry>>();
  /** How many flights each session has of its own, without those of delegated sessions beneath it. */
  readonly #sessions = new Map<TargetKey, number>();
  readonly #turns = createTurns(RESETS_PER_TURN);
  /** Those that were made with grants. */
  readonly #granted = new Set<Entry>();
  /** Marked as cut and not reset yet. */
  readonly #marked = new Set<Entry>();
  /** True if some of them are left for later turns. */
  #isSpread = false;
  #cutTotal = 0;

  constructor(options: FlightRegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Flights cut since the process started. */
  get cutTotal(): number {
    return this.#cutTotal;
  }

  /** True while something is marked as cut that has not been reset yet. */
  get isCutting(): boolean {
    return this.#marked.size > 0;
  }

  /** Flights that are marked as cut and have not been reset yet. */
  get cutsLeft(): number {
    return this.#marked.size;
  }

  register(flight: Flight): Registration {
    const entry = new Entry(flight, this.#owner);
    entry.slot = this.#entries.add(entry);
    return entry;
  }

  /**
   * Cuts what the target covers, in this turn. Only the resets of a large revocation, for which the guard rejects
   * what is covered already, are spread: the first are made in this turn and the others in the next ones.
   * @param below only credentials minted before this number of the log; one minted after the entry is not covered
   *   by it, unless it is a grant's: that covers each request that is made with the grant, for the reason `grant_ended`
   * @returns how many flights were cut
   */
  cut(key: TargetKey, reason: CutReason, below = Number.POSITIVE_INFINITY): number {
    const entries = (key === 'all' ? this.#entries : this.#byKey.get(key))?.values() ?? [];
    // A grant's key is no one's session, so either all of them are made with it or none is.
    if (entries[0]?.credential?.keys.grants?.includes(key) === true) return this.#cut(entries, 'grant_ended');
    const covered = entries.filter(({ credential }) => credential !== undefined && credential.position.number < below);
    return this.#cut(covered, reason);
  }

  /**
   * Cuts what is made with a grant whose end has come, for which the guard rejects it already.
   * @param nowMs monotonic milliseconds
   * @returns the next end of a grant; undefined if nothing is made with one
   */
  cutEndedGrants(nowMs: number): number | undefined {
    const open = [...this.#granted].filter(({ cutReason }) => cutReason === undefined);
    this.#cut(
      open.filter((entry) => endOf(entry) <= nowMs),
      'grant_ended',
    );
    const later = open.map(endOf).filter((endMs) => endMs > nowMs);
    return later.length === 0 ? undefined : later.reduce((first, each) => Math.min(first, each));
  }

  #cut(covered: readonly Entry[], reason: CutReason): number {
    const cut = this.#mark(covered, reason);
    const isSpread = reason === 'session_revoked' || reason === 'grant_ended';
    const atOnce = isSpread ? RESETS_PER_TURN : cut.length;
    for (const [index, entry] of cut.entries()) {
      const step = (): void => {
        if (index % atOnce === 0) this.#announce(cut.slice(index, index + atOnce));
        this.#reset(entry, reason);
      };
      if (isSpread) this.#turns.do(step);
      else step();
    }
    this.#isSpread ||= this.isCutting;
    return cut.length;
  }

  /** Cuts everything in this turn, flights without a credential included. @returns how many flights were cut */
  cutAll(reason: CutReason): number {
    const cut = this.#mark(this.#entries.values(), reason);
    this.#isSpread = false;
    // Resets what earlier cuts have left as well: a new lease may follow in this very turn, and the guard would
    // accept it again.
    this.#announce(this.#marked);
    for (const entry of this.#marked) this.#reset(entry, entry.cutReason ?? reason);
    return cut.length;
  }

  /** Returns the sessions in flight. Flights that have been cut and have not closed yet are not counted. */
  sessions(): readonly SessionInFlight[] {
    return [...this.#sessions.keys()].flatMap((key) => {
      const entries = (this.#byKey.get(key)?.values() ?? []).filter(
        ({ credential, cutReason }) => cutReason === undefined && credential?.keys.session === key,
      );
      const credential = entries[0]?.credential;
      if (credential === undefined) return [];
      const { session, keys, ancestors } = credential;
      const own = ancestors?.[0] ?? session;
      const sinceMs = entries.reduce((oldest, { boundAtMs }) => Math.min(oldest, boundAtMs), Number.POSITIVE_INFINITY);
      return [{ session, own, keys, flights: entries.length, sinceMs }];
    });
  }

  /** Returns the streams that the target covers, the newest first. Flights that have been cut are none of them. */
  streams(key: TargetKey): readonly OpenStream[] {
    return this.#streams(key)
      .map(({ stream }) => stream)
      .toSorted((left, right) => right.request.at - left.request.at);
  }

  /**
   * Cuts the stream of one request, if the target covers it.
   * @returns whether there was one
   */
  cutStream(key: TargetKey, auditId: string): boolean {
    const found = this.#streams(key).filter(({ stream }) => stream.request.auditId === auditId);
    return (
      this.#cut(
        found.map(({ entry }) => entry),
        'cut_by_admin',
      ) > 0
    );
  }

  #streams(key: TargetKey): readonly { readonly entry: Entry; readonly stream: OpenStream }[] {
    return (this.#byKey.get(key)?.values() ?? []).flatMap((entry) => {
      const { credential, cutReason, flight } = entry;
      if (credential === undefined || cutReason !== undefined) return [];
      const request = flight.stream?.();
      return request === undefined ? [] : [{ entry, stream: { session: credential.session, request } }];
    });
  }

  #bind(entry: Entry, credential: FlightCredential, ends: SessionEnds): void {
    if (entry.slot === undefined || entry.slot.at === -1 || entry.cutReason !== undefined) return;
    if (entry.credential !== undefined) throw new Error('a flight is bound once');
    entry.credential = credential;
    entry.boundAtMs = this.#options.monotonicMs();
    for (const key of keyList(credential.keys)) {
      let entries = this.#byKey.get(key);
      if (entries === undefined) this.#byKey.set(key, (entries = new UnorderedList()));
      entry.slots.push(entries.add(entry));
    }
    if (credential.keys.grants !== undefined) this.#granted.add(entry);
    const { session } = credential.keys;
    this.#sessions.set(session, (this.#sessions.get(session) ?? 0) + 1);
    this.#options.bound(credential, ends);
  }

  #forget(entry: Entry): void {
    const { credential } = entry;
    if (entry.slot === undefined || !this.#entries.remove(entry.slot)) return;
    // Its connection may carry another request by now, which must not be reset for this one.
    this.#unmark(entry);
    if (credential === undefined) return;
    if (credential.keys.grants !== undefined) this.#granted.delete(entry);
    let index = 0;
    for (const key of keyList(credential.keys)) {
      const entries = this.#byKey.get(key);
      const slot = entry.slots[index++];
      if (slot !== undefined && entries?.remove(slot) === true && entries.size === 0) this.#byKey.delete(key);
    }
    const { session } = credential.keys;
    const left = (this.#sessions.get(session) ?? 0) - 1;
    if (left > 0) {
      this.#sessions.set(session, left);
      return;
    }
    this.#sessions.delete(session);
    this.#options.empty(session);
  }

  /** Marks each flight once only. @returns those that had not been cut before */
  #mark(entries: readonly Entry[], reason: CutReason): readonly Entry[] {
    const newlyCut = entries.filter(({ cutReason }) => cutReason === undefined);
    for (const entry of newlyCut) {
      entry.cutReason = reason;
      this.#marked.add(entry);
    }
    this.#cutTotal += newlyCut.length;
    return newlyCut;
  }

  /**
   * Before the first reset: once an HTTP/2 connection sends the reset of one stream, what is written to another does
   * not leave before that one's own reset, and of many watches on a connection only one would learn why it ended.
   */
  #announce(entries: Iterable<Entry>): void {
    for (const entry of entries) {
      if (!this.#marked.has(entry) || entry.cutReason === undefined) continue;
      try {
        entry.flight.announce?.(entry.cutReason);
      } catch {
        // It promises not to throw. The cut follows all the same.
      }
    }
  }

  /** Resets a flight. The entry stays until `close`, so that a drain still sees what has not closed. */
  #reset(entry: Entry, reason: CutReason): void {
    if (!this.#marked.has(entry)) return;
    try {
      // safeguard: CUT
      entry.flight.cut(reason);
    } catch {
      // `Flight.cut` promises not to throw. If one does so all the same, the others must still be cut.
    }
    this.#unmark(entry);
  }

  #unmark(entry: Entry): void {
    if (!this.#marked.delete(entry) || this.isCutting || !this.#isSpread) return;
    this.#isSpread = false;
    this.#options.allCut();
  }
}
