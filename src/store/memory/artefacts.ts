/** The artefacts of OAuth and of sign-in in memory. */
import type { Clock } from '../../contracts/clock.ts';
import { expiresAtMs } from '../lifetimes.ts';
import { bytesOf, PENDING_BYTES, pendingShare, type Displaced } from '../pending.ts';
import type { ArtefactKind, ArtefactPayload, ArtefactStore, SaveArtefact } from '../store.ts';
import { createJanitor } from './janitor.ts';
import { PendingBudget } from './pending-budget.ts';

interface Artefact {
  /** JSON, so that no caller shares an object with the store and both stores return the same. */
  readonly payload: string;
  readonly expiresAtMs: number;
  readonly session: string | undefined;
  readonly names: readonly string[];
  /** The budget that the artefact counts against. */
  readonly budget: PendingBudget | undefined;
  consumed: number | undefined;
}

export interface MemoryArtefactsOptions {
  readonly onDisplaced?: (displaced: Displaced) => void;
  /** Bytes of the budget of login transactions. Default: `PENDING_BYTES`. */
  readonly pendingBytes?: number;
}

const nameOf = (...parts: readonly string[]): string => JSON.stringify(parts);

export class MemoryArtefacts implements ArtefactStore {
  readonly #clock: Clock;
  readonly #artefacts = new Map<string, Artefact>();
  readonly #byName = new Map<string, string>();
  readonly #bySession = new Map<string, Set<string>>();
  readonly #budgets = new Map<ArtefactKind, PendingBudget>();
  readonly #options: MemoryArtefactsOptions;
  readonly #tidy: () => void;

  constructor(clock: Clock, options: MemoryArtefactsOptions = {}) {
    this.#clock = clock;
    this.#options = options;
    this.#tidy = createJanitor(
      this.#artefacts,
      (artefact) => clock.nowMs() >= artefact.expiresAtMs,
      (key) => this.#drop(key),
    );
  }

  async save(kind: ArtefactKind, id: string, payload: ArtefactPayload, options: SaveArtefact): Promise<void> {
    const expires = expiresAtMs(this.#clock.nowMs(), options.ttlSeconds);
    this.#tidy();
    const key = nameOf(kind, id);
    // An artefact that was consumed once stays consumed, even if it is saved again.
    const consumed = this.#live(key)?.consumed;
    const before = this.#artefacts.get(key)?.budget?.siteOf(key);
    this.#drop(key);
    const names = [
      ...(options.uid === undefined ? [] : [nameOf('uid', kind, options.uid)]),
      ...(options.userCode === undefined ? [] : [nameOf('code', kind, options.userCode)]),
    ];
    const { session } = options;
    const json = JSON.stringify(payload);
    const budget = this.#budgetOf(kind, options);
    this.#artefacts.set(key, { payload: json, expiresAtMs: expires, names, session, budget, consumed });
    for (const name of names) this.#byName.set(name, key);
    if (session !== undefined) {
      this.#bySession.set(session, (this.#bySession.get(session) ?? new Set<string>()).add(key));
    }
    const displaced = budget?.add(key, { bytes: bytesOf(json.length), site: options.from ?? before ?? '' });
    for (const one of displaced ?? []) this.#drop(one);
    if (displaced !== undefined && displaced.length > 0) this.#options.onDisplaced?.({ kind, count: displaced.length });
  }

  #budgetOf(kind: ArtefactKind, options: SaveArtefact): PendingBudget | undefined {
    const share = pendingShare(kind, options);
    if (share === undefined) return undefined;
    const known = this.#budgets.get(kind) ?? new PendingBudget(share * (this.#options.pendingBytes ?? PENDING_BYTES));
    this.#budgets.set(kind, known);
    return known;
  }

  async find(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined> {
    return this.#payload(nameOf(kind, id));
  }

  async findByUid(kind: ArtefactKind, uid: string): Promise<ArtefactPayload | undefined> {
    return this.#payload(this.#byName.get(nameOf('uid', kind, uid)));
  }

  async findByUserCode(kind: ArtefactKind, userCode: string): Promise<ArtefactPayload | undefined> {
    return this.#payload(this.#byName.get(nameOf('code', kind, userCode)));
  }

  async consume(kind: ArtefactKind, id: string): Promise<boolean> {
    const artefact = this.#live(nameOf(kind, id));
    if (artefact === undefined || artefact.consumed !== undefined) return false;
    artefact.consumed = Math.floor(this.#clock.nowMs() / 1000);
    return true;
  }

  async take(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined> {
    return this.takeNow(kind, id);
  }

  /** `take` within the caller's tick, for a write that must be atomic with it. */
  takeNow(kind: ArtefactKind, id: string): ArtefactPayload | undefined {
    const key = nameOf(kind, id);
    const payload = this.#payload(key);
    this.#drop(key);
    return payload;
  }

  async destroy(kind: ArtefactKind, id: string): Promise<void> {
    this.#drop(nameOf(kind, id));
  }

  async destroyOfSession(session: string): Promise<void> {
    this.dropOfSession(session);
  }

  /** `destroyOfSession` within the caller's tick, for the end of a session. */
  dropOfSession(session: string): void {
    for (const key of this.#bySession.get(session) ?? []) this.#drop(key);
  }

  #live(key: string | undefined): Artefact | undefined {
    const artefact = key === undefined ? undefined : this.#artefacts.get(key);
    return artefact !== undefined && this.#clock.nowMs() < artefact.expiresAtMs ? artefact : undefined;
  }

  #payload(key: string | undefined): ArtefactPayload | undefined {
    const artefact = this.#live(key);
    if (artefact === undefined) return undefined;
    const payload = JSON.parse(artefact.payload) as ArtefactPayload;
    return artefact.consumed === undefined ? payload : { ...payload, consumed: artefact.consumed };
  }

  #drop(key: string): void {
    const artefact = this.#artefacts.get(key);
    if (artefact === undefined) return;
    this.#artefacts.delete(key);
    artefact.budget?.remove(key);
    for (const name of artefact.names) if (this.#byName.get(name) === key) this.#byName.delete(name);
    if (artefact.session === undefined) return;
    const siblings = this.#bySession.get(artefact.session);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#bySession.delete(artefact.session);
  }
}
