/**
 * The revocation itself: hold the target in the local guard and cut, write, then wait for the proof.
 *
 * The order is the promise. From the start of the call this replica rejects the target, before anything else has
 * been tried, and it still does if the write fails. The caller waits for the proof for about W, ten seconds at
 * most. After that the proof goes on without the caller.
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
import { isGenerationOver, isSameGeneration, judgeProof, type UnbrokenLease, type Written } from './proof.ts';
import type { FlightRegistry } from './registry.ts';
import {
  resultOf,
  newProgress,
  noteOthers,
  noteReceipts,
  othersOf,
  type RevocationProgress,
} from './revocation-progress.ts';
import type { RevocationResult, RevocationOrder } from './types.ts';

/** How long a result can be asked for again, and for how long a proof is waited for. */
export const RESULT_KEPT_SECONDS = 600;
/** Beyond W, for the poll that comes after it. */
const WAIT_MARGIN_MS = 500;
/**
 * Callers get a response by then, proven or not: the command line gives up on a request after 15 s, and an admin
 * who sees a timeout does not know that the revocation is in force. Its proof goes on.
 */
const MAX_RESPONSE_MS = 10_000;
/** In which a cut that goes on resets at least one stream. */
const CUT_PROGRESS_MS = 250;
/**
 * Shortest and longest pause between two polls for the receipts of the others. Between them the pause is a share of
 * the time that has passed: a receipt is seen late by a quarter of its age at most, and one that does not come
 * costs few polls.
 */
const MIN_POLL_MS = 2;
const MAX_POLL_MS = 50;
const POLL_SHARE = 1 / 4;

export interface RevocationsOptions {
  readonly log: Pick<RevocationLog, 'append'>;
  readonly replicaName: string;
  readonly servesNothing?: boolean;
  readonly monotonicMs: () => number;
  readonly clock: Clock;
  /** W of this replica's own lease. */
  readonly waitMs: number;
  readonly registry: FlightRegistry;
  readonly peers: Peers;
  /** The position of the log that this replica has applied. */
  readonly position: () => LogPosition | undefined;
  readonly unbrokenLease: () => UnbrokenLease | undefined;
  readonly wake: () => Promise<void>;
  readonly metrics: RevocationMetrics | undefined;
}

interface KnownRevocation {
  readonly progress: RevocationProgress;
  readonly locks: boolean;
  readonly result: Promise<RevocationResult>;
}

export class Revocations {
  readonly localGuard = new LocalGuard();
  readonly #options: RevocationsOptions;
  readonly #known = new Map<string, KnownRevocation>();
  /** Held, or not yet proven: a renewal may change them. */
  readonly #open = new Set<RevocationProgress>();
  /** Returned as incomplete, with how many parts were missing when that was last reported. */
  readonly #reported = new Map<RevocationProgress, number>();
  /** The timer that ends each hold, by target. */
  readonly #holds = new Map<TargetKey, NodeJS.Timeout>();
  readonly #listeners: ((result: RevocationResult) => void)[] = [];
  #pollFromMs = 0;
  #pollUntilMs = 0;
  #isPolling = false;

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  onResult(listener: (result: RevocationResult) => void): void {
    this.#listeners.push(listener);
  }

  async revoke(order: RevocationOrder): Promise<RevocationResult> {
    this.#forgetOld();
    const id = order.requestId ?? randomUUID();
    const known = this.#known.get(id);
    if (known !== undefined) return this.#repeat(known, order);
    const { progress, writing } = this.#begin(id, order);
    const result = this.#waitForProof(progress, writing);
    this.#known.set(id, { progress, locks: order.lock !== undefined, result });
    return result;
  }

  /**
   * Holds as `RevocationGuard.hold` says. It counts as a hold whose write has failed, because nothing is written,
   * so the same events replace it.
   */
  hold(target: RevocationTarget, seconds: number): number {
    const key = targetKey(target);
    // No request has this id, because request ids are UUIDs.
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

  result(id: string): RevocationResult | undefined {
    this.#forgetOld();
    const progress = this.#known.get(id)?.progress;
    return progress?.written === undefined ? undefined : this.#describe(progress);
  }

  /** Releases holds whose entries have come back, and takes in receipts. Must be called after each renewal. */
  renewed(): void {
    for (const progress of this.#open) this.#bringUpToDate(progress);
  }

  /**
   * Holds the target in the local guard before anything else. Then the write starts, and the streams are cut in the
   * same tick, so nothing passes before either of them. In this order Redis and the other replicas need not wait
   * for the sockets here.
   */
  #begin(
    id: string,
    order: RevocationOrder,
  ): { readonly progress: RevocationProgress; readonly writing: Promise<Appended> } {
    const { registry, monotonicMs, clock } = this.#options;
    const begunAtMs = monotonicMs();
    const key = targetKey(order.target);
    this.localGuard.hold(key, id);
    const writing = this.#write(id, order);
    const streamsClosed = registry.cut(key, 'session_revoked');
    const at = new Date(clock.nowMs()).toISOString();
    return { writing, progress: newProgress(order, { id, key, at, begunAtMs, streamsClosed }) };
  }

  /** Rejects and never throws, so that the cut is made in any case. */
  async #write(requestId: string, { canSignInAgain: _canSignInAgain, ...order }: RevocationOrder): Promise<Appended> {
    return this.#options.log.append({ ...order, requestId });
  }

