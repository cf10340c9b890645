import type { Clock } from '../clock.ts';
import { expiresAtMs } from '../lifetimes.ts';
import type { ArtefactKind, ArtefactPayload, ArtefactStore, SaveArtefact } from '../store.ts';
import { createJanitor } from './janitor.ts';

interface Artefact {
  /** JSON, so that no caller shares an object with the store and both stores give back the same. */
  readonly payload: string;
  readonly expiresAtMs: number;
  readonly session: string | undefined;
  readonly names: readonly string[];
  consumed: number | undefined;
}

const nameOf = (...parts: readonly string[]): string => JSON.stringify(parts);

export class MemoryArtefacts implements ArtefactStore {
  readonly #clock: Clock;
  readonly #artefacts = new Map<string, Artefact>();
  readonly #byName = new Map<string, string>();
  readonly #bySession = new Map<string, Set<string>>();
  readonly #tidy: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tidy = createJanitor(
      this.#artefacts,
      (artefact) => clock.now() >= artefact.expiresAtMs,
      (key) => this.#drop(key),
    );
  }

  async save(kind: ArtefactKind, id: string, payload: ArtefactPayload, options: SaveArtefact): Promise<void> {
    const expires = expiresAtMs(this.#clock.now(), options.ttlSeconds);
    this.#tidy();
    const key = nameOf(kind, id);
    // What has been used once stays used, however often it is saved again.
    const consumed = this.#live(key)?.consumed;
    this.#drop(key);
    const names = [
      ...(options.uid === undefined ? [] : [nameOf('uid', kind, options.uid)]),
      ...(options.userCode === undefined ? [] : [nameOf('code', kind, options.userCode)]),
    ];
    const { session } = options;
    this.#artefacts.set(key, { payload: JSON.stringify(payload), expiresAtMs: expires, names, session, consumed });
    for (const name of names) this.#byName.set(name, key);
    if (session === undefined) return;
    this.#bySession.set(session, (this.#bySession.get(session) ?? new Set<string>()).add(key));
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
    artefact.consumed = Math.floor(this.#clock.now() / 1000);
    return true;
  }

  async take(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined> {
    return this.takeNow(kind, id);
  }

  /** `take` within the caller's tick, for what is written with it. */
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
    return artefact !== undefined && this.#clock.now() < artefact.expiresAtMs ? artefact : undefined;
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
    for (const name of artefact.names) if (this.#byName.get(name) === key) this.#byName.delete(name);
    if (artefact.session === undefined) return;
    const siblings = this.#bySession.get(artefact.session);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#bySession.delete(artefact.session);
  }
}
