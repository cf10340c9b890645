/**
 * Recent requests: the last few of each session, for its person and for admins to look at.
 *
 * A convenience beside the sinks and never in their way: what cannot be kept is forgotten in silence, because the record itself has it.
 */
import type { AuditEvent } from '../../core/audit/event.ts';
import { recentOf, sessionOf, type RecentRequest } from '../../core/audit/recent-request.ts';
import type { AuditLog, AuditTrail } from '../types.ts';

/** Where they are kept; room `store` has it. */
export interface RecentChannel {
  /** Rejects where they could not be kept. */
  add(session: string, requests: readonly RecentRequest[]): Promise<void>;
}

export interface RecentRequestsOptions {
  readonly logger: Pick<AuditLog, 'info'>;
  /** How long a request waits to be written. Default: 5 seconds. */
  readonly everyMs?: number;
  /** How long `stop` may write. Default: 2 seconds. */
  readonly stopMs?: number;
}

export interface RecentRequests {
  /** The same trail, whose requests are kept besides. */
  over(trail: AuditTrail): AuditTrail;
  /** Keeps them from now on. */
  start(channel: RecentChannel): void;
  /** Writes what waits, once, and stops. Never rejects. */
  stop(): Promise<void>;
}

const EVERY_MS = 5000;
const STOP_MS = 2000;
/** Sessions whose requests may wait. Those of any other are forgotten until the next round. */
const MOST_SESSIONS = 2000;
/** Of a session: what the store keeps. */
const MOST_REQUESTS = 50;
/** Writes at a time: requests stand behind them in the store. */
const AT_ONCE = 4;

export function createRecentRequests(options: RecentRequestsOptions): RecentRequests {
  return new Keeper(options);
}

class Keeper implements RecentRequests {
  readonly #options: RecentRequestsOptions;
  #channel: RecentChannel | undefined;
  /** By session, in the order in which they came. */
  #waiting = new Map<string, AuditEvent[]>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #failing = false;
  /** On the clock of `performance`: nothing is written after it. */
  #until = Infinity;

  constructor(options: RecentRequestsOptions) {
    this.#options = options;
  }

  over(trail: AuditTrail): AuditTrail {
    return {
      record: (event) => {
        trail.record(event);
        if (this.#channel !== undefined) this.#note(event);
      },
      // Nothing has been answered, so there is nothing to show yet.
      recordAhead: (event) => trail.recordAhead(event),
      get blocked() {
        return trail.blocked;
      },
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

  /** This is still the way of a request: nothing is made of the event here, and a session costs a look-up and a push. */
  #note(event: AuditEvent): void {
    const session = sessionOf(event);
    if (session === undefined) return;
    const noted = this.#waiting.get(session);
    if (noted !== undefined) {
      noted.push(event);
      if (noted.length >= 2 * MOST_REQUESTS) noted.splice(0, MOST_REQUESTS);
    } else if (this.#waiting.size < MOST_SESSIONS) {
      this.#waiting.set(session, [event]);
    }
    if (this.#timer === undefined && this.#round === undefined) this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#round = this.#goRound();
    }, this.#options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  async #goRound(): Promise<void> {
    if (this.#channel !== undefined) await this.#write(this.#channel);
    this.#round = undefined;
    if (this.#channel !== undefined && this.#waiting.size > 0) this.#wait();
  }

  /** Never rejects. Ends with the first failure: a store that is away would let thousands wait for it in turn. */
  async #write(channel: RecentChannel): Promise<void> {
    const sessions = this.#waiting.entries();
    this.#waiting = new Map();
    let fault: unknown;
    // Several share one iterator, so that each session is written by one of them.
    const inTurn = async (): Promise<void> => {
      for (const [session, events] of sessions) {
        if (fault !== undefined || performance.now() > this.#until) return;
        try {
          await channel.add(session, shown(events));
        } catch (error) {
          fault = error;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, inTurn));
    if (fault !== undefined && !this.#failing) this.#options.logger.info({ err: fault }, NOT_KEPT);
    this.#failing = fault !== undefined;
  }
}

const NOT_KEPT = 'recent requests of sessions could not be kept; the record itself has them';

/** The newest of them, a stream by its end where that has come. */
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
