/**
 * Follows the log: joins it, renews the lease, and applies each new entry in order.
 *
 * There are two loops. Only the renewal decides anything. The tail waits for a hint that there is a new entry and
 * wakes the renewal, so that a revocation is seen in milliseconds instead of a quarter of the lease. The tail
 * grants nothing.
 */
import type { Logger } from '../contracts/logger.ts';
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import type { ReplicaKeys } from '../core/credential/key-agreement.ts';
import { waitFor } from '../core/credential/lease.ts';
import type { LogEntry, LogPosition } from '../core/credential/revocation.ts';
import type { DrillPart, Joined, Renewal, ReplicaState, RevocationLog } from '../store/store.ts';
import { ClockComparison } from './clocks.ts';
import { delay } from './delay.ts';
import type { Fence, FenceCause } from './types.ts';
import { Lease } from './lease.ts';
import type { UnbrokenLease } from './proof.ts';
import type { CutReason } from './types.ts';

export interface FollowerHooks {
  /** A join has read the live entries: the view starts again from them. */
  joined(joined: Joined): void;
  /** Cuts everything in flight and empties caches. May be called again while nothing is in flight. */
  fence(reason: CutReason): void;
  /** Applies one new entry. Entries come in order. */
  apply(entry: LogEntry): void;
  /** A renewal has been granted: entries are applied, the lease holds, and the registry is as of now. */
  renewed(replicas: readonly ReplicaState[], nowMs: number): void;
  /** Returns the number of flights that this replica has cut so far. */
  streamsCut(): number;
  /** @returns the last entry, `number` at most, for which everything that it covers has been cut here */
  cutThrough(number: number): number;
  /** Returns this replica's part in the latest drill. */
  drill(): DrillPart | undefined;
  /** Returns the keys of this replica. */
  keys(): ReplicaKeys | undefined;
  /** There is a lease again after a fence. */
  served(fence: Fence): void;
}

export interface FollowerOptions {
  readonly log: RevocationLog;
  readonly incarnation: string;
  readonly name: string;
  readonly servesNothing: boolean;
  readonly lengthMs: number;
  readonly longestTokenSeconds: number;
  readonly monotonicMs: () => number;
  readonly clock: Clock;
  readonly uptimeMs: (() => number) | undefined;
  readonly hooks: FollowerHooks;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

type Round = 'idle' | 'news' | 'rejoin';

const CUT_REASON_OF: Readonly<Record<FenceCause, CutReason>> = {
  lease_lapsed: 'fenced',
  epoch_changed: 'epoch_changed',
  log_gap: 'fenced',
  log_rollback: 'epoch_changed',
  clock_jumped: 'fenced',
};

const CAUSE_OF = { epoch: 'epoch_changed', gap: 'log_gap', rollback: 'log_rollback' } as const;

/**
 * Longest pause between two renewals, however long a lease lasts. A replica that settles a new epoch waits for W of
 * its own lease, 1.1 s at least. By then every replica that can reach the store must have renewed there, with the
 * locks and the leases that it knows of.
 */
const MAX_PERIOD_MS = 500;

export class LogFollower {
  readonly lease: Lease;
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  readonly #firstLease = Promise.withResolvers<void>();
  readonly #clocks: ClockComparison;
  readonly #periodMs: number;
  #position: LogPosition | undefined;
  #granted: Omit<UnbrokenLease, 'renewedAtMs'> | undefined;
  /** Why there is no lease, from a fence until the next lease. */
  #fencedFor: FenceCause | undefined;
  #clockOff = false;
  #renewalCount = 0;
  /**
   * The failures of the rounds since the last lease, each kind once: the logs must stay readable while they last.
   */
  readonly #failures = new Set<string>();
  #deadlineTimer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  #endPause: (() => void) | undefined;
  #loops: Promise<unknown> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.lease = new Lease(options.lengthMs);
    this.#clocks = new ClockComparison(options, options.lengthMs);
    this.#periodMs = Math.min(options.lengthMs / 4, MAX_PERIOD_MS);
  }

  /**
   * Undefined until the first lease, and again from the moment at which another epoch or a gap was seen until the
   * next lease.
   */
  get position(): LogPosition | undefined {
    return this.lease.deadlineMs === undefined ? undefined : this.#position;
  }

