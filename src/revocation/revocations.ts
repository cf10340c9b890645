/**
 * The revocation itself: shut the own gate and cut, write, then wait for the proof.
 *
 * The order is the promise. Whoever asks this replica finds the target refused here before anything else has been tried, and still
 * refused where the write failed. Who asked waits for the proof for about W, ten seconds at most; after that it goes on without them.
 */
import type { Clock } from '../contracts/clock.ts';
import { randomUUID } from 'node:crypto';
import { AppError } from '../core/errors.ts';
import { targetKey, type LogPosition, type RevocationTarget, type TargetKey } from '../core/credential/revocation.ts';
import type { Appended, RevocationLog } from '../store/store.ts';
import { delay } from './delay.ts';
import type { RevocationMetrics } from './types.ts';
import { LocalGuard } from './local-guard.ts';
import type { Peers } from './peers.ts';
import { isOver, isSameLife, judgeProof, type UnbrokenLease, type Written } from './proof.ts';
import type { FlightRegistry } from './registry.ts';
import { answerOf, newRecord, noteOthers, noteReceipts, othersOf, type RevocationRecord } from './revocation-progress.ts';
import type { RevocationResult, RevocationOrder } from './types.ts';

/** How long an answer can be asked for again. */
const ANSWER_LIFE_MS = 600_000;
/** Beyond W, for the look that comes after it. */
const PATIENCE_MS = 500;
/**
 * Whoever asks is answered by then, proven or not: the command line gives up on a request after 15 s, and an admin who is told of a timeout does not
 * know that the revocation stands. Its proof goes on.
 */
const LONGEST_ANSWER_MS = 10_000;
/**
 * Shortest and longest pause between two looks at the receipts of the others. Between them it is a part of the time that has gone by: a
 * receipt is seen late by a quarter of its age at most, and one that does not come costs few looks.
 */
const SHORTEST_LOOK_MS = 2;
const LONGEST_LOOK_MS = 50;
const LOOK_SHARE = 1 / 4;

export interface RevocationsOptions {
  readonly log: Pick<RevocationLog, 'append'>;
  readonly replicaName: string;
  readonly monotonic: () => number;
  readonly clock: Clock;
  /** W of this replica's own lease. */
  readonly waitMs: number;
  readonly registry: FlightRegistry;
  readonly peers: Peers;
  /** The log's place as this replica has applied it. */
  readonly position: () => LogPosition | undefined;
  readonly footing: () => UnbrokenLease | undefined;
  readonly wake: () => Promise<void>;
  readonly metrics: RevocationMetrics | undefined;
}

interface Known {
  readonly record: RevocationRecord;
  readonly locks: boolean;
  readonly answer: Promise<RevocationResult>;
}

export class Revocations {
  readonly localGuard = new LocalGuard();
  readonly #options: RevocationsOptions;
  readonly #known = new Map<string, Known>();
  /** Held, or not yet proven: what a renewal may change. */
  readonly #open = new Set<RevocationRecord>();
  /** Answered as incomplete: how many things were missing when that was last told. */
  readonly #told = new Map<RevocationRecord, number>();
  /** What ends each hold, by target. */
  readonly #holds = new Map<TargetKey, NodeJS.Timeout>();
  readonly #listeners: ((answer: RevocationResult) => void)[] = [];
  #lookFrom = 0;
  #lookUntil = 0;
  #looking = false;

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  onAnswer(listener: (answer: RevocationResult) => void): void {
    this.#listeners.push(listener);
  }

  async revoke(order: RevocationOrder): Promise<RevocationResult> {
    this.#forgetOld();
    const id = order.requestId ?? randomUUID();
    const known = this.#known.get(id);
    if (known !== undefined) return this.#again(known, order);
    const { record, writing } = this.#begin(id, order);
    const answer = this.#carryOut(record, writing);
    this.#known.set(id, { record, locks: order.lock !== undefined, answer });
    return answer;
  }

