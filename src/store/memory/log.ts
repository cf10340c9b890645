/** The revocation log in memory. */
import { randomBytes } from 'node:crypto';

import { leaseOf } from '../../core/credential/lease.ts';
import {
  cacheKey,
  sessionKey,
  type LogChange,
  type LogEntry,
  type LogPosition,
  type RevocationTarget,
} from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import { labelOf } from '../delegated.ts';
import { approvalSpent, requestIdReused } from '../errors.ts';
import { grantEndSeconds } from '../granted.ts';
import {
  ENTRY_SKEW_SECONDS,
  LONGEST_LOG,
  LONGEST_TOKEN_SECONDS,
  MOST_LABELS,
  NOTICE_KEPT_SECONDS,
  REQUEST_KEPT_SECONDS,
} from '../lifetimes.ts';
import { checkedDrillId, checkedKey, checkedTokenSeconds, meaningOf } from '../requests.ts';
import type {
  Appended,
  AppendRequest,
  EndedDelegations,
  Joined,
  RenewOutcome,
  ReplicaState,
  RevocationLog,
  SessionRecord,
} from '../store.ts';
import type { FreshMarks } from './fresh-marks.ts';
import { createJanitor } from './janitor.ts';
import type { MemoryLocks } from './locks.ts';
import { Watermarks } from './watermarks.ts';

interface StoredResult {
  readonly position: LogPosition;
  readonly sessions: number;
  readonly delegated?: EndedDelegations;
  readonly openRequests?: number;
  readonly meaning: string;
  readonly keptUntilMs: number;
}

interface LogParts {
  readonly clock: Clock;
  readonly sessions: {
    recordOf(id: string): SessionRecord | undefined;
    /** Ends the covered sessions and returns those that were alive. */
    endCovered(target: RevocationTarget): readonly SessionRecord[];
    dropGrant(session: string, grant: string): void;
  };
  readonly locks: MemoryLocks;
  readonly fresh: FreshMarks;
  /** @returns how many access requests of this session wait for approvals */
  openRequestsOf(session: string): number;
  /** @returns milliseconds; undefined for a grant that is not known */
  leftOfGrant(grant: string): number | undefined;
  /** @returns whether it was there */
  takeApproval(id: string): boolean;
}

/** The log of one process. Its epoch and its primary generation are the process itself. */
export class MemoryLog implements RevocationLog {
  /** No other process has ever been in this epoch. */
  readonly settled = true;
  readonly watermarks: Watermarks;
  readonly #parts: LogParts;
  readonly #epoch = randomBytes(16).toString('base64url');
  readonly #entries: LogEntry[] = [];
  /** Entries that may still cover a credential, by number. Separate from the log, which may be trimmed earlier. */
  readonly #live = new Map<number, LogEntry>();
  readonly #replicas = new Map<string, ReplicaState>();
  readonly #results = new Map<string, StoredResult>();
  readonly #waiters = new Set<() => void>();
  readonly #tidyResults: () => void;
  readonly #tidyLive: () => void;
  #number = 0;
  #longestTokenSeconds = 0;

