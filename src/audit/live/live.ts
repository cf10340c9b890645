/**
 * The live audit log: while a tail is open, each replica shows the others the events that match.
 *
 * It is a view next to the sinks and never delays them: an event that cannot be shown is dropped and counted, and
 * the tail reports the gap.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEvent } from '../../core/audit/event.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { AuditTrail } from '../types.ts';
import { encodeLine } from '../encode-line.ts';
import { matches, type LiveFilter } from './live-filter.ts';
import { answerQuestion, type Answerers } from './replica-questions.ts';

/** The filter of a tail, or a question to all replicas (`replica-questions.ts`). */
type Subscribed = LiveFilter & { readonly question?: string };

/** How replicas exchange events; the `store` module implements it. */
export interface LiveChannel {
  /**
   * Returns the subscriptions of the tails of all replicas.
   * @param replica incarnation of this replica
   */
  subscriptions(
    replica: string,
  ): Promise<readonly { readonly id: string; readonly filter: Subscribed; readonly accepted: boolean }[]>;
  /** Confirms that this replica publishes events for these subscriptions from now on. */
  accept(replica: string, subscriptions: readonly string[]): Promise<void>;
  /** Resolves when there may be a new subscription, or when `signal` aborts. */
  waitForSubscription(signal: AbortSignal): Promise<void>;
  /** Publishes in order. Rejects if that failed. */
  publish(texts: readonly string[]): Promise<void>;
}

export interface LiveAuditLogOptions {
  readonly metrics: { auditEvent(sink: 'live', outcome: 'written' | 'dropped', events: number): void };
  readonly logger: Pick<Logger, 'info'>;
  /** What this replica answers when another one asks. Default: nothing. */
  readonly answerers?: Answerers;
  /** Interval of polls for subscriptions, if no notification arrives. Default: a second. */
  readonly pollMs?: number;
}

export interface LiveAuditLog {
  /** Wraps a trail so that its events are shown as well. */
  wrap(trail: AuditTrail): AuditTrail;
  /**
   * Polls for subscriptions from now on.
   * @param replica the incarnation by which the others know this replica
   */
  start(channel: LiveChannel, replica: string): void;
  /** Publishes what is queued, once, and stops. Never rejects. */
  stop(): Promise<void>;
}

const POLL_MS = 1000;
/** Shortest time between two polls. */
const MIN_POLL_MS = 10;
/** Events that may wait. A second's worth at the busiest replica; more are dropped. */
const MOST_WAITING = 1000;
/** Few enough for the store to finish them immediately: requests wait behind them. */
const BATCH = 25;
/** Between two batches: sealing a thousand lines per second takes a tenth of a core, and no user reads more. */
const PAUSE_MS = 20;
/** Characters. Longer than any line that the header limit allows. */
const LONGEST_LINE = 128 * 1024;
/** Events within this time are published together. */
const GATHER_MS = 50;

export function createLiveAuditLog(options: LiveAuditLogOptions): LiveAuditLog {
  return new Publisher(options);
}

class Publisher implements LiveAuditLog {
  readonly #options: LiveAuditLogOptions;
  #channel: LiveChannel | undefined;
  #filters: readonly LiveFilter[] = [];
  /** Checked for each event, and the only cost while no tail is open. */
  #hasSubscribers = false;
  #waiting: AuditEvent[] = [];
  #dropped = 0;
  /** Questions of other replicas that are being answered. */
  readonly #answering = new Set<string>();
  readonly #stopping = new AbortController();
  #gathering: NodeJS.Timeout | undefined;
  #publishing: Promise<void> | undefined;

  constructor(options: LiveAuditLogOptions) {
    this.#options = options;
  }

