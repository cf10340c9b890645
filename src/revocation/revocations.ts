/**
 * The revocation itself: shut the own gate and cut, write, then ask every other replica for its receipt.
 *
 * The order is the promise. Whoever asks this replica finds the target refused here before anything else has been tried, and still
 * refused where the write failed.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../core/errors.ts';
import type { LogPosition, RevocationTarget } from '../core/revocation.ts';
import type { Appended, RevocationLog } from '../store/store.ts';
import { delay } from './delay.ts';
import type { GateMetrics } from './dependencies.ts';
import { OwnGate } from './own-gate.ts';
import type { Peers } from './peers.ts';
import type { FlightRegistry } from './registry.ts';
import type { ReplicaReceipt, RevocationAnswer } from './revocation.ts';
import { targetKey } from './view.ts';

/** How long an answer can be asked for again. */
const ANSWER_LIFE_MS = 600_000;
/** First and longest pause between two looks at the receipts of the others. */
const FIRST_LOOK_MS = 5;
const LONGEST_LOOK_MS = 50;

interface OtherReplica {
  readonly name: string;
  /** Flights that it had cut before the entry was written. */
  readonly cutBefore: number;
  receipt: { readonly ms: number; readonly streamsClosed: number } | undefined;
}

interface Revocation {
  readonly id: string;
  readonly target: RevocationTarget;
  /** RFC 3339. */
  readonly at: string;
  /** Monotonic milliseconds. */
  readonly begunAt: number;
  readonly streamsClosed: number;
  /** Undefined until it has been written. */
  written: { readonly position: LogPosition; readonly sessions: number; readonly ms: number } | undefined;
  readonly others: Map<string, OtherReplica>;
  held: boolean;
  /** Undefined until it has been answered for the first time. */
  elapsedMs: number | undefined;
}

export interface RevocationsOptions {
  readonly log: RevocationLog;
  readonly incarnation: string;
  readonly replicaName: string;
  readonly monotonic: () => number;
  readonly clock: { now(): number };
  readonly entryLifeSeconds: number;
  /** W of REVOCATION.md: after so long a silent replica has lost its lease. */
  readonly waitMs: number;
  readonly registry: FlightRegistry;
  readonly peers: Peers;
  /** The log's place as this replica has applied it. */
  readonly position: () => LogPosition | undefined;
  readonly wake: () => Promise<void>;
  readonly metrics: GateMetrics | undefined;
}

export class Revocations {
  readonly ownGate = new OwnGate();
  readonly #options: RevocationsOptions;
  readonly #known = new Map<string, { readonly revocation: Revocation; readonly answer: Promise<RevocationAnswer> }>();
  readonly #failed = new Set<string>();

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  async revoke(request: { readonly target: RevocationTarget; readonly requestId?: string }): Promise<RevocationAnswer> {
    this.#forgetOld();
    const id = request.requestId ?? randomUUID();
    const known = this.#known.get(id);
    if (known !== undefined) return this.#again(known, request.target);
    const revocation = this.#begin(id, request.target);
    const answer = this.#carryOut(revocation);
    this.#known.set(id, { revocation, answer });
    return answer;
  }

  answer(id: string): RevocationAnswer | undefined {
    this.#forgetOld();
    const known = this.#known.get(id);
    return known?.revocation.written === undefined ? undefined : this.#describe(known.revocation);
  }

  /** To be called after each renewal: lets go of holds whose entries have come back, and takes in receipts. */
  renewed(): void {
    const now = this.#options.monotonic();
    for (const { revocation } of this.#known.values()) {
      this.#letGo(revocation);
      this.#takeReceipts(revocation, now);
    }
  }