  /** As `Gate.hold` has it. What replaces a hold whose write has failed replaces this one, of which nothing is written. */
  hold(target: RevocationTarget, seconds: number): number {
    const key = targetKey(target);
    // No request has it as its id, which is a UUID.
    const id = 'hold';
    clearTimeout(this.#holds.get(key));
    this.localGuard.hold(key, id);
    this.localGuard.failed(key, id);
    const timer = setTimeout(() => {
      this.#holds.delete(key);
      this.localGuard.release(key, id);
    }, seconds * 1000);
    timer.unref();
    this.#holds.set(key, timer);
    return this.#options.registry.cut(key, 'session_revoked');
  }

  answer(id: string): RevocationResult | undefined {
    this.#forgetOld();
    const record = this.#known.get(id)?.record;
    return record?.written === undefined ? undefined : this.#describe(record);
  }

  /** To be called after each renewal: lets go of holds whose entries have come back, and takes in receipts. */
  renewed(): void {
    for (const record of this.#open) this.#bringUpToDate(record);
  }

  /**
   * Shuts the own gate before anything else. The write is begun next and the streams are cut in the same tick, so nothing passes before
   * the one or the other; this way Redis and the other replicas need not wait for the sockets here.
   */
  #begin(
    id: string,
    order: RevocationOrder,
  ): { readonly record: RevocationRecord; readonly writing: Promise<Appended> } {
    const { registry, monotonic, clock } = this.#options;
    const begunAt = monotonic();
    const key = targetKey(order.target);
    this.localGuard.hold(key, id);
    const writing = this.#write(id, order);
    const streamsClosed = registry.cut(key, 'session_revoked');
    const at = new Date(clock.now()).toISOString();
    return { writing, record: newRecord(order, { id, key, at, begunAt, streamsClosed }) };
  }

  /** Rejects and never throws, so that the cut is made in any case. */
  async #write(
    requestId: string,
    { target, lock, ended = false, asksFreshSignIn = true, approval }: RevocationOrder,
  ): Promise<Appended> {
    const given = { ...(lock === undefined ? {} : { lock }), ...(approval === undefined ? {} : { approval }) };
    return this.#options.log.append({ requestId, target, ended, asksFreshSignIn, ...given });
  }

  async #carryOut(record: RevocationRecord, writing: Promise<Appended>): Promise<RevocationResult> {
    const { monotonic, metrics } = this.#options;
    let appended: Appended;
    try {
      appended = await writing;
    } catch (cause) {
      throw this.#notWritten(record, cause);
    }
    const arrivedAt = monotonic();
    const { position, generation, acknowledged, sessions } = appended;
    record.written = { position, generation, acknowledged, sessions, arrivedAt };
    this.localGuard.written(position);
    this.#noteRegistry(record, record.written, appended.replicas);
    this.#open.add(record);
    this.#bringUpToDate(record);
    if (record.endedAt === undefined) {
      const patienceMs = Math.min(this.#longestWait(record) + PATIENCE_MS, LONGEST_ANSWER_MS);
      this.#look(arrivedAt, arrivedAt + patienceMs);
      await Promise.race([record.ended.promise, delay(patienceMs)]);
    }
    metrics?.revocation(record.target.kind, (monotonic() - record.begunAt) / 1000);
    // Described first, which may change what is missing: that is the answer itself, and no progress beyond it.
    const answer = this.#describe(record);
    if (record.proof.outcome === 'open') this.#told.set(record, record.proof.missing.length);
    return answer;
  }

