/**
 * Follows the log: joins it, renews the lease, and takes each new entry in, in order.
 *
 * Two loops. The renewal is the only one that decides anything. The tail merely waits for a hint that there is news and wakes the
 * renewal, so that a revocation is seen in milliseconds instead of a quarter of the lease; it grants nothing.
 */
import type { Logger } from '../contracts/logger.ts';
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import { waitFor } from '../core/credential/lease.ts';
import type { LogEntry, LogPosition } from '../core/credential/revocation.ts';
import type { DrillPart, Joined, Renewal, ReplicaState, RevocationLog } from '../store/store.ts';
import { ClockWitness } from './clocks.ts';
import { delay } from './delay.ts';
import type { Fence, FenceCause } from './types.ts';
import { Lease } from './lease.ts';
import type { UnbrokenLease } from './proof.ts';
import type { CutReason } from './types.ts';

export interface FollowerHooks {
  /** A join has read the live entries: the view begins afresh. */
  joined(joined: Joined): void;
  /** Cuts everything in flight and empties caches. May come again while nothing is in flight. */
  fence(reason: CutReason): void;
  /** One new entry, in order. */
  apply(entry: LogEntry): void;
  /** A renewal has been granted: entries are applied, the lease stands, and the registry is as of now. */
  renewed(replicas: readonly ReplicaState[], now: number): void;
  /** Number of flights that this replica has cut so far. */
  streamsCut(): number;
  /** @returns the last entry, `number` at most, of which everything has been cut here that it covers */
  cutThrough(number: number): number;
  /** Its part in the latest drill. */
  drill(): DrillPart | undefined;
  /** There is a lease again after a fence. */
  served(fence: Fence): void;
}

export interface FollowerOptions {
  readonly log: RevocationLog;
  readonly incarnation: string;
  readonly name: string;
  readonly lengthMs: number;
  readonly longestTokenSeconds: number;
  readonly monotonic: () => number;
  readonly clock: Clock;
  readonly uptime: (() => number) | undefined;
  readonly hooks: FollowerHooks;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

type Round = 'idle' | 'news' | 'rejoin';

/** What our renewals since the last break were granted under. */
interface Standing {
  readonly epoch: string;
  readonly generation: string;
  readonly sinceMs: number;
  /** W of the longest lease that anybody may hold, as the last of them said. */
  readonly waitMs: number;
}

const CUT_FOR: Readonly<Record<FenceCause, CutReason>> = {
  lease_lapsed: 'fenced',
  epoch_changed: 'epoch_changed',
  log_gap: 'fenced',
  log_rollback: 'epoch_changed',
  clock_jumped: 'fenced',
};

const CAUSES = { epoch: 'epoch_changed', gap: 'log_gap', rollback: 'log_rollback' } as const;

/**
 * Between two renewals, however long a lease lasts: whoever settles a new epoch waits for W of its own lease, 1.1 s at least, and by then every
 * replica that can reach the store has to have come there with the locks and the leases that it knows of.
 */
const LONGEST_PERIOD_MS = 500;

export class LogFollower {
  readonly lease: Lease;
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #clocks: ClockWitness;
  readonly #periodMs: number;
  #position: LogPosition | undefined;
  #standing: Standing | undefined;
  /** Why there is no lease, from a fence until the next one. */
  #fencedFor: FenceCause | undefined;
  #clockOff = false;
  #count = 0;
  /** What was wrong with the rounds since the last lease, each kind once: the log must stay readable while it lasts. */
  readonly #trouble = new Set<string>();
  #deadlineTimer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  #endPause: (() => void) | undefined;
  #loops: Promise<unknown> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.lease = new Lease(options.lengthMs);
    this.#clocks = new ClockWitness(options, options.lengthMs);
    this.#periodMs = Math.min(options.lengthMs / 4, LONGEST_PERIOD_MS);
  }

  /** Undefined until the first lease, and again from the moment at which another epoch or a gap was seen until the next lease. */
  get position(): LogPosition | undefined {
    return this.lease.deadline === undefined ? undefined : this.#position;
  }