  /** In memory only, and in one tick: nothing can fail before the target is refused here. */
  #begin(id: string, target: RevocationTarget): Revocation {
    const { registry, monotonic, clock } = this.#options;
    const begunAt = monotonic();
    this.ownGate.hold(target, id);
    const streamsClosed = registry.cut(target, 'session_revoked');
    const at = new Date(clock.now()).toISOString();
    return {
      id,
      target,
      at,
      begunAt,
      streamsClosed,
      written: undefined,
      others: new Map(),
      held: true,
      elapsedMs: undefined,
    };
  }

  async #carryOut(revocation: Revocation): Promise<RevocationAnswer> {
    const { log, clock, entryLifeSeconds, monotonic, peers, metrics } = this.#options;
    const until = Math.ceil(clock.now() / 1000) + entryLifeSeconds;
    let appended: Appended;
    try {
      appended = await log.append({ requestId: revocation.id, target: revocation.target, until });
    } catch (cause) {
      if (cause instanceof AppError && cause.code === 'conflict') throw this.#withdraw(revocation, cause);
      this.#failed.add(revocation.id);
      this.#known.delete(revocation.id);
      throw new AppError(
        'store_unavailable',
        'The revocation could not be written, so other replicas do not know of it. This replica refuses the target all the same. Try again.',
        { reason: 'revocation_not_written', cause },
      );
    }
    const arrivedAt = monotonic();
    const { position, sessions } = appended;
    revocation.written = { position, sessions, ms: arrivedAt - revocation.begunAt };
    peers.observe(appended.replicas, arrivedAt);
    for (const { state } of peers.alive(arrivedAt)) {
      revocation.others.set(state.incarnation, { name: state.name, cutBefore: state.streamsCut, receipt: undefined });
    }
    this.#letGo(revocation);
    await this.#awaitReceipts(revocation, arrivedAt);
    const elapsedMs = monotonic() - revocation.begunAt;
    revocation.elapsedMs = elapsedMs;
    metrics?.revocation(revocation.target.kind, elapsedMs / 1000);
    return this.#describe(revocation);
  }

  /** The id stands for another revocation in the store, so this one was never asked for: nothing is held. */
  #withdraw(revocation: Revocation, conflict: AppError): AppError {
    this.#known.delete(revocation.id);
    this.ownGate.release(revocation.target, revocation.id, new Set());
    return conflict;
  }

  async #awaitReceipts(revocation: Revocation, arrivedAt: number): Promise<void> {
    const { monotonic, wake, waitMs } = this.#options;
    const woken = wake();
    let pause = FIRST_LOOK_MS;
    for (;;) {
      const left = arrivedAt + waitMs - monotonic();
      if (left <= 0 || pending(revocation).length === 0) return;
      await Promise.race([pause === FIRST_LOOK_MS ? woken : wake(), delay(left)]);
      if (pending(revocation).length === 0) return;
      await delay(Math.min(pause, left));
      pause = Math.min(pause * 2, LONGEST_LOOK_MS);
    }
  }

  /** The same request id again: the same revocation, with what is known by now. */
  async #again(
    known: { readonly revocation: Revocation; readonly answer: Promise<RevocationAnswer> },
    target: RevocationTarget,
  ): Promise<RevocationAnswer> {
    if (targetKey(known.revocation.target) !== targetKey(target)) {
      throw new AppError('conflict', 'This request id has already revoked something else. Use a new one.', {
        reason: 'request_id_reused',
      });
    }
    await known.answer;
    return this.#describe(known.revocation);
  }

  #letGo(revocation: Revocation): void {
    const { written } = revocation;
    const position = this.#options.position();
    if (!revocation.held || written === undefined || position === undefined) return;
    // In another epoch the entry will never come back, and need not: every credential of the old one is refused.
    if (position.epoch === written.position.epoch && position.number < written.position.number) return;
    revocation.held = false;
    this.ownGate.release(revocation.target, revocation.id, this.#failed);
  }

  #takeReceipts(revocation: Revocation, now: number): void {
    const { written, others, begunAt } = revocation;
    if (written === undefined || this.#options.position()?.epoch !== written.position.epoch) return;
    for (const [incarnation, other] of others) {
      const state = this.#options.peers.get(incarnation)?.state;
      // Who has left the registry has cut everything before it went.
      if (state === undefined) others.delete(incarnation);
      else if (other.receipt === undefined && state.number >= written.position.number) {
        other.receipt = { ms: now - begunAt, streamsClosed: state.streamsCut - other.cutBefore };
      }
    }
  }

  #describe(revocation: Revocation): RevocationAnswer {
    const { id, at, written, others, streamsClosed } = revocation;
    const own = {
      id: this.#options.replicaName,
      state: 'applied',
      ms: rounded(written?.ms ?? 0),
      streamsClosed,
    } as const;
    const receipts = [...others.values()].map(receiptOf);
    const all: readonly ReplicaReceipt[] = [own, ...receipts];
    const answer = {
      id,
      at,
      sessions: written?.sessions ?? 0,
      streamsClosed: all.reduce((total, receipt) => total + (receipt.streamsClosed ?? 0), 0),
      // Receipts alone are no proof: that needs this replica's own acknowledged renewals and each silent replica's lease to have run out.
      complete: others.size === 0,
      elapsedMs: rounded(revocation.elapsedMs ?? this.#options.monotonic() - revocation.begunAt),
      canSignInAgain: true,
      replicas: all,
    };
    if (others.size === 0) return answer;
    return { ...answer, missing: receipts.map(missingOf) };
  }

  #forgetOld(): void {
    const now = this.#options.monotonic();
    for (const [id, { revocation }] of this.#known) {
      if (now - revocation.begunAt > ANSWER_LIFE_MS && !revocation.held) this.#known.delete(id);
    }
  }
}

const pending = (revocation: Revocation): readonly OtherReplica[] =>
  [...revocation.others.values()].filter((other) => other.receipt === undefined);

function receiptOf(other: OtherReplica): ReplicaReceipt {
  if (other.receipt === undefined) return { id: other.name, state: 'pending' };
  return {
    id: other.name,
    state: 'applied',
    ms: rounded(other.receipt.ms),
    streamsClosed: other.receipt.streamsClosed,
  };
}

function missingOf(receipt: ReplicaReceipt): string {
  return receipt.state === 'pending'
    ? `replica ${receipt.id}: no receipt yet`
    : `replica ${receipt.id}: has applied it, but that is not proven yet`;
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;
