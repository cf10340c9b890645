/**
 * Tails of the live audit log that this replica serves. Each reads from its own position, and no faster than its
 * client: nothing is buffered here for a slow reader.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEvent } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import { matches, type LiveFilter } from './live-filter.ts';

type SubscriptionResult =
  | { readonly kind: 'stands' }
  | { readonly kind: 'new'; readonly position: string }
  | { readonly kind: 'full' };

/** Source of the events; the `store` module implements it. */
export interface LiveSource {
  subscribe(
    tail: string,
    filter: TailFilter,
    limits: { readonly ttlMs: number; readonly most: number },
  ): Promise<SubscriptionResult>;
  unsubscribe(tail: string): Promise<void>;
  isAcceptedByAll(tail: string): Promise<boolean>;
  read(
    position: string,
    limit: number,
  ): Promise<{
    readonly entries: readonly { readonly position: string; readonly text?: string }[];
    readonly gap: boolean;
  }>;
}

type TailFilter = Readonly<Record<string, string>> & LiveFilter;

/**
 * Why events may be missing: the log did not reach back far enough, a replica could not show all of its events, or
 * a replica has not begun to.
 */
export type GapReason = 'too_old' | 'dropped' | 'replica_late';

/** The next item of a tail. `id` is where to continue, on any replica. */
export type TailItem =
  | { readonly kind: 'event'; readonly id: string; readonly line: string }
  | { readonly kind: 'gap'; readonly id: string; readonly reason: GapReason }
  /** Nothing for now. */
  | { readonly kind: 'idle'; readonly id: string };

export interface TailRequest {
  readonly filter: TailFilter;
  /** The `id` of an earlier item, to continue from there. */
  readonly after?: string;
  readonly signal: AbortSignal;
}

export interface LiveTails {
  /**
   * Resolves once every replica publishes matching events, so that the client misses none from then on. After two
   * seconds without that it begins with a gap (`replica_late`). Ends when `signal` aborts or this replica stops.
   * @throws AppError `bad_request` for an `after` that was never an id, `conflict` (`too_many_tails`) if there are
   * enough, `fenced` once this replica is about to stop, `store_unavailable`
   */
  open(request: TailRequest): Promise<AsyncIterable<TailItem>>;
  /** Ends every tail and opens no other. */
  stop(): void;
}

/** Most tails of one replica. */
export const MOST_TAILS_OF_REPLICA = 10;

const LIMITS = {
  /**
   * How long a subscription outlives its replica: enough to reconnect after a lost connection without missing
   * anything.
   */
  ttlMs: 15_000,
  repeatMs: 5000,
  /** Between two polls for new events. */
  pollMs: 250,
  /**
   * How long a tail waits for all replicas: two of their polls. A replica that has just died stays in the registry
   * for longer.
   */
  acceptMs: 2000,
  /** Between two checks whether they have accepted. */
  acceptPollMs: 20,
  /** Few, because each may be as long as a request's head, and requests wait behind them in the store. */
  batch: 25,
  mostOfReplica: MOST_TAILS_OF_REPLICA,
  most: 50,
};

/** @param limits only tests set others */
export function createLiveTails(source: LiveSource, limits: Partial<typeof LIMITS> = {}): LiveTails {
  const stopping = new AbortController();
  const chosen = { ...LIMITS, ...limits };
  let open = 0;
  return {
    async open({ filter, after, signal }) {
      if (stopping.signal.aborted)
        throw new AppError('fenced', 'This replica is about to stop. Try again in a moment.');
      if (open >= chosen.mostOfReplica) throw tooManyTails();
      open += 1;
      const ended = AbortSignal.any([signal, stopping.signal]);
      const release = (): void => {
        open -= 1;
      };
      const tail = new Tail(source, { ...chosen, filter, signal: ended });
      try {
        const begun = await tail.begin(after);
        if (ended.aborted) release();
        else ended.addEventListener('abort', release, { once: true });
        return tail.items(begun);
      } catch (error) {
        release();
        throw error;
      }
    },
    stop: () => stopping.abort(),
  };
}

export const tooManyTails = (): AppError =>
  new AppError('conflict', 'Too many tails of the audit log are open. Close another one, or try again in a moment.', {
    reason: 'too_many_tails',
  });

interface TailOptions extends Readonly<typeof LIMITS> {
  readonly filter: TailFilter;
  readonly signal: AbortSignal;
}

interface Begun {
  readonly gap: GapReason | undefined;
}

type LivePublished = AuditEvent | { readonly dropped: number } | { readonly answers: string };