  /** Undefined without a lease: whoever has none sees nobody. */
  get footing(): UnbrokenLease | undefined {
    const { freshAt } = this.lease;
    if (this.#standing === undefined || freshAt === undefined) return undefined;
    return this.lease.holds(this.#options.monotonic()) ? { ...this.#standing, renewedAtMs: freshAt } : undefined;
  }

  get clockOff(): boolean {
    return this.#clockOff;
  }

  /** Resolves with the first lease. Where the store is away it goes on trying. */
  start(): Promise<void> {
    this.#loops ??= Promise.all([this.#renewals(), this.#tail()]);
    return this.#first.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#deadlineTimer);
    this.lease.drop();
    this.#endPause?.();
    await this.#loops;
  }

  /** Renews now. Resolves when a round that began after this call has ended, whatever its outcome. */
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
      // News goes with another round at once: it carries our number, which is the receipt that the entries have been applied here.
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
      if (!this.#trouble.has(kind)) {
        this.#options.logger.warn(
          { err: error, reason },
          'no lease came of this round; the one before runs on until its end and no further',
        );
      }
      this.#trouble.add(kind);
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

  /** Everything after the reply happens in one tick, so that no request can be checked between the entries and the lease. */
  async #renew(position: LogPosition): Promise<Round> {
    const { log, monotonic, logger } = this.#options;
    const sentAt = monotonic();
    // Throws where not enough followers have confirmed the round: nothing is granted then, and nothing taken in.
    const reply = await log.renew(this.#state(position), position);
    const now = monotonic();
    if (this.#stopping.signal.aborted) return 'idle';
    const jump = this.#clocks.jump();
    if (jump !== undefined) {
      logger.warn({ ms: Math.round(jump) }, 'a clock of this machine stood still or was set');
      return this.#loseFootage('clock_jumped');
    }
    if (!reply.ok) return this.#loseFootage(CAUSES[reply.reason]);
    if (!this.#isSameLife(reply, position)) return this.#loseFootage('epoch_changed');
    if (this.lease.judge(sentAt, now) === 'late') {
      logger.warn({ ms: now - sentAt }, 'the answer to a renewal came too late and grants nothing');
      return 'idle';
    }
    if (!follows(reply.entries, position.number)) return this.#loseFootage('log_gap');
    this.#grant(reply, position, { sentAt, now });
    return reply.entries.length > 0 ? 'news' : 'idle';
  }

  #state(position: LogPosition): ReplicaState {
    const { hooks, incarnation, name, lengthMs } = this.#options;
    this.#count += 1;
    const drill = hooks.drill();
    const own = { incarnation, name, leaseMs: Math.ceil(lengthMs), count: this.#count };
    const number = hooks.cutThrough(position.number);
    // test seam: REPLICA_STATE
    const state = { ...own, number, streamsCut: hooks.streamsCut() };
    return drill === undefined ? state : { ...state, drill };
  }

  #isSameLife(reply: Renewal, position: LogPosition): boolean {
    // An epoch never outlives its server process; one that seems to is not the one that we know.
    const generation = this.#standing?.epoch === position.epoch ? this.#standing.generation : reply.generation;
    return reply.epoch === position.epoch && reply.generation === generation;
  }

  #grant(
    reply: Renewal,
    position: LogPosition,
    { sentAt, now }: { readonly sentAt: number; readonly now: number },
  ): void {
    const { hooks, logger } = this.#options;
    const outcome = this.lease.judge(sentAt, now);
    const { freshAt } = this.lease;
    // A lapsed lease is never merely extended: for a while nobody knows what was let through here, so all of it ends first.
    if (outcome === 'lapsed') this.#fence('lease_lapsed');
    // safeguard: EVERY_ENTRY
    for (const entry of reply.entries) hooks.apply(entry);
    this.#position = { epoch: position.epoch, number: reply.entries.at(-1)?.number ?? position.number };
    this.lease.grant(sentAt);
    const waitMs = waitFor(Math.max(this.#options.lengthMs, reply.longestLeaseMs));
    const sinceMs = outcome === 'extended' ? (this.#standing?.sinceMs ?? now) : now;
    this.#standing = { epoch: reply.epoch, generation: reply.generation, sinceMs, waitMs };
    this.#clockOff = false;
    if (this.#trouble.size > 0) logger.info({}, 'there is a lease again');
    this.#trouble.clear();
    this.#watchDeadline();
    hooks.renewed(reply.replicas, now);
    const cause = this.#fencedFor;
    this.#fencedFor = undefined;
    if (cause !== undefined && freshAt !== undefined) hooks.served({ cause, seconds: (now - freshAt) / 1000 });
    this.#first.resolve();
  }

  /** The log is not the one that the view was built from: nothing that was let in on its word may go on. */
  #loseFootage(cause: FenceCause): Round {
    this.#options.logger.warn(
      { reason: cause },
      'the view cannot be trusted any more; everything is cut and the log joined afresh',
    );
    this.lease.drop();
    this.#position = undefined;
    this.#standing = undefined;
    clearTimeout(this.#deadlineTimer);
    this.#fence(cause);
    return 'rejoin';
  }

  #fence(cause: FenceCause): void {
    this.#fencedFor ??= cause;
    this.#options.hooks.fence(CUT_FOR[cause]);
  }

  /** `check` refuses from the deadline on; this timer ends what is already flowing, also where no byte asks for a check. */
  #watchDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const { deadline } = this.lease;
    if (deadline === undefined) return;
    const wait = Math.max(Math.ceil(deadline - this.#options.monotonic()), 0);
    this.#deadlineTimer = setTimeout(() => {
      if (this.lease.holds(this.#options.monotonic())) this.#watchDeadline();
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
    await Promise.race([this.#first.promise, aborted(signal)]);
    while (!signal.aborted) {
      const before = this.position?.number;
      const woken = before === undefined ? false : await hinted(log.waitForEntry(before, signal));
      // Whoever renewed meanwhile has it already, as who wrote it has; what came after it is seen by the next wait.
      if (woken && !signal.aborted && this.position?.number === before) await this.wake();
      // A hint without an entry behind it, or a store that is away, must not turn this into a busy loop.
      if (!signal.aborted && this.position?.number === before) await delay(this.#periodMs, signal);
    }
  }
}

/** True when the entries continue at `number` + 1 without a gap: a missing number may be the revocation that matters. */
function follows(entries: readonly LogEntry[], number: number): boolean {
  // safeguard: GAP_IN_REPLY
  return entries.every((entry, index) => entry.number === number + 1 + index);
}

async function hinted(wait: Promise<void>): Promise<boolean> {
  try {
    await wait;
    return true;
  } catch {
    // Only speed is lost: the renewal goes on by its own period and reports what is wrong with the store.
    return false;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
