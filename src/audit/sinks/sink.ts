/**
 * One sink: a bounded queue in front of a target, which keeps order, survives failures and reports when it cannot
 * write the audit log.
 */
import { performance } from 'node:perf_hooks';
import type { Logger } from '../../contracts/logger.ts';
import type { AuditMetrics, LinePosition, SinkGap, SinkStatus } from '../types.ts';
import { AccountLoad } from './account-load.ts';
import { Batch, BATCH_BYTES, type Line } from './batch.ts';
import { retryDelay, type RetryLimits } from '../../egress/webhook.ts';
import type { LineTarget } from './target.ts';
import { WriteSpeed } from './write-speed.ts';

export interface SinkLimits extends RetryLimits {
  /** Memory that lines waiting for the target may take. Further events are held, or dropped and counted. */
  readonly queueBytes: number;
  /** A target that has not responded for this long hangs. */
  readonly stallMs: number;
  /** How long `close` waits for the queue. */
  readonly closeTimeoutMs: number;
}

export interface SinkParts {
  readonly limits: SinkLimits;
  readonly metrics?: AuditMetrics | undefined;
  readonly logger?: Logger | undefined;
  /** Called when a sink that had to drop events works again; never from within `push`. */
  readonly onGap?: ((gap: SinkGap) => void) | undefined;
  /**
   * Whether a line for which the queue has no space waits outside it (decision 0050). Only where an account of which much
   * waits is admitted nothing: there are never more of them than requests were in flight.
   */
  readonly holds?: boolean | undefined;
}

/** What a sink has to know of a line. */
export interface LineFacts {
  /** Of the line, if it is part of a chain. */
  readonly position?: LinePosition | undefined;
  /** Whose request it is about. */
  readonly account?: string | undefined;
  /** Returns the line once more. Default: it is kept. */
  readonly again?: (() => Buffer) | undefined;
}

/** A line that waits outside the queue, in the order of the chain. */
interface HeldLine {
  readonly size: number;
  readonly account: string | undefined;
  readonly again: () => Buffer;
}

/**
 * `failing` becomes true before the queue is full: requests in flight at that moment still end in events, which
 * need the rest of the space.
 */
const FAILING_FROM = 0.75;
/**
 * Many requests end together: a fence cuts thousands, and one user closes connections with four hundred. Each line has
 * up to a thousand groups of its user, 60 kB: 395 of them were more than the queue of a sink may have, and 50 acts were
 * in no audit log. What has no space in the queue is encoded again later: until then it takes what its request took
 * while it was in flight. No replica has so many in flight; beyond them lines are dropped.
 */
const MOST_HELD = 20_000;
/** Of encoding at once: others are served between two writes. A line takes up to half of one. */
const REFILL_MS = 8;
/** What is read already ends in events too, so one who sends much waits well before that. */
const BACKLOGGED_FROM = 0.25;
/**
 * Of what a slow target writes in `stallMs`: an account that has less of it waiting is not held back, however many others
 * are. At 2 MB/s it is one event of a thousand groups, or some forty others.
 */
const LITTLE = 1 / 64;
/**
 * Of the space that is left before it fails: from a sixteenth of the queue on, and less where many accounts send much, so
 * that all of them together do not fill it.
 */
const SHARE_OF_AN_ACCOUNT = 1 / 8;
/** Bytes that wait for no others to be written with them. */
const GATHER_BYTES = 256 * 1024;
/**
 * Of `stallMs`: a write that takes longer is followed by smaller ones, a faster one by larger ones. A slow disk must not
 * count as one that hangs because it was given much at once.
 */
const SLOW_FROM = 1 / 8;
const GROWTH = 4;

/** A caller that waits for every line up to a number. */
interface Flush {
  readonly upTo: number;
  /**
   * Milliseconds on the clock of `performance` at which the wait ends. Infinity: when the sink recovers, or is
   * closed.
   */
  readonly until: number;
  /** The disk must have them too. */
  readonly sync: boolean;
  /** @param kept whether all of them are written */
  readonly resolve: (kept: boolean) => void;
}

export class LineSink {
  readonly #target: LineTarget;
  readonly #parts: SinkParts;
  readonly #waiting: Line[] = [];
  #batch: Batch | undefined;
  #queuedBytes = 0;
  readonly #held: HeldLine[] = [];
  #heldBytes = 0;
  /** Of both. */
  readonly #load: AccountLoad;
  /** Lines ever queued, and those of them that are written or given up; `flush` compares the two. */
  #accepted = 0;
  #settled = 0;
  #flushes: Flush[] = [];
  /** Runs while a caller waits that must not wait for longer than `stallMs`. */
  #flushTimer: NodeJS.Timeout | undefined;
  #opened: boolean;
  #failure: Error | undefined;
  #failures = 0;
  /** Events dropped since the last log message about it. */
  #dropped = 0;
  /** Likewise, of those that are in no chain. */
  #leftOut = 0;
  /** From its first failure until that and what was lost meanwhile is reported. */
  #isRecovering = false;
  /** Dropped events with known numbers, by their chain. */
  readonly #gaps = new Map<string, { readonly first: number; last: number; count: number }>();
  #retry: NodeJS.Timeout | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #scheduled = false;
  #draining = false;
  /** When the target was last called, while it has not responded. */
  #askedAt: number | undefined;
  readonly #speed = new WriteSpeed();
  /** Bytes of the next batch, where the target takes that many. */
  #mostBytes = BATCH_BYTES;
  #closing = false;
  #abandoned = false;