  /** Undefined without a lease: a replica without one cannot see the others. */
  get unbrokenLease(): UnbrokenLease | undefined {
    const { freshAtMs } = this.lease;
    if (this.#granted === undefined || freshAtMs === undefined) return undefined;
    return this.lease.holds(this.#options.monotonicMs()) ? { ...this.#granted, renewedAtMs: freshAtMs } : undefined;
  }

  get clockOff(): boolean {
    return this.#clockOff;
  }

  /** Resolves with the first lease. While the store is unavailable it keeps trying. */
  start(): Promise<void> {
    this.#loops ??= Promise.all([this.#renewals(), this.#tail()]);
    return this.#firstLease.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#deadlineTimer);
    this.lease.drop();
    this.#endPause?.();
    await this.#loops;
  }

  /** Renews now. Resolves when a round that started after this call has ended, whatever its outcome. */
  wake(): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    const round = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#endPause?.();
    return round;
  }

  async #renewals(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const waiting = this.#waiting.splice(0);
      const round = await this.#round();
      for (const resolve of waiting) resolve();
      // After new entries another round follows immediately: it carries our number, which is the receipt that the
      // entries have been applied here.
      if (round === 'idle' && this.#waiting.length === 0 && !signal.aborted) await this.#pause();
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #round(): Promise<Round> {
    try {
      let round = await this.#joinAndRenew();
      if (round === 'rejoin') round = await this.#joinAndRenew();
      return round === 'news' ? 'news' : 'idle';
    } catch (error) {
      const reason = error instanceof AppError ? error.reason : undefined;
      const kind = reason ?? String(error);
      if (!this.#failures.has(kind)) {
        this.#options.logger.warn(
          { err: error, reason },
          'lease not renewed; this replica rejects all requests once its lease has run out',
        );
      }
      this.#failures.add(kind);
      this.#clockOff = reason === 'clock_off';
      return 'idle';
    }
  }

  async #joinAndRenew(): Promise<Round> {
    const { log, hooks, longestTokenSeconds } = this.#options;
    if (this.#position === undefined) {
      const joined = await log.join(longestTokenSeconds);
      if (this.#stopping.signal.aborted) return 'idle';
      hooks.joined(joined);
      this.#position = joined.position;
    }
    return this.#renew(this.#position);
  }