  async #waitForProof(progress: RevocationProgress, writing: Promise<Appended>): Promise<RevocationResult> {
    const { monotonicMs, metrics } = this.#options;
    let appended: Appended;
    try {
      appended = await writing;
    } catch (cause) {
      throw this.#notWritten(progress, cause);
    }
    const arrivedAtMs = monotonicMs();
    const { replicas, ...written } = appended;
    progress.written = { ...written, arrivedAtMs };
    this.localGuard.written(written.position);
    this.#noteRegistry(progress, progress.written, replicas);
    this.#open.add(progress);
    this.#bringUpToDate(progress);
    if (progress.endedAtMs === undefined) {
      const waitMs = Math.min(this.#longestWait(progress) + WAIT_MARGIN_MS, MAX_RESPONSE_MS);
      this.#poll(arrivedAtMs, arrivedAtMs + waitMs);
      await Promise.race([progress.ended.promise, delay(waitMs)]);
      await this.#waitForCut(progress, arrivedAtMs + MAX_RESPONSE_MS);
    }
    metrics?.revocation(progress.target.kind, (monotonicMs() - progress.begunAtMs) / 1000);
    // Described first, which may change what is missing: that belongs to this result and is no progress beyond it.
    const result = this.#describe(progress);
    if (progress.proof.outcome === 'open') this.#reported.set(progress, progress.proof.missing.length);
    return result;
  }