  constructor(target: LineTarget, parts: SinkParts) {
    this.#target = target;
    this.#parts = parts;
    this.#load = new AccountLoad(parts.limits.queueBytes * FAILING_FROM);
    this.#opened = target.readyImmediately;
    if (!this.#opened) this.#schedule(true);
  }

  /** True while a line that is pushed now may not reach the target soon. */
  get failing(): boolean {
    const { holds, limits } = this.#parts;
    const bytes = holds === true ? this.#load.counted : this.#queuedBytes;
    return this.#isOut || bytes >= limits.queueBytes * FAILING_FROM;
  }

  /** True from the first lost line until the sink has recovered from that. */
  get isDropping(): boolean {
    return this.#dropped > 0;
  }

  /**
   * True while the target works, lines come faster than it writes them, and the account has more than its share of those
   * that wait. Never while it does not work: nothing would end the wait then, and `onFailure` decides.
   *
   * Changes of others wait for what is in front of theirs, `stallMs` at most. At 2 MB/s one user kept 4 MB and more in
   * front, less than fails a sink, and 106 of 107 changes of others were rejected: so what a target writes in that time
   * is space as well.
   */
  isBackloggedFor(account: string): boolean {
    const waiting = this.#queuedBytes + this.#heldBytes;
    // Asked for each request, and mostly nothing waits.
    if (waiting === 0) return false;
    const { queueBytes, stallMs } = this.#parts.limits;
    const inTime = this.#speed.bytesPerMs * stallMs;
    if (waiting < Math.min(queueBytes, inTime) * BACKLOGGED_FROM || this.#isOut) return false;
    const share = Math.max(this.#shareOf(inTime), inTime * LITTLE);
    return this.#load.of(account) > Math.min(this.#shareOf(queueBytes), share);
  }

  #shareOf(space: number): number {
    return Math.max(0, space * FAILING_FROM - this.#load.counted) * SHARE_OF_AN_ACCOUNT;
  }

  get #isOut(): boolean {
    const stalled = this.#askedAt !== undefined && performance.now() - this.#askedAt > this.#parts.limits.stallMs;
    return !this.#opened || this.#failure !== undefined || stalled;
  }

  get status(): SinkStatus {
    const { type, behind = false, heldBytes = 0, holdsForSeconds } = this.#target;
    const queuedBytes = this.#queuedBytes + this.#heldBytes + heldBytes;
    return { sink: type, failing: behind || this.failing, queuedBytes, holdsForSeconds };
  }

  /** Takes a line: into the queue, behind it, or, where that may not be, as one that is lost. Never throws. */
  push(line: Buffer, { position, account, again = () => line }: LineFacts = {}): void {
    const { limits, holds = false } = this.#parts;
    const hasSpace = this.#held.length === 0 && this.#queuedBytes + line.length <= limits.queueBytes;
    const mayWait = holds && this.#held.length < MOST_HELD;
    if (this.#closing || !(hasSpace || mayWait)) return this.drop(1, position);
    if (hasSpace) this.#enqueue(line, account);
    else {
      this.#held.push({ size: line.length, account, again });
      this.#heldBytes += line.length;
    }
    this.#load.add(account, line.length);
    this.#accepted += 1;
    this.#schedule();
  }

  #enqueue(bytes: Buffer, account: string | undefined): void {
    this.#waiting.push({ bytes, account });
    this.#queuedBytes += bytes.length;
  }

  /**
   * Fills the next write with lines that were held.
   * @param bytes that it has at most
   */
  #refill(bytes: number): void {
    const untilMs = performance.now() + REFILL_MS;
    while (this.#queuedBytes < bytes || this.#waiting.length === 0) {
      const line = this.#held.shift();
      if (line === undefined) return;
      this.#heldBytes -= line.size;
      this.#enqueue(line.again(), line.account);
      if (performance.now() > untilMs) return;
    }
  }

  /**
   * True while there is no space for what is about requests with which nothing was done: it is left out before it has a
   * place in the chain. With a hole before each other line, no hash would lead from one of these to a signature.
   */
  get leavesOut(): boolean {
    const { holds, limits } = this.#parts;
    return holds === true && (this.#held.length > 0 || this.#queuedBytes >= limits.queueBytes * FAILING_FROM);
  }

  /** Counts an event that was left out. What was done goes on being written, and announced. */
  leaveOut(): void {
    this.#parts.metrics?.auditEvent(this.#target.type, 'dropped', 1);
    // Of a sink that has space another one is the cause, which says so.
    if (!this.leavesOut) return;
    if (this.#leftOut === 0) {
      const { location } = this.#target;
      this.#parts.logger?.error({ sink: location }, 'audit events of rejected requests are being left out');
    }
    this.#leftOut += 1;
  }

  /**
   * Counts events that this sink will never have, and logs it: once per outage, with the total at its end.
   * @param position of the last of them, if they are part of a chain
   */
  drop(events: number, position?: LinePosition): void {
    if (position !== undefined) {
      const { chain, seq } = position;
      const gap = this.#gaps.get(chain) ?? { first: seq - events + 1, last: seq, count: 0 };
      gap.last = seq;
      gap.count += events;
      this.#gaps.set(chain, gap);
    }
    this.#parts.metrics?.auditEvent(this.#target.type, 'dropped', events);
    if (this.#dropped === 0) {
      this.#parts.logger?.error(
        { sink: this.#target.location },
        'audit events are being dropped: the audit log has a gap from here on',
      );
    }
    this.#dropped += events;
  }

  flush(): Promise<void> {
    const upTo = this.#accepted;
    if (this.#abandoned || (this.#settled >= upTo && this.#opened)) return Promise.resolve();
    this.#schedule(true);
    return new Promise((resolve) => {
      this.#flushes.push({ upTo, until: Infinity, sync: false, resolve: () => resolve() });
    });
  }

  /**
   * Does the same as `flush`, for a caller that must not wait for a recovery. Callers that arrive during a write
   * share the next one. If the target writes to another machine, a line can only be in memory by now, so there is
   * nothing to wait for.
   * @returns true once the operating system (with `sync`, the disk) has every line pushed so far; false as soon as
   * the sink fails, has dropped lines, hangs for `stallMs` or is closed
   */
  written({ sync }: { readonly sync: boolean }): Promise<boolean> {
    if (this.failing || this.#dropped > 0 || this.#closing) return Promise.resolve(false);
    if (this.#target.remote === true) return Promise.resolve(true);
    const { stallMs } = this.#parts.limits;
    const upTo = this.#accepted;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#flushes.push({ upTo, until: performance.now() + stallMs, sync, resolve });
    this.#flushTimer ??= setTimeout(() => this.#expireFlushes(), stallMs).unref();
    this.#schedule(true);
    return promise;
  }

  async close(): Promise<void> {
    if (this.#closing) return this.flush();
    this.#closing = true;
    let limit: NodeJS.Timeout | undefined;
    const tooLate = new Promise<'late'>((resolve) => {
      limit = setTimeout(resolve, this.#parts.limits.closeTimeoutMs, 'late');
    });
    if (this.#retry) {
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#schedule();
    }
    const nothingLeft = this.#accepted === this.#settled ? Promise.resolve() : this.flush();
    const late = (await Promise.race([nothingLeft, tooLate])) === 'late';
    clearTimeout(limit);
    this.#abandon();
    const closed = this.#target.close().catch(() => {});
    // A target that hangs would delay the end of the process.
    if (!late) await closed;
  }

  /** Many lines of one tick become one write; more of them if the target asks for it. */
  #schedule(immediately = this.#closing): void {
    if (this.#scheduled || this.#draining || this.#retry) return;
    if (!immediately && this.#gathers) {
      this.#gathering ??= setTimeout(() => this.#schedule(true), this.#target.gatherMs);
      return;
    }
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#drain();
    });
  }

  /** Whether queued lines may wait a moment longer for others. */
  get #gathers(): boolean {
    if (this.#held.length > 0) return false;
    return this.#target.gatherMs !== undefined && this.#queuedBytes < GATHER_BYTES && this.#flushes.length === 0;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    try {
      do {
        await this.#step();
      } while (!this.#abandoned && (this.#batch || (this.#hasLines && !this.#gathers)));
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#draining = false;
      this.#askedAt = undefined;
    }
    if (this.#hasLines) this.#schedule();
  }

  get #hasLines(): boolean {
    return this.#waiting.length > 0 || this.#held.length > 0;
  }

  async #step(): Promise<void> {
    if (this.#abandoned) return;
    this.#askedAt = performance.now();
    const state = await this.#target.prepare();
    if (this.#abandoned) return this.#target.close();
    if (state === 'fresh') this.#batch?.rewindToLineStart();
    const most = this.#target.batchBytes ?? BATCH_BYTES;
    const atOnce = Math.min(most, this.#mostBytes);
    if (this.#batch === undefined) this.#refill(atOnce);
    this.#batch ??= Batch.takeFrom(this.#waiting, atOnce);
    if (this.#batch) {
      const askedAt = performance.now();
      this.#askedAt = askedAt;
      const sync = this.#flushes.some((flush) => flush.sync);
      const bytes = await this.#target.write(this.#batch.rest, sync);
      const tookMs = performance.now() - askedAt;
      // No change waits for a target on another machine.
      if (this.#target.remote !== true) this.#speed.add(bytes, tookMs);
      const isSlow = tookMs > this.#parts.limits.stallMs * SLOW_FROM;
      // A small write that was fast says nothing of a large one.
      if (isSlow || bytes > this.#mostBytes / 2)
        this.#mostBytes = Math.max(BATCH_BYTES, Math.min(most, this.#mostBytes * (isSlow ? 1 / GROWTH : GROWTH)));
      // `close` has counted these lines as dropped by now; they must not be counted twice.
      if (this.#abandoned) return;
      this.#wrote(this.#batch, bytes);
    }
    this.#recover();
    this.#endFlushes(({ upTo }) => upTo <= this.#settled, true);
  }

  #wrote(batch: Batch, bytes: number): void {
    const lines = batch.advance(bytes);
    if (lines > 0 && !this.#target.reportsOutcomes)
      this.#parts.metrics?.auditEvent(this.#target.type, 'written', lines);
    this.#settled += lines;
    if (!batch.done) return;
    this.#queuedBytes -= batch.length;
    let ofNone = batch.length;
    for (const [account, written] of batch.byAccount) {
      this.#load.add(account, -written);
      ofNone -= written;
    }
    this.#load.add(undefined, -ofNone);
    this.#batch = undefined;
  }

  #recover(): void {
    this.#opened = true;
    this.#failures = 0;
    this.#failure = undefined;
    if (!this.#isRecovering && this.#dropped === 0 && this.#leftOut === 0) return;
    // Not yet: events dropped while the queue is still full belong to the same outage.
    if (this.#held.length > 0 || this.#queuedBytes >= this.#parts.limits.queueBytes * FAILING_FROM) return;
    this.#parts.logger?.info(
      { sink: this.#target.location, droppedEvents: this.#dropped + this.#leftOut },
      'the audit sink works again',
    );
    this.#isRecovering = false;
    this.#dropped = 0;
    this.#leftOut = 0;
    const gaps = [...this.#gaps];
    this.#gaps.clear();
    for (const [chain, gap] of gaps) this.#parts.onGap?.({ sink: this.#target.location, chain, ...gap });
  }

  #fail(error: Error): void {
    const first = !this.#isRecovering;
    this.#isRecovering = true;
    this.#failure = error;
    if (this.#abandoned) return;
    this.#endFlushes(({ until }) => until !== Infinity, false);
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        this.#schedule(true);
      },
      retryDelay(this.#parts.limits, this.#failures, error),
    );
    this.#failures += 1;
    if (first) {
      this.#parts.logger?.error(
        { sink: this.#target.location, err: error },
        'the audit sink cannot be written; writing is retried until it works',
      );
    }
  }

  /** Gives up the rest of the queue. */
  #abandon(): void {
    this.#abandoned = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#gathering);
    clearTimeout(this.#flushTimer);
    const left = this.#waiting.length + this.#held.length + (this.#batch?.linesLeft ?? 0);
    this.#waiting.length = 0;
    this.#held.length = 0;
    this.#batch = undefined;
    this.#queuedBytes = 0;
    this.#heldBytes = 0;
    this.#load.clear();
    this.#settled += left;
    if (left > 0) this.drop(left);
    if (this.#dropped > 0) {
      this.#parts.logger?.error(
        { sink: this.#target.location, droppedEvents: this.#dropped },
        'the audit sink was closed with events lost',
      );
    }
    this.#endFlushes(() => true, false);
  }

  /**
   * A blocked event loop runs this before it learns of a disk that has responded long ago, so pending completions
   * are processed first.
   */
  #expireFlushes(): void {
    setImmediate(() => {
      this.#flushTimer = undefined;
      const nowMs = performance.now();
      this.#endFlushes(({ until }) => until <= nowMs, false);
      const next = Math.min(...this.#flushes.map(({ until }) => until));
      if (next !== Infinity) this.#flushTimer = setTimeout(() => this.#expireFlushes(), next - nowMs).unref();
    });
  }

  #endFlushes(which: (flush: Flush) => boolean, kept: boolean): void {
    const ended = this.#flushes.filter(which);
    if (ended.length === 0) return;
    this.#flushes = this.#flushes.filter((flush) => !which(flush));
    for (const { resolve } of ended) resolve(kept);
  }
}
