/**
 * The live record: while somebody tails, each replica shows the others what they want to see of its events.
 *
 * It is a view, beside the sinks and never in their way: what cannot be shown is dropped and counted, and who tails is told of the gap.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEvent } from '../../core/audit/event.ts';
import type { AuditLog, AuditTrail } from '../types.ts';
import { encodeLine } from '../encode-line.ts';
import { matches, type LiveFilter } from './live-filter.ts';

/** Where replicas meet; room `store` has it. */
export interface LiveChannel {
  /** What the tails of all replicas want to see now. @param replica this one's incarnation */
  subscriptions(
    replica: string,
  ): Promise<readonly { readonly id: string; readonly filter: LiveFilter; readonly accepted: boolean }[]>;
  /** This replica shows from now on what these wishes are about. */
  accept(replica: string, subscriptions: readonly string[]): Promise<void>;
  /** Resolves when there may be a new wish, or when `signal` aborts. */
  waitForSubscription(signal: AbortSignal): Promise<void>;
  /** In order. Rejects where it could not be. */
  publish(texts: readonly string[]): Promise<void>;
}

export interface LiveAuditLogOptions {
  readonly metrics: { auditEvent(sink: 'live', outcome: 'written' | 'dropped', events: number): void };
  readonly logger: Pick<AuditLog, 'info'>;
  /** How often it is asked whether somebody tails, where no word of it comes before. Default: a second. */
  readonly lookMs?: number;
}

export interface LiveAuditLog {
  /** The same trail, whose events are shown besides. */
  over(trail: AuditTrail): AuditTrail;
  /** Looks from now on whether somebody tails. @param replica the incarnation by which the others know this one */
  start(channel: LiveChannel, replica: string): void;
  /** Shows what is queued, once, and stops. Never rejects. */
  stop(): Promise<void>;
}

const LOOK_MS = 1000;
/** Shortest time between two looks. */
const SOON_MS = 10;
/** Events that may wait. A second's worth at the busiest replica; beyond it they are dropped. */
const MOST_WAITING = 1000;
/** Few enough for the store to be done with them at once: requests stand behind them. */
const BATCH = 25;
/** Between two batches: sealing a thousand lines a second is a tenth of a core, and nobody reads more. */
const PACE_MS = 20;
/** Characters. Longer than what the header limit lets a line of the record become. */
const LONGEST_LINE = 128 * 1024;
/** What comes within it goes together. */
const GATHER_MS = 50;

export function createLiveAuditLog(options: LiveAuditLogOptions): LiveAuditLog {
  return new Publisher(options);
}

class Publisher implements LiveAuditLog {
  readonly #options: LiveAuditLogOptions;
  #channel: LiveChannel | undefined;
  #filters: readonly LiveFilter[] = [];
  /** What each event's way is asked, and all that it costs while nobody tails. */
  #wanted = false;
  #waiting: AuditEvent[] = [];
  #dropped = 0;
  readonly #stopping = new AbortController();
  #gathering: NodeJS.Timeout | undefined;
  #publishing: Promise<void> | undefined;

  constructor(options: LiveAuditLogOptions) {
    this.#options = options;
  }

  over(trail: AuditTrail): AuditTrail {
    const offer = (event: AuditEvent): void => {
      trail.record(event);
      if (this.#wanted) this.#offer(event);
    };
    return {
      record: offer,
      // Not shown: a moment later the same request comes with its outcome, and would stand there twice.
      recordAhead: (event) => trail.recordAhead(event),
      get blocked() {
        return trail.blocked;
      },
      flush: () => trail.flush(),
      close: () => trail.close(),
    };
  }

  start(channel: LiveChannel, replica: string): void {
    this.#channel = channel;
    void this.#lookOn(channel, replica);
  }

  async stop(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    this.#wanted = false;
    this.#stopping.abort();
    clearTimeout(this.#gathering);
    await this.#publishing;
    if (channel !== undefined) await this.#publishRest(channel);
    this.#waiting = [];
  }

  async #lookOn(channel: LiveChannel, replica: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const looked = new AbortController();
      const signal = AbortSignal.any([this.#stopping.signal, looked.signal]);
      // Listen first, then look: a wish that comes in between is heard.
      const told = channel.waitForSubscription(signal);
      await this.#look(channel, replica);
      const pause = delay(this.#options.lookMs ?? LOOK_MS, undefined, { signal, ref: false });
      await Promise.race([told, pause]).catch(() => undefined);
      looked.abort();
      // Wishes that come together are found together.
      await delay(SOON_MS, undefined, { ref: false });
    }
  }

  /** A store that is away changes nothing: who tailed may be there again in a moment. */
  async #look(channel: LiveChannel, replica: string): Promise<void> {
    try {
      const subscriptions = await channel.subscriptions(replica);
      if (this.#channel === undefined) return;
      this.#filters = subscriptions.map(({ filter }) => filter);
      this.#wanted = this.#filters.length > 0;
      // Only now: who tails is told that everything is seen once all replicas have said so.
      const anew = subscriptions.filter(({ accepted }) => !accepted);
      if (anew.length > 0)
        await channel.accept(
          replica,
          anew.map(({ id }) => id),
        );
    } catch {
      // Said by the store itself, and by whatever else needs it.
    }
  }

  /** Nothing is judged or encoded here: this is still the way of a request. */
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
      await delay(PACE_MS);
    }
    this.#publishing = undefined;
  }

  async #publishRest(channel: LiveChannel): Promise<void> {
    while (this.#waiting.length > 0) if (!(await this.#publishOnce(channel))) return;
  }

  /** @returns false where the channel did not take it */
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
      if (missing === 0) this.#options.logger.info({ err: error }, 'events could not be shown to who tails the record');
      this.#drop(events.length);
      return false;
    }
  }

  /** Takes from the front of what waits. */
  #nextBatch(): readonly AuditEvent[] {
    const subscriptions: AuditEvent[] = [];
    let looked = 0;
    for (const event of this.#waiting) {
      if (subscriptions.length === BATCH) break;
      if (this.#filters.some((filter) => matches(filter, event))) subscriptions.push(event);
      looked += 1;
    }
    this.#waiting.splice(0, looked);
    return subscriptions;
  }

  #drop(events: number): void {
    this.#dropped += events;
    this.#options.metrics.auditEvent('live', 'dropped', events);
  }
}
