/**
 * Tails of the live record that this replica serves. Each reads for itself from where it stands, and no faster than whoever it is for
 * takes it: nothing is buffered here for a slow reader.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEvent } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import { matches, type LiveFilter } from './live-filter.ts';

type SubscriptionResult = { readonly kind: 'stands' } | { readonly kind: 'new'; readonly position: string } | { readonly kind: 'full' };

/** Where the record is read; room `store` has it. */
export interface LiveSource {
  subscribe(tail: string, filter: TailFilter, limits: { readonly ttlMs: number; readonly most: number }): Promise<SubscriptionResult>;
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

/** Why something may be missing: the record did not reach back so far, a replica could not show all of its events, or one has not begun to. */
export type GapReason = 'too_old' | 'dropped' | 'replica_late';

/** What a tail sees next. `id` is where to go on from, also on another replica. */
export type TailItem =
  | { readonly kind: 'event'; readonly id: string; readonly line: string }
  | { readonly kind: 'gap'; readonly id: string; readonly reason: GapReason }
  /** Nothing for now. */
  | { readonly kind: 'idle'; readonly id: string };

export interface TailRequest {
  readonly filter: TailFilter;
  /** The `id` of an earlier item, to go on from there. */
  readonly after?: string;
  readonly signal: AbortSignal;
}

export interface LiveTails {
  /**
   * Resolves once every replica shows what is asked for, so that whoever is told then misses nothing of what comes; after two seconds without
   * that it begins with a gap (`replica_late`). Ends when `signal` aborts or this replica stops.
   * @throws AppError `bad_request` for an `after` that was never an id, `conflict` (`too_many_tails`) where there are enough, `fenced`
   *   once this replica is about to stop, `store_unavailable`
   */
  open(request: TailRequest): Promise<AsyncIterable<TailItem>>;
  /** Ends every tail and opens no other. */
  stop(): void;
}

/** Of one replica. */
export const MOST_TAILS_HERE = 10;

const LIMITS = {
  /** A wish stands so long without its replica: time enough to come back after a lost connection without missing anything. */
  ttlMs: 15_000,
  repeatMs: 5000,
  /** Between two looks for something new. */
  pollMs: 250,
  /** How long a tail waits for all replicas: two of their own looks. One that has just died stands in the registry for longer. */
  takeUpMs: 2000,
  /** Between two looks whether they have. */
  takeUpPollMs: 20,
  /** Few, because each may be as long as a request's head, and requests stand behind them in the store. */
  batch: 25,
  mostHere: MOST_TAILS_HERE,
  most: 50,
};

/** @param limits only tests have others */
export function createLiveTails(source: LiveSource, limits: Partial<typeof LIMITS> = {}): LiveTails {
  const stopping = new AbortController();
  const chosen = { ...LIMITS, ...limits };
  let open = 0;
  return {
    async open({ filter, after, signal }) {
      if (stopping.signal.aborted)
        throw new AppError('fenced', 'This replica is about to stop. Try again in a moment.');
      if (open >= chosen.mostHere) throw tooManyTails();
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
  new AppError('conflict', 'Enough people tail the record already. End another tail, or try again in a moment.', {
    reason: 'too_many_tails',
  });

interface TailOptions extends Readonly<typeof LIMITS> {
  readonly filter: TailFilter;
  readonly signal: AbortSignal;
}

interface Begun {
  readonly gap: GapReason | undefined;
}

class Tail {
  readonly #source: LiveSource;
  readonly #options: TailOptions;
  #name = randomBytes(16).toString('base64url');
  #position = '';
  #wantedAt = 0;

  constructor(source: LiveSource, options: TailOptions) {
    this.#source = source;
    this.#options = options;
  }

  async begin(after: string | undefined): Promise<Begun> {
    if (after === undefined) {
      this.#position = (await this.#subscribe()) ?? '';
      return { gap: (await this.#takenUp()) ? undefined : 'replica_late' };
    }
    // A place and the tail that stood there. Whose tail that was does not matter: the wish counts only with the same filter.
    const [, position = '', name = ''] = /^(\d{1,16}-\d{1,10})\.([\w-]{22})$/.exec(after) ?? [];
    if (position === '') {
      throw new AppError('bad_request', 'Last-Event-ID: not an id of this record', { reason: 'event_id_malformed' });
    }
    this.#name = name;
    this.#position = position;
    if ((await this.#subscribe()) === undefined) return { gap: undefined };
    await this.#takenUp();
    return { gap: 'too_old' };
  }

  /** Waits until every replica shows what is asked for. @returns false where one has not said so in time */
  async #takenUp(): Promise<boolean> {
    const { takeUpMs, takeUpPollMs, signal } = this.#options;
    const end = performance.now() + takeUpMs;
    while (!signal.aborted) {
      if (await this.#isAcceptedByAll()) return true;
      if (performance.now() >= end) return false;
      await delay(takeUpPollMs, undefined, { signal }).catch(() => undefined);
    }
    return true;
  }

  async *items({ gap }: Begun): AsyncGenerator<TailItem> {
    if (gap !== undefined) yield this.#gap(gap);
    let told = gap === 'too_old';
    while (!this.#options.signal.aborted) {
      try {
        if (await this.#lapsed()) yield this.#gap('too_old');
        const { entries, gap: missing } = await this.#source.read(this.#position, this.#options.batch);
        if (missing && !told) yield this.#gap('too_old');
        told = false;
        yield* this.#seen(entries);
        if (missing && entries.length === 0) await this.#beginAnew();
        if (entries.length === this.#options.batch) continue;
      } catch (error) {
        // The place stands; whether something was missed meanwhile shows when the store is back.
        if (!(error instanceof AppError && error.code === 'store_unavailable')) throw error;
      }
      yield { kind: 'idle', id: this.#id };
      await delay(this.#options.pollMs, undefined, { signal: this.#options.signal }).catch(() => undefined);
    }
  }

  *#seen(entries: readonly { readonly position: string; readonly text?: string }[]): Generator<TailItem> {
    for (const { position, text } of entries) {
      this.#position = position;
      const event = text === undefined ? undefined : (JSON.parse(text) as AuditEvent | { readonly dropped: number });
      if (text === undefined || event === undefined) continue;
      if ('dropped' in event) yield this.#gap('dropped');
      else if (matches(this.#options.filter, event)) yield { kind: 'event', id: this.#id, line: text };
    }
  }

  /** Repeats the wish when it is time. @returns whether it had been forgotten meanwhile, so that events went unseen */
  async #lapsed(): Promise<boolean> {
    if (performance.now() - this.#wantedAt < this.#options.repeatMs) return false;
    return (await this.#subscribe()) !== undefined;
  }

  /** The record itself is gone: a place in it is needed, or every look would find the same gap. */
  async #beginAnew(): Promise<void> {
    await this.#source.unsubscribe(this.#name);
    this.#position = (await this.#subscribe()) ?? this.#position;
  }

  /** A store that hesitates has not said so. */
  async #isAcceptedByAll(): Promise<boolean> {
    try {
      return await this.#source.isAcceptedByAll(this.#name);
    } catch (error) {
      if (error instanceof AppError && error.code === 'store_unavailable') return false;
      throw error;
    }
  }

  /** @returns the place from which on it is seen to; undefined where it was before */
  async #subscribe(): Promise<string | undefined> {
    const { filter, ttlMs, most } = this.#options;
    const id = await this.#source.subscribe(this.#name, filter, { ttlMs, most });
    if (id.kind === 'full') throw tooManyTails();
    this.#wantedAt = performance.now();
    return id.kind === 'new' ? id.position : undefined;
  }

  #gap(reason: GapReason): TailItem {
    return { kind: 'gap', id: this.#id, reason };
  }

  get #id(): string {
    return `${this.#position}.${this.#name}`;
  }
}
