/**
 * Follows the log: joins it, renews the lease, and takes each new entry in, in order.
 *
 * Two loops. The renewal is the only one that decides anything. The tail merely waits for a hint that there is news and wakes the
 * renewal, so that a revocation is seen in milliseconds instead of a quarter of the lease; it grants nothing.
 */
import type { LogEntry, LogPosition } from '../core/revocation.ts';
import type { ReplicaState, RevocationLog } from '../store/store.ts';
import type { GateLogger } from './dependencies.ts';
import { Lease } from './lease.ts';
import { delay } from './delay.ts';
import type { CutReason } from './revocation.ts';

export interface FollowerHooks {
  /** A join has read the live entries: the view begins afresh. */
  joined(live: readonly LogEntry[]): void;
  /** Cuts everything in flight and empties caches. May come again while nothing is in flight. */
  fence(reason: CutReason): void;
  /** One new entry, in order. */
  apply(entry: LogEntry): void;
  /** A renewal has been granted: entries are applied, the lease stands, and the registry is as of now. */
  renewed(replicas: readonly ReplicaState[], now: number): void;
  /** Number of flights that this replica has cut so far. */
  streamsCut(): number;
}

export interface FollowerOptions {
  readonly log: RevocationLog;
  readonly incarnation: string;
  readonly name: string;
  readonly lengthMs: number;
  readonly monotonic: () => number;
  readonly hooks: FollowerHooks;
  readonly logger: GateLogger;
}

type Round = 'idle' | 'news' | 'rejoin';

export class LogFollower {
  readonly lease: Lease;
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  #position: LogPosition | undefined;
  #count = 0;
  #storeAway = false;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  #endPause: (() => void) | undefined;
  #loops: Promise<unknown> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.lease = new Lease(options.lengthMs);
  }

  /** Undefined until the first lease, and again from the moment at which another epoch or a gap was seen until the next lease. */
  get position(): LogPosition | undefined {
    return this.lease.deadline === undefined ? undefined : this.#position;
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
      // Once, not at every renewal: the first says what is wrong, and the log must stay readable while it lasts.
      if (!this.#storeAway) {
        this.#options.logger.warn(
          { err: error },
          'the store did not answer; the lease runs on until its end and no further',
        );
      }
      this.#storeAway = true;
      return 'idle';
    }
  }

  async #joinAndRenew(): Promise<Round> {
    const { log, hooks } = this.#options;
    if (this.#position === undefined) {
      const joined = await log.join();
      if (this.#stopping.signal.aborted) return 'idle';
      hooks.joined(joined.live);
      this.#position = joined.position;
    }
    return this.#renew(this.#position);
  }

  /** Everything after the reply happens in one tick, so that no request can be checked between the entries and the lease. */
  async #renew(position: LogPosition): Promise<Round> {
    const { log, monotonic, hooks, incarnation, name, logger } = this.#options;
    const sentAt = monotonic();
    this.#count += 1;
    const state = { incarnation, name, count: this.#count, number: position.number, streamsCut: hooks.streamsCut() };
    const reply = await log.renew(state, position);
    const now = monotonic();
    if (this.#stopping.signal.aborted) return 'idle';
    if (!reply.ok) return this.#loseFootage(reply.reason);
    if (reply.epoch !== position.epoch) return this.#loseFootage('epoch');
    const outcome = this.lease.judge(sentAt, now);
    if (outcome === 'late') {
      logger.warn({ ms: now - sentAt }, 'the answer to a renewal came too late and grants nothing');
      return 'idle';
    }
    if (!follows(reply.entries, position.number)) return this.#loseFootage('gap');
    // A lapsed lease is never merely extended: for a while nobody knows what was let through here, so all of it ends first.
    if (outcome === 'lapsed') hooks.fence('fenced');
    for (const entry of reply.entries) hooks.apply(entry);
    this.#position = { epoch: position.epoch, number: reply.entries.at(-1)?.number ?? position.number };
    this.lease.grant(sentAt);
    if (this.#storeAway) logger.info({}, 'the store answers again');
    this.#storeAway = false;
    this.#watchDeadline();
    hooks.renewed(reply.replicas, now);
    this.#first.resolve();
    return reply.entries.length > 0 ? 'news' : 'idle';
  }

  /** The log is not the one that the view was built from: nothing that was let in on its word may go on. */
  #loseFootage(reason: 'epoch' | 'gap' | 'rollback'): Round {
    this.#options.logger.warn(
      { reason },
      'the log cannot be followed from here; everything is cut and the log joined afresh',
    );
    this.lease.drop();
    this.#position = undefined;
    clearTimeout(this.#deadlineTimer);
    this.#options.hooks.fence(reason === 'gap' ? 'fenced' : 'epoch_changed');
    return 'rejoin';
  }

  /** `check` refuses from the deadline on; this timer ends what is already flowing, also where no byte asks for a check. */
  #watchDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const { deadline } = this.lease;
    if (deadline === undefined) return;
    const wait = Math.max(Math.ceil(deadline - this.#options.monotonic()), 0);
    this.#deadlineTimer = setTimeout(() => {
      if (this.lease.holds(this.#options.monotonic())) this.#watchDeadline();
      else this.#options.hooks.fence('fenced');
    }, wait);
    this.#deadlineTimer.unref();
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endPause = resolve;
    const timer = setTimeout(resolve, this.#options.lengthMs / 4);
    timer.unref();
    await promise;
    clearTimeout(timer);
    this.#endPause = undefined;
  }

  async #tail(): Promise<void> {
    const { signal } = this.#stopping;
    const { log, lengthMs } = this.#options;
    await Promise.race([this.#first.promise, aborted(signal)]);
    while (!signal.aborted) {
      const before = this.position?.number;
      const woken = before === undefined ? false : await hinted(log.waitForEntry(before, signal));
      if (woken && !signal.aborted) await this.wake();
      // A hint without an entry behind it, or a store that is away, must not turn this into a busy loop.
      if (!signal.aborted && this.position?.number === before) await delay(lengthMs / 4, signal);
    }
  }
}

/** True when the entries continue at `number` + 1 without a gap: a missing number may be the revocation that matters. */
function follows(entries: readonly LogEntry[], number: number): boolean {
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