  /** On a busy machine, the resets of thousands of streams take longer than W: waits while they go on. */
  async #waitForCut(progress: RevocationProgress, untilMs: number): Promise<void> {
    const { registry, monotonicMs } = this.#options;
    let left = Number.POSITIVE_INFINITY;
    while (progress.endedAtMs === undefined && registry.cutsLeft < left && monotonicMs() < untilMs) {
      left = registry.cutsLeft;
      if (left === 0) return this.#bringUpToDate(progress);
      await Promise.race([progress.ended.promise, delay(CUT_PROGRESS_MS)]);
    }
  }

  /** W of the longest lease that this revocation may have to wait for, as it is known now. */
  #longestWait({ others }: RevocationProgress): number {
    const { unbrokenLease, waitMs } = this.#options;
    return Math.max(waitMs, unbrokenLease()?.waitMs ?? 0, ...[...others.values()].map((other) => other.waitMs));
  }

  #noteRegistry(progress: RevocationProgress, written: Written, replicas: Appended['replicas']): void {
    const { peers, unbrokenLease } = this.#options;
    const { arrivedAtMs } = written;
    const lease = unbrokenLease();
    const known = lease !== undefined && isSameGeneration(lease, written) ? peers : undefined;
    // With the registry of another generation, replicas of ours would look as if they had left.
    known?.observe(replicas, arrivedAtMs);
    noteOthers(progress, peers.others(replicas), known, arrivedAtMs);
  }

  /** @returns the error to throw */
  #notWritten(progress: RevocationProgress, cause: unknown): AppError {
    this.#known.delete(progress.id);
    if (cause instanceof AppError && cause.code === 'conflict') {
      // The id belongs to another revocation in the store, or the approval has been used for another. This one must
      // not take effect, so nothing is held.
      this.localGuard.release(progress.key, progress.id);
      return cause;
    }
    this.localGuard.failed(progress.key, progress.id);
    return new AppError(
      'store_unavailable',
      'The revocation could not be written, so other replicas do not know of it. This replica rejects the target all the same. Try again.',
      { reason: 'revocation_not_written', cause },
    );
  }

  /** Handles a repeated request id: the same revocation, with what is known by now. */
  async #repeat(
    { progress, locks, result }: KnownRevocation,
    { target, lock }: RevocationOrder,
  ): Promise<RevocationResult> {
    // With a lock it is another revocation: the first result would hide that nothing was locked.
    if (progress.key !== targetKey(target) || locks !== (lock !== undefined)) {
      throw new AppError('conflict', 'This request id has already revoked something else. Use a new one.', {
        reason: 'request_id_reused',
      });
    }
    await result;
    return this.#describe(progress);
  }

  #bringUpToDate(progress: RevocationProgress): void {
    this.#release(progress);
    if (progress.endedAtMs === undefined) this.#updateProof(progress);
    if (!progress.held && progress.endedAtMs !== undefined) this.#open.delete(progress);
  }

  #release(progress: RevocationProgress): void {
    const { written } = progress;
    const { position, unbrokenLease } = this.#options;
    const [at, lease] = [position(), unbrokenLease()];
    // Without a lease everything is rejected here anyway.
    if (!progress.held || written === undefined || at === undefined || lease === undefined) return;
    const isBack = at.epoch === written.position.epoch && at.number >= written.position.number;
    if (!isBack && !isGenerationOver(lease, written)) return;
    progress.held = false;
    if (isBack) this.localGuard.release(progress.key, progress.id);
    // The entry will never come back. If this replica has moved to another generation since, every credential of
    // the old one is rejected. If it has not, the entry went to a primary that an attacker or a partition had
    // promoted elsewhere, and the credentials that it covers are good here, so the hold stays.
    else this.localGuard.failed(progress.key, progress.id);
  }

  #updateProof(progress: RevocationProgress): void {
    const { monotonicMs, peers, unbrokenLease, registry } = this.#options;
    const { written } = progress;
    if (written === undefined) return;
    progress.isCut = !registry.isCutting;
    const nowMs = monotonicMs();
    const lease = unbrokenLease();
    if (lease !== undefined && isSameGeneration(lease, written)) {
      noteReceipts(progress, peers, { nowMs, isFresh: lease.renewedAtMs > written.arrivedAtMs });
    }
    const others = othersOf(progress, nowMs);
    progress.proof = judgeProof({
      written,
      isBack: !progress.held,
      streamsLeft: registry.cutsLeft,
      others,
      unbrokenLease: lease,
      nowMs,
    });
    if (progress.proof.outcome !== 'open') {
      progress.endedAtMs = nowMs;
      progress.ended.resolve();
    }
    this.#notifyProgress(progress);
  }

  /** Reports only what was returned as incomplete: a caller that still waits gets the result itself. */
  #notifyProgress(progress: RevocationProgress): void {
    const before = this.#reported.get(progress);
    if (before === undefined) return;
    const over = progress.proof.outcome !== 'open';
    const missing = progress.proof.outcome === 'proven' ? 0 : progress.proof.missing.length;
    if (over) this.#reported.delete(progress);
    else this.#reported.set(progress, missing);
    if (!over && missing >= before) return;
    const result = this.#resultOf(progress);
    for (const listener of this.#listeners) listener(result);
  }

  /** Polls once for all callers that wait. A new caller starts the series again with the shortest pause. */
  #poll(from: number, until: number): void {
    this.#pollFromMs = from;
    this.#pollUntilMs = Math.max(this.#pollUntilMs, until);
    if (!this.#isPolling) void this.#pollInTurns();
  }

  async #pollInTurns(): Promise<void> {
    const { wake, monotonicMs } = this.#options;
    this.#isPolling = true;
    while (this.#open.size > 0 && monotonicMs() < this.#pollUntilMs) {
      await wake();
      const share = (monotonicMs() - this.#pollFromMs) * POLL_SHARE;
      await delay(Math.min(Math.max(share, MIN_POLL_MS), MAX_POLL_MS));
    }
    this.#isPolling = false;
  }

  #describe(progress: RevocationProgress): RevocationResult {
    // The passing of time alone changes what is missing.
    if (progress.endedAtMs === undefined) this.#updateProof(progress);
    return this.#resultOf(progress);
  }

  #resultOf(progress: RevocationProgress): RevocationResult {
    const { replicaName, servesNothing = false, monotonicMs } = this.#options;
    return resultOf(progress, servesNothing ? undefined : replicaName, monotonicMs());
  }

  #forgetOld(): void {
    const nowMs = this.#options.monotonicMs();
    // They are in the order in which they were asked for.
    for (const [id, { progress }] of this.#known) {
      if (nowMs - progress.begunAtMs <= RESULT_KEPT_SECONDS * 1000) return;
      if (progress.held && progress.written !== undefined) continue;
      this.#known.delete(id);
      this.#open.delete(progress);
      this.#reported.delete(progress);
    }
  }
}