class Tail {
  readonly #source: LiveSource;
  readonly #options: TailOptions;
  #name = randomBytes(16).toString('base64url');
  #position = '';
  #subscribedAt = 0;

  constructor(source: LiveSource, options: TailOptions) {
    this.#source = source;
    this.#options = options;
  }

  async begin(after: string | undefined): Promise<Begun> {
    if (after === undefined) {
      this.#position = (await this.#subscribe()) ?? '';
      return { gap: (await this.#waitForAll()) ? undefined : 'replica_late' };
    }
    // A position and the name of the tail that was there. Whose tail it was does not matter: the subscription
    // counts only with the same filter.
    const [, position = '', name = ''] = /^(\d{1,16}-\d{1,10})\.([\w-]{22})$/.exec(after) ?? [];
    if (position === '') {
      throw new AppError('bad_request', 'Last-Event-ID: not an id of this audit log', { reason: 'event_id_malformed' });
    }
    this.#name = name;
    this.#position = position;
    if ((await this.#subscribe()) === undefined) return { gap: undefined };
    await this.#waitForAll();
    return { gap: 'too_old' };
  }

  /**
   * Waits until every replica publishes matching events.
   * @returns false if one has not accepted in time
   */
  async #waitForAll(): Promise<boolean> {
    const { acceptMs, acceptPollMs, signal } = this.#options;
    const end = performance.now() + acceptMs;
    while (!signal.aborted) {
      if (await this.#isAcceptedByAll()) return true;
      if (performance.now() >= end) return false;
      await delay(acceptPollMs, undefined, { signal }).catch(() => undefined);
    }
    return true;
  }

  async *items({ gap }: Begun): AsyncGenerator<TailItem> {
    if (gap !== undefined) yield this.#gap(gap);
    let reported = gap === 'too_old';
    while (!this.#options.signal.aborted) {
      try {
        if (await this.#lapsed()) yield this.#gap('too_old');
        const { entries, gap: missing } = await this.#source.read(this.#position, this.#options.batch);
        if (missing && !reported) yield this.#gap('too_old');
        reported = false;
        yield* this.#seen(entries);
        if (missing && entries.length === 0) await this.#resubscribe();
        if (entries.length === this.#options.batch) continue;
      } catch (error) {
        // The position stays; whether events were missed meanwhile shows when the store is back.
        if (!(error instanceof AppError && error.code === 'store_unavailable')) throw error;
      }
      yield { kind: 'idle', id: this.#id };
      await delay(this.#options.pollMs, undefined, { signal: this.#options.signal }).catch(() => undefined);
    }
  }

  *#seen(entries: readonly { readonly position: string; readonly text?: string }[]): Generator<TailItem> {
    for (const { position, text } of entries) {
      this.#position = position;
      const event = text === undefined ? undefined : (JSON.parse(text) as LivePublished);
      if (text === undefined || event === undefined) continue;
      // To a question to all replicas, which has its own reader.
      if ('answers' in event) continue;
      if ('dropped' in event) yield this.#gap('dropped');
      else if (matches(this.#options.filter, event)) yield { kind: 'event', id: this.#id, line: text };
    }
  }

  /**
   * Renews the subscription when it is time.
   * @returns whether it had expired meanwhile, so that events were missed
   */
  async #lapsed(): Promise<boolean> {
    if (performance.now() - this.#subscribedAt < this.#options.repeatMs) return false;
    return (await this.#subscribe()) !== undefined;
  }

  /**
   * Subscribes again after the log itself has been dropped: without a position in it, every poll would find the
   * same gap.
   */
  async #resubscribe(): Promise<void> {
    await this.#source.unsubscribe(this.#name);
    this.#position = (await this.#subscribe()) ?? this.#position;
  }

  /** A store that hesitates counts as not accepted. */
  async #isAcceptedByAll(): Promise<boolean> {
    try {
      return await this.#source.isAcceptedByAll(this.#name);
    } catch (error) {
      if (error instanceof AppError && error.code === 'store_unavailable') return false;
      throw error;
    }
  }

  /** @returns the position from which events are shown; undefined if the subscription was valid before */
  async #subscribe(): Promise<string | undefined> {
    const { filter, ttlMs, most } = this.#options;
    const id = await this.#source.subscribe(this.#name, filter, { ttlMs, most });
    if (id.kind === 'full') throw tooManyTails();
    this.#subscribedAt = performance.now();
    return id.kind === 'new' ? id.position : undefined;
  }

  #gap(reason: GapReason): TailItem {
    return { kind: 'gap', id: this.#id, reason };
  }

  get #id(): string {
    return `${this.#position}.${this.#name}`;
  }
}