  wrap(trail: AuditTrail): AuditTrail {
    const offer = (event: AuditEvent): void => {
      trail.record(event);
      if (this.#hasSubscribers) this.#offer(event);
    };
    return {
      record: offer,
      // Not shown: a moment later the same request is recorded with its outcome, and would appear twice.
      recordAhead: (event) => trail.recordAhead(event),
      get blocked() {
        return trail.blocked;
      },
      backlogged: (account) => trail.backlogged(account),
      flush: () => trail.flush(),
      close: () => trail.close(),
    };
  }

  start(channel: LiveChannel, replica: string): void {
    this.#channel = channel;
    void this.#poll(channel, replica);
  }

  async stop(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    this.#hasSubscribers = false;
    this.#stopping.abort();
    clearTimeout(this.#gathering);
    await this.#publishing;
    if (channel !== undefined) await this.#publishRest(channel);
    this.#waiting = [];
  }

  async #poll(channel: LiveChannel, replica: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const examined = new AbortController();
      const signal = AbortSignal.any([this.#stopping.signal, examined.signal]);
      // Listens first, then reads, so that a subscription in between is not missed.
      const notified = channel.waitForSubscription(signal);
      await this.#refresh(channel, replica);
      const pause = delay(this.#options.pollMs ?? POLL_MS, undefined, { signal, ref: false });
      await Promise.race([notified, pause]).catch(() => undefined);
      examined.abort();
      // Subscriptions that arrive together are found together.
      await delay(MIN_POLL_MS, undefined, { ref: false });
    }
  }

  /** An unavailable store changes nothing: the tails may be there again in a moment. */
  async #refresh(channel: LiveChannel, replica: string): Promise<void> {
    try {
      const subscriptions = await channel.subscriptions(replica);
      if (this.#channel === undefined) return;
      const tails = subscriptions.filter(({ filter }) => filter.question === undefined);
      this.#filters = tails.map(({ filter }) => filter);
      this.#hasSubscribers = this.#filters.length > 0;
      for (const { id, filter, accepted } of subscriptions)
        if (!accepted && filter.question !== undefined) void this.#answer(channel, replica, id, filter.question);
      // Only now: a tail reports that it is complete once all replicas have accepted it.
      const added = tails.filter(({ accepted }) => !accepted);
      if (added.length > 0)
        await channel.accept(
          replica,
          added.map(({ id }) => id),
        );
    } catch {
      // The store itself reports this, and so does every other module that needs it.
    }
  }

  /** Never rejects: the replica that asked says that this one's part is missing. */
  async #answer(channel: LiveChannel, by: string, subscription: string, text: string): Promise<void> {
    if (this.#answering.has(subscription)) return;
    this.#answering.add(subscription);
    try {
      const answer = await answerQuestion(this.#options.answerers ?? new Map(), { subscription, text, by });
      if (answer !== undefined) await channel.publish([answer]);
      // Not before: it is not looked at again.
      await channel.accept(by, [subscription]);
    } catch (error) {
      this.#options.logger.info({ err: error }, 'a question of another replica could not be answered');
    } finally {
      this.#answering.delete(subscription);
    }
  }

  /** Only queues the event: filtering and encoding happen later, off the path of a request. */
  #offer(event: AuditEvent): void {
    if (this.#waiting.length >= MOST_WAITING) return this.#drop(1);
    this.#waiting.push(event);
    if (this.#gathering !== undefined || this.#publishing !== undefined) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      this.#publishing = this.#publishAll();
    }, GATHER_MS);
    this.#gathering.unref();
  }

  async #publishAll(): Promise<void> {
    while (this.#waiting.length > 0 && this.#channel !== undefined) {
      await this.#publishOnce(this.#channel);
      await delay(PAUSE_MS);
    }
    this.#publishing = undefined;
  }

  async #publishRest(channel: LiveChannel): Promise<void> {
    while (this.#waiting.length > 0) if (!(await this.#publishOnce(channel))) return;
  }

  /** @returns false if the channel did not accept it */
  async #publishOnce(channel: LiveChannel): Promise<boolean> {
    const events = this.#nextBatch();
    const missing = this.#dropped;
    if (events.length === 0 && missing === 0) return true;
    try {
      const encoded = events.map((event) => encodeLine(event).toString().trimEnd());
      const lines = encoded.filter((line) => line.length <= LONGEST_LINE);
      await channel.publish(missing === 0 ? lines : [JSON.stringify({ dropped: missing }), ...lines]);
      this.#dropped -= missing;
      if (lines.length > 0) this.#options.metrics.auditEvent('live', 'written', lines.length);
      if (encoded.length > lines.length) this.#drop(encoded.length - lines.length);
      return true;
    } catch (error) {
      if (missing === 0) this.#options.logger.info({ err: error }, 'audit events could not be shown in live views');
      this.#drop(events.length);
      return false;
    }
  }

  /** Takes the next events from the front of the queue. */
  #nextBatch(): readonly AuditEvent[] {
    const subscriptions: AuditEvent[] = [];
    let examined = 0;
    for (const event of this.#waiting) {
      if (subscriptions.length === BATCH) break;
      if (this.#filters.some((filter) => matches(filter, event))) subscriptions.push(event);
      examined += 1;
    }
    this.#waiting.splice(0, examined);
    return subscriptions;
  }

  #drop(events: number): void {
    this.#dropped += events;
    this.#options.metrics.auditEvent('live', 'dropped', events);
  }
}
