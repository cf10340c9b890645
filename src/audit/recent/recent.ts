/**
 * Recent requests: the last few of each session, for its user and for admins.
 *
 * A convenience next to the sinks, which never delays them. A request that cannot be kept is dropped silently,
 * because the audit log itself has it.
 */
import type { AuditEvent } from '../../core/audit/event.ts';
import { recentOf, sessionOf, type RecentRequest } from '../../core/audit/recent-request.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { AuditTrail } from '../types.ts';

/** Where they are kept; the `store` module implements it. */
export interface RecentChannel {
  /** Rejects if they could not be kept. */
  add(session: string, requests: readonly RecentRequest[]): Promise<void>;
}

export interface RecentRequestsOptions {
  readonly logger: Pick<Logger, 'info'>;
  /** How long a request waits before it is written. Default: 5 seconds. */
  readonly everyMs?: number;
  /** How long `stop` may write. Default: 2 seconds. */
  readonly stopMs?: number;
}

export interface RecentRequests {
  /** Wraps a trail so that its requests are kept as well. */
  wrap(trail: AuditTrail): AuditTrail;
  /** Keeps them from now on. */
  start(channel: RecentChannel): void;
  /** Writes what is queued, once, and stops. Never rejects. */
  stop(): Promise<void>;
}

const EVERY_MS = 5000;
const STOP_MS = 2000;
/** Sessions whose requests may be queued. Those of any other are dropped until the next round. */
const MOST_SESSIONS = 2000;
/** Most requests of a session: as many as the store keeps. */
const MOST_REQUESTS = 50;
/** Concurrent writes. Requests wait behind them in the store. */
const CONCURRENCY = 4;

export function createRecentRequests(options: RecentRequestsOptions): RecentRequests {
  return new RecentRecorder(options);
}

class RecentRecorder implements RecentRequests {
  readonly #options: RecentRequestsOptions;
  #channel: RecentChannel | undefined;
  /** By session, in the order of arrival. */
  #waiting = new Map<string, AuditEvent[]>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #failing = false;
  /** On the clock of `performance`: nothing is written afterwards. */
  #until = Infinity;

  constructor(options: RecentRequestsOptions) {
    this.#options = options;
  }

  wrap(trail: AuditTrail): AuditTrail {
    return {
      record: (event) => {
        trail.record(event);
        if (this.#channel !== undefined) this.#add(event);
      },
      // There is no response yet, so there is nothing to show.
      recordAhead: (event) => trail.recordAhead(event),
      get blocked() {
        return trail.blocked;
      },
      backlogged: (account) => trail.backlogged(account),
      flush: () => trail.flush(),
      close: () => trail.close(),
    };
  }

  start(channel: RecentChannel): void {
    this.#channel = channel;
  }

  async stop(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    clearTimeout(this.#timer);
    this.#until = performance.now() + (this.#options.stopMs ?? STOP_MS);
    await this.#round;
    if (channel !== undefined) await this.#write(channel);
  }

  /** Only queues the event, because this is on the path of a request: a session costs a look-up and a push. */
  #add(event: AuditEvent): void {
    const session = sessionOf(event);
    if (session === undefined) return;
    const waiting = this.#waiting.get(session);
    if (waiting !== undefined) {
      waiting.push(event);
      if (waiting.length >= 2 * MOST_REQUESTS) waiting.splice(0, MOST_REQUESTS);
    } else if (this.#waiting.size < MOST_SESSIONS) {
      this.#waiting.set(session, [event]);
    }
    if (this.#timer === undefined && this.#round === undefined) this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#round = this.#flushRound();
    }, this.#options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  async #flushRound(): Promise<void> {
    if (this.#channel !== undefined) await this.#write(this.#channel);
    this.#round = undefined;
    if (this.#channel !== undefined && this.#waiting.size > 0) this.#wait();
  }

  /**
   * Never rejects. Stops at the first failure: otherwise thousands would wait for an unavailable store one after
   * the other.
   */
  async #write(channel: RecentChannel): Promise<void> {
    const sessions = this.#waiting.entries();
    this.#waiting = new Map();
    let failure: unknown;
    // Several workers share one iterator, so that each session is written by one of them.
    const worker = async (): Promise<void> => {
      for (const [session, events] of sessions) {
        if (failure !== undefined || performance.now() > this.#until) return;
        try {
          await channel.add(session, shown(events));
        } catch (error) {
          failure = error;
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    if (failure !== undefined && !this.#failing) this.#options.logger.info({ err: failure }, NOT_KEPT);
    this.#failing = failure !== undefined;
  }
}

const NOT_KEPT = 'recent requests of sessions could not be kept; the audit log has them';

/** Returns the newest requests; a stream appears by its end, if that has been recorded. */
function shown(events: readonly AuditEvent[]): readonly RecentRequest[] {
  const ended = new Set<string>();
  const last: RecentRequest[] = [];
  for (const event of events.toReversed()) {
    if (last.length === MOST_REQUESTS) break;
    if (ended.has(event.auditID)) continue;
    ended.add(event.auditID);
    const request = recentOf(event);
    if (request !== undefined) last.push(request);
  }
  return last.toReversed();
}