  constructor(parts: LogParts) {
    this.#parts = parts;
    this.watermarks = new Watermarks(parts.clock);
    this.#tidyResults = createJanitor(
      this.#results,
      (result) => parts.clock.nowMs() >= result.keptUntilMs,
      (id) => this.#results.delete(id),
    );
    this.#tidyLive = createJanitor(
      this.#live,
      (entry) => this.#seconds() >= entry.until,
      (number) => this.#live.delete(number),
    );
  }

  /** `position` within the caller's tick. */
  get current(): LogPosition {
    return { epoch: this.#epoch, number: this.#number };
  }

  /** Incarnations of the registry. */
  get replicas(): Iterable<string> {
    return this.#replicas.keys();
  }

  async position(): Promise<LogPosition> {
    return this.current;
  }

  async join(longestTokenSeconds: number): Promise<Joined> {
    this.#longestTokenSeconds = Math.max(this.#longestTokenSeconds, checkedTokenSeconds(longestTokenSeconds));
    const live = [...this.#live.values()].filter((entry) => entry.until > this.#seconds());
    return { position: this.current, live: structuredClone(live) };
  }

  async renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome> {
    if (position.epoch !== this.#epoch) return { ok: false, reason: 'epoch' };
    if (position.number > this.#number) return { ok: false, reason: 'rollback' };
    const first = this.#entries[0]?.number ?? 1;
    const fromTheStart = position.number === 0 && first === 1;
    if (position.number < first && !fromTheStart) return { ok: false, reason: 'gap' };
    this.#replicas.set(state.incarnation, structuredClone(state));
    const entries = this.#entries.filter((entry) => entry.number > position.number);
    const replicas = this.#registry();
    return {
      ok: true,
      epoch: this.#epoch,
      generation: this.#epoch,
      entries: structuredClone(entries),
      replicas,
      longestLeaseMs: Math.max(...replicas.map(leaseOf)),
    };
  }

  async leave(incarnation: string, count?: number): Promise<void> {
    if (count === undefined || this.#replicas.get(incarnation)?.count === count) this.#replicas.delete(incarnation);
  }

  async append(request: AppendRequest): Promise<Appended> {
    const key = checkedKey(request);
    const meaning = meaningOf(request);
    const { requestId, target, lock } = request;
    const { sessions, locks, fresh, clock } = this.#parts;
    this.#tidyResults();
    const known = this.#known(requestId);
    if (known !== undefined) {
      if (known.meaning !== meaning) throw requestIdReused();
      return this.#appended(known);
    }
    if (request.approval !== undefined && !this.#parts.takeApproval(request.approval)) throw approvalSpent();
    const record = target.kind === 'session' && request.ended !== true ? sessions.recordOf(target.session) : undefined;
    // No sign-in opens a delegated session, so none brings it back, and its user's own session goes on.
    const signedIn = record?.delegation === undefined ? record?.account : undefined;
    const account = target.kind === 'account' ? target.account : signedIn;
    if (account !== undefined && request.asksFreshSignIn !== false) fresh.set(account);
    if (target.kind === 'account' && lock !== undefined) locks.set({ ...lock, account: target.account });
    const through = this.#endThrough(record?.via);
    if (target.kind === 'grant') this.#takeGrant(target);
    this.#write({ kind: 'revoked', key }, this.#standsUntil(target));
    this.watermarks.raise(target, this.#number);
    const ended = [...through, ...sessions.endCovered(target)];
    const keptUntilMs = clock.nowMs() + REQUEST_KEPT_SECONDS * 1000;
    const isWide = target.kind === 'provider' || target.kind === 'all';
    const labels = isWide ? [] : ended.flatMap(({ id, delegation }) => (delegation ? labelOf(id, delegation) : []));
    const openRequests = isWide ? 0 : ended.reduce((sum, { id }) => sum + this.#parts.openRequestsOf(id), 0);
    const result = {
      position: this.current,
      sessions: ended.length,
      ...(openRequests > 0 && { openRequests }),
      ...(labels.length > 0 && { delegated: { count: labels.length, labels: labels.slice(0, MOST_LABELS) } }),
      meaning,
      keptUntilMs,
    };
    this.#results.set(requestId, result);
    return this.#appended(result);
  }

  async hasWritten(request: Pick<AppendRequest, 'requestId' | 'target' | 'lock' | 'by'>): Promise<boolean> {
    return this.#known(request.requestId)?.meaning === meaningOf(request);
  }

  async announceDrill(id: string): Promise<LogPosition> {
    this.notify({ kind: 'drill', id: checkedDrillId(id) });
    return this.current;
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

  /** Adds an entry that revokes nothing, within the caller's tick. */
  notify(change: LogChange): void {
    this.#write(change, this.#seconds() + NOTICE_KEPT_SECONDS);
  }

  /** Adds the next entry within the caller's tick. */
  #write(change: LogChange, until: number): void {
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
   * Ends the browser session through which the revoked one was opened, by an entry of its own.
   * @returns those that were alive
   */
  #endThrough(via: string | undefined): readonly SessionRecord[] {
    if (via === undefined || this.#parts.sessions.recordOf(via) === undefined) return [];
    this.#write({ kind: 'revoked', key: sessionKey(via) }, this.#standsUntil());
    return this.#parts.sessions.endCovered({ kind: 'session', session: via });
  }

  #known(requestId: string): StoredResult | undefined {
    const result = this.#results.get(requestId);
    return result !== undefined && this.#parts.clock.nowMs() < result.keptUntilMs ? result : undefined;
  }

  /** Removes a grant from its session, and has each replica read the session again. */
  #takeGrant({ session, grant }: Extract<RevocationTarget, { kind: 'grant' }>): void {
    this.#parts.sessions.dropGrant(session, grant);
    this.notify({ kind: 'identity-changed', key: cacheKey(session) });
  }

  /** The end of a grant stands until the grant would have been over: no replica may take it for one that goes on. */
  #standsUntil(target?: RevocationTarget): number {
    const usual = this.#seconds() + (this.#longestTokenSeconds || LONGEST_TOKEN_SECONDS);
    const grantEnd =
      target?.kind === 'grant' ? grantEndSeconds(this.#parts.leftOfGrant(target.grant), this.#seconds()) : 0;
    return Math.max(usual, grantEnd) + ENTRY_SKEW_SECONDS;
  }

  #appended({ meaning: _meaning, keptUntilMs: _kept, ...result }: StoredResult): Appended {
    return { ...structuredClone(result), generation: this.#epoch, acknowledged: true, replicas: this.#registry() };
  }

  /**
   * An entry is kept until the next one has expired too. A replica that renewed before the next one was written
   * still finds its position, and need not join again because of the first revocation after a quiet time. The last
   * entry always stays.
   */
  #firstIsOver(): boolean {
    const [first, second] = this.#entries;
    if (first === undefined || second === undefined) return false;
    return this.#entries.length > LONGEST_LOG || Math.max(first.until, second.until) <= this.#seconds();
  }

  #registry(): readonly ReplicaState[] {
    return [...this.#replicas.values()].map((state) => structuredClone(state));
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}