  /**
   * Renews once. Everything after the reply happens in one tick, so that no request can be checked between the
   * entries and the lease.
   */
  async #renew(position: LogPosition): Promise<Round> {
    const { log, monotonicMs, logger } = this.#options;
    const sentAtMs = monotonicMs();
    // Throws if not enough followers have confirmed the round: then nothing is granted, and nothing is applied.
    const reply = await log.renew(this.#state(position), position);
    const nowMs = monotonicMs();
    if (this.#stopping.signal.aborted) return 'idle';
    const jump = this.#clocks.jump();
    if (jump !== undefined) {
      logger.warn({ ms: Math.round(jump) }, 'clock jumped; this replica drops its lease and its view');
      return this.#dropLease('clock_jumped');
    }
    if (!reply.ok) return this.#dropLease(CAUSE_OF[reply.reason]);
    if (!this.#isSameGeneration(reply, position)) return this.#dropLease('epoch_changed');
    if (this.lease.judge(sentAtMs, nowMs) === 'late') {
      logger.warn({ ms: nowMs - sentAtMs }, 'renewal reply too late; it does not extend the lease');
      return 'idle';
    }
    if (!follows(reply.entries, position.number)) return this.#dropLease('log_gap');
    this.#grant(reply, position, { sentAtMs, nowMs });
    return reply.entries.length > 0 ? 'news' : 'idle';
  }

  #state(position: LogPosition): ReplicaState {
    const { hooks, incarnation, name, servesNothing, lengthMs } = this.#options;
    this.#renewalCount += 1;
    const drill = hooks.drill();
    const identity = { incarnation, name, leaseMs: Math.ceil(lengthMs), count: this.#renewalCount };
    const number = hooks.cutThrough(position.number);
    // test seam: REPLICA_STATE
    const state = { ...identity, number, streamsCut: hooks.streamsCut() };
    const keys = hooks.keys();
    return { ...state, ...(servesNothing && { servesNothing }), ...(drill && { drill }), ...(keys && { keys }) };
  }

  #isSameGeneration(reply: Renewal, position: LogPosition): boolean {
    // An epoch never outlives its server process. An epoch that seems to is not the one that we know.
    const generation = this.#granted?.epoch === position.epoch ? this.#granted.generation : reply.generation;
    return reply.epoch === position.epoch && reply.generation === generation;
  }

  #grant(
    reply: Renewal,
    position: LogPosition,
    { sentAtMs, nowMs }: { readonly sentAtMs: number; readonly nowMs: number },
  ): void {
    const { hooks, logger } = this.#options;
    const outcome = this.lease.judge(sentAtMs, nowMs);
    const { freshAtMs } = this.lease;
    // A lapsed lease is never merely extended: no one knows what was let through here for a while, so all of it
    // ends first.
    if (outcome === 'lapsed') this.#fence('lease_lapsed');
    // safeguard: EVERY_ENTRY
    for (const entry of reply.entries) hooks.apply(entry);
    this.#position = { epoch: position.epoch, number: reply.entries.at(-1)?.number ?? position.number };
    this.lease.grant(sentAtMs);
    const waitMs = waitFor(Math.max(this.#options.lengthMs, reply.longestLeaseMs));
    const sinceMs = outcome === 'extended' ? (this.#granted?.sinceMs ?? nowMs) : nowMs;
    this.#granted = { epoch: reply.epoch, generation: reply.generation, sinceMs, waitMs };
    this.#clockOff = false;
    if (this.#failures.size > 0) logger.info({}, 'lease re-acquired');
    this.#failures.clear();
    this.#watchDeadline();
    hooks.renewed(reply.replicas, nowMs);
    const cause = this.#fencedFor;
    this.#fencedFor = undefined;
    if (cause !== undefined && freshAtMs !== undefined) hooks.served({ cause, seconds: (nowMs - freshAtMs) / 1000 });
    this.#firstLease.resolve();
  }

  /** The log is not the one that the view was built from, so nothing that was admitted because of it may go on. */
  #dropLease(cause: FenceCause): Round {
    this.#options.logger.warn({ reason: cause }, 'view dropped, joining the log again; what was open here is cut');
    this.lease.drop();
    this.#position = undefined;
    this.#granted = undefined;
    clearTimeout(this.#deadlineTimer);
    this.#fence(cause);
    return 'rejoin';
  }

  #fence(cause: FenceCause): void {
    this.#fencedFor ??= cause;
    this.#options.hooks.fence(CUT_REASON_OF[cause]);
  }

  /**
   * Cuts at the deadline. `check` rejects from then on by itself; this timer ends what is already flowing, also
   * where no byte asks for a check.
   */
  #watchDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const { deadlineMs } = this.lease;
    if (deadlineMs === undefined) return;
    const wait = Math.max(Math.ceil(deadlineMs - this.#options.monotonicMs()), 0);
    this.#deadlineTimer = setTimeout(() => {
      if (this.lease.holds(this.#options.monotonicMs())) this.#watchDeadline();
      else this.#fence('lease_lapsed');
    }, wait);
    this.#deadlineTimer.unref();
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endPause = resolve;
    const timer = setTimeout(resolve, this.#periodMs);
    timer.unref();
    await promise;
    clearTimeout(timer);
    this.#endPause = undefined;
  }

  async #tail(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#options;
    await Promise.race([this.#firstLease.promise, aborted(signal)]);
    while (!signal.aborted) {
      const before = this.position?.number;
      const woken = before === undefined ? false : await hinted(log.waitForEntry(before, signal));
      // A replica that has renewed meanwhile has the entry already, and so has the one that wrote it. The next wait
      // sees what came after it.
      if (woken && !signal.aborted && this.position?.number === before) await this.wake();
      // A hint without an entry behind it, or an unavailable store, must not turn this into a busy loop.
      if (!signal.aborted && this.position?.number === before) await delay(this.#periodMs, signal);
    }
  }
}

/**
 * True if the entries continue at `number` + 1 without a gap: a missing number may be the revocation that matters.
 */
function follows(entries: readonly LogEntry[], number: number): boolean {
  // safeguard: GAP_IN_REPLY
  return entries.every((entry, index) => entry.number === number + 1 + index);
}

async function hinted(wait: Promise<void>): Promise<boolean> {
  try {
    await wait;
    return true;
  } catch {
    // Only speed is lost: the renewal goes on in its own period and reports what is wrong with the store.
    return false;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