  /** W of the longest lease that this revocation may have to wait for, as it is known now. */
  #longestWait({ others }: RevocationRecord): number {
    const { footing, waitMs } = this.#options;
    return Math.max(waitMs, footing()?.waitMs ?? 0, ...[...others.values()].map((other) => other.waitMs));
  }

  #noteRegistry(record: RevocationRecord, written: Written, replicas: Appended['replicas']): void {
    const { peers, footing } = this.#options;
    const { arrivedAt } = written;
    const standing = footing();
    const known = standing !== undefined && isSameLife(standing, written) ? peers : undefined;
    // The registry of another life would make replicas of ours look as if they had left.
    known?.observe(replicas, arrivedAt);
    noteOthers(record, peers.others(replicas), known, arrivedAt);
  }

  /** @returns what to throw */
  #notWritten(record: RevocationRecord, cause: unknown): AppError {
    this.#known.delete(record.id);
    if (cause instanceof AppError && cause.code === 'conflict') {
      // The id stands for another revocation in the store, or the approval has served another: this one may not be, so nothing is held.
      this.localGuard.release(record.key, record.id);
      return cause;
    }
    this.localGuard.failed(record.key, record.id);
    return new AppError(
      'store_unavailable',
      'The revocation could not be written, so other replicas do not know of it. This replica refuses the target all the same. Try again.',
      { reason: 'revocation_not_written', cause },
    );
  }

  /** The same request id again: the same revocation, with what is known by now. */
  async #again({ record, locks, answer }: Known, { target, lock }: RevocationOrder): Promise<RevocationResult> {
    // With a lock it is another one: the first answer would hide that nothing was locked.
    if (record.key !== targetKey(target) || locks !== (lock !== undefined)) {
      throw new AppError('conflict', 'This request id has already revoked something else. Use a new one.', {
        reason: 'request_id_reused',
      });
    }
    await answer;
    return this.#describe(record);
  }

  #bringUpToDate(record: RevocationRecord): void {
    this.#letGo(record);
    if (record.endedAt === undefined) this.#prove(record);
    if (!record.held && record.endedAt !== undefined) this.#open.delete(record);
  }

  #letGo(record: RevocationRecord): void {
    const { written } = record;
    const { position, footing } = this.#options;
    const [at, standing] = [position(), footing()];
    // Without a lease everything is refused here anyway.
    if (!record.held || written === undefined || at === undefined || standing === undefined) return;
    const isBack = at.epoch === written.position.epoch && at.number >= written.position.number;
    if (!isBack && !isOver(standing, written)) return;
    record.held = false;
    if (isBack) this.localGuard.release(record.key, record.id);
    // It will never come back. Where this replica has moved to another life since, every credential of the old one is refused. Threat: where
    // it has not, the entry went to a primary that was promoted elsewhere, and what it covers is good here.
    else this.localGuard.failed(record.key, record.id);
  }

  #prove(record: RevocationRecord): void {
    const { monotonic, peers, footing, registry } = this.#options;
    const { written } = record;
    if (written === undefined) return;
    record.isCut = !registry.isCutting;
    const isCutting = !record.isCut;
    const now = monotonic();
    const standing = footing();
    if (standing !== undefined && isSameLife(standing, written)) {
      noteReceipts(record, peers, { now, isFresh: standing.renewedAtMs > written.arrivedAt });
    }
    const others = othersOf(record, now);
    record.proof = judgeProof({ written, isBack: !record.held, isCutting, others, footing: standing, now });
    if (record.proof.outcome !== 'open') {
      record.endedAt = now;
      record.ended.resolve();
    }
    this.#tellProgress(record);
  }

  /** Only of what was answered as incomplete: whoever still waits gets the answer itself. */
  #tellProgress(record: RevocationRecord): void {
    const before = this.#told.get(record);
    if (before === undefined) return;
    const over = record.proof.outcome !== 'open';
    const missing = record.proof.outcome === 'proven' ? 0 : record.proof.missing.length;
    if (over) this.#told.delete(record);
    else this.#told.set(record, missing);
    if (!over && missing >= before) return;
    const answer = answerOf(record, this.#options.replicaName, this.#options.monotonic());
    for (const listener of this.#listeners) listener(answer);
  }

  /** One series of looks for all who wait; it begins anew, with the shortest pause, when somebody new waits. */
  #look(from: number, until: number): void {
    this.#lookFrom = from;
    this.#lookUntil = Math.max(this.#lookUntil, until);
    if (!this.#looking) void this.#lookOn();
  }

  async #lookOn(): Promise<void> {
    const { wake, monotonic } = this.#options;
    this.#looking = true;
    while (this.#open.size > 0 && monotonic() < this.#lookUntil) {
      await wake();
      const share = (monotonic() - this.#lookFrom) * LOOK_SHARE;
      await delay(Math.min(Math.max(share, SHORTEST_LOOK_MS), LONGEST_LOOK_MS));
    }
    this.#looking = false;
  }

  #describe(record: RevocationRecord): RevocationResult {
    // Time alone changes what is missing.
    if (record.endedAt === undefined) this.#prove(record);
    return answerOf(record, this.#options.replicaName, this.#options.monotonic());
  }

  #forgetOld(): void {
    const now = this.#options.monotonic();
    // In the order in which they were asked for.
    for (const [id, { record }] of this.#known) {
      if (now - record.begunAt <= ANSWER_LIFE_MS) return;
      if (record.held && record.written !== undefined) continue;
      this.#known.delete(id);
      this.#open.delete(record);
      this.#told.delete(record);
    }
  }
}
