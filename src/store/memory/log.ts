import { randomBytes } from 'node:crypto';

import type { LogChange, LogEntry, LogPosition, RevocationTarget } from '../../core/revocation.ts';
import type { Clock } from '../clock.ts';
import { requestIdReused } from '../faults.ts';
import { LONGEST_LOG, REQUEST_KEPT_SECONDS } from '../lifetimes.ts';
import type { Appended, AppendRequest, Joined, RenewOutcome, ReplicaState, RevocationLog } from '../store.ts';
import { createJanitor } from './janitor.ts';
import { Watermarks } from './watermarks.ts';

interface Answer {
  readonly position: LogPosition;
  readonly sessions: number;
  readonly target: string;
  readonly keptUntilMs: number;
}

/** The log of one process; its epoch is the process's life. */
export class MemoryLog implements RevocationLog {
  readonly watermarks: Watermarks;
  readonly #clock: Clock;
  readonly #endCovered: (target: RevocationTarget) => number;
  readonly #epoch = randomBytes(16).toString('base64url');
  readonly #entries: LogEntry[] = [];
  /** Entries that may still cover a credential, by number; apart from the log, which may be cut shorter. */
  readonly #live = new Map<number, LogEntry>();
  readonly #replicas = new Map<string, ReplicaState>();
  readonly #answers = new Map<string, Answer>();
  readonly #waiters = new Set<() => void>();
  readonly #tidyAnswers: () => void;
  readonly #tidyLive: () => void;
  #number = 0;

  /** @param endCovered ends the sessions that the target covers and says how many were alive */
  constructor(clock: Clock, endCovered: (target: RevocationTarget) => number) {
    this.#clock = clock;
    this.#endCovered = endCovered;
    this.watermarks = new Watermarks(clock);
    this.#tidyAnswers = createJanitor(
      this.#answers,
      (answer) => clock.now() >= answer.keptUntilMs,
      (id) => this.#answers.delete(id),
    );
    this.#tidyLive = createJanitor(
      this.#live,
      (entry) => this.#seconds() >= entry.until,
      (number) => this.#live.delete(number),
    );
  }

  /** `position` within the caller's tick. */
  get place(): LogPosition {
    return { epoch: this.#epoch, number: this.#number };
  }

  async position(): Promise<LogPosition> {
    return this.place;
  }

  async join(): Promise<Joined> {
    const live = [...this.#live.values()].filter((entry) => entry.until > this.#seconds());
    return { position: this.place, live: structuredClone(live) };
  }

  async renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome> {
    if (position.epoch !== this.#epoch) return { ok: false, reason: 'epoch' };
    if (position.number > this.#number) return { ok: false, reason: 'rollback' };
    const first = this.#entries[0]?.number ?? 1;
    const fromTheStart = position.number === 0 && first === 1;
    if (position.number < first && !fromTheStart) return { ok: false, reason: 'gap' };
    this.#replicas.set(state.incarnation, { ...state });
    const entries = this.#entries.filter((entry) => entry.number > position.number);
    return { ok: true, epoch: this.#epoch, entries: structuredClone(entries), replicas: this.#registry() };
  }

  async leave(incarnation: string): Promise<void> {
    this.#replicas.delete(incarnation);
  }

  async append({ requestId, target, until }: AppendRequest): Promise<Appended> {
    this.#tidyAnswers();
    const known = this.#answers.get(requestId);
    if (known !== undefined && this.#clock.now() < known.keptUntilMs) {
      if (known.target !== JSON.stringify(target)) throw requestIdReused();
      return { position: known.position, sessions: known.sessions, replicas: this.#registry() };
    }
    this.write({ kind: 'revoked', target }, until);
    this.watermarks.raise(target, this.#number);
    const sessions = this.#endCovered(target);
    const position = this.place;
    const keptUntilMs = this.#clock.now() + REQUEST_KEPT_SECONDS * 1000;
    this.#answers.set(requestId, { position, sessions, target: JSON.stringify(target), keptUntilMs });
    return { position, sessions, replicas: this.#registry() };
  }

  async waitForEntry(number: number, signal: AbortSignal): Promise<void> {
    if (this.#number !== number || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => resolve();
    this.#waiters.add(waiter);
    signal.addEventListener('abort', waiter);
    await promise;
    this.#waiters.delete(waiter);
    signal.removeEventListener('abort', waiter);
  }

  /** Adds the next entry within the caller's tick. */
  write(change: LogChange, until: number): void {
    this.#number += 1;
    const entry = structuredClone({ number: this.#number, change, until });
    this.#entries.push(entry);
    if (change.kind === 'revoked') this.#live.set(entry.number, entry);
    this.#tidyLive();
    while (this.#firstIsOver()) this.#entries.shift();
    this.wake();
  }

  wake(): void {
    for (const waiter of this.#waiters) waiter();
  }

  /**
   * An entry waits until the next one is over too: whoever renewed before that one was written still has its place here, and is
   * not sent away by the first revocation after a quiet time. The last entry always stays.
   */
  #firstIsOver(): boolean {
    const [first, second] = this.#entries;
    if (first === undefined || second === undefined) return false;
    return this.#entries.length > LONGEST_LOG || Math.max(first.until, second.until) <= this.#seconds();
  }

  #registry(): readonly ReplicaState[] {
    return [...this.#replicas.values()].map((state) => ({ ...state }));
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}
