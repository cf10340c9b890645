import type { Clock } from '../../contracts/clock.ts';
import type { LiveEntry, LiveFilter, LiveLimits, LiveAuditLog, Subscription, SubscriptionState } from '../store.ts';

const MOST_ENTRIES = 1000;

interface Wish {
  readonly filter: LiveFilter;
  /** Milliseconds. */
  readonly until: number;
  /** Incarnations. */
  readonly takenBy: Set<string>;
}

/** The same text for the same filter. */
const spelled = (filter: LiveFilter): string => JSON.stringify(filter, Object.keys(filter).toSorted());
const wishName = (tail: string, filter: LiveFilter): string => `${tail} ${spelled(filter)}`;

export class MemoryLive implements LiveAuditLog {
  readonly #clock: Clock;
  readonly #replicas: () => Iterable<string>;
  readonly #wishes = new Map<string, Wish>();
  readonly #waiters = new Set<() => void>();
  #entries: LiveEntry[] = [];
  #count = 0;

  /** @param replicas incarnations of the registry */
  constructor(clock: Clock, replicas: () => Iterable<string>) {
    this.#clock = clock;
    this.#replicas = replicas;
  }

  async want(tail: string, filter: LiveFilter, { ttlMs, most }: LiveLimits): Promise<SubscriptionState> {
    this.#forget();
    const before = this.#wishes.get(tail);
    if (this.#wishes.size - (before === undefined ? 0 : 1) >= most) return { kind: 'full' };
    const stands = before !== undefined && spelled(before.filter) === spelled(filter);
    const takenBy = stands ? before.takenBy : new Set<string>();
    this.#wishes.set(tail, { filter: { ...filter }, until: this.#clock.now() + ttlMs, takenBy });
    if (stands) return { kind: 'stands' };
    for (const waiter of this.#waiters) waiter();
    return { kind: 'new', place: this.#add() };
  }

  async leave(tail: string): Promise<void> {
    this.#wishes.delete(tail);
  }

  async wanted(replica: string): Promise<readonly Subscription[]> {
    this.#forget();
    return [...this.#wishes].map(([tail, wish]) => ({
      wish: wishName(tail, wish.filter),
      filter: wish.filter,
      taken: wish.takenBy.has(replica),
    }));
  }

  async takeUp(replica: string, wishes: readonly string[]): Promise<void> {
    for (const [tail, { filter, takenBy }] of this.#wishes) {
      if (wishes.includes(wishName(tail, filter))) takenBy.add(replica);
    }
  }

  async isTakenUp(tail: string): Promise<boolean> {
    this.#forget();
    const wish = this.#wishes.get(tail);
    return wish !== undefined && [...this.#replicas()].every((replica) => wish.takenBy.has(replica));
  }

  async waitForWish(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => resolve();
    this.#waiters.add(waiter);
    signal.addEventListener('abort', waiter, { once: true });
    await promise;
    this.#waiters.delete(waiter);
    signal.removeEventListener('abort', waiter);
  }

  async publish(texts: readonly string[]): Promise<void> {
    this.#forget();
    if (this.#wishes.size === 0) this.#entries = [];
    else for (const text of texts) this.#add(text);
  }

  async read(place: string, limit: number): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }> {
    const after = numberOf(place);
    const gap = !this.#entries.some((entry) => entry.place === place);
    const entries = this.#entries.filter((entry) => numberOf(entry.place) > after).slice(0, limit);
    return { entries, gap };
  }

  #add(text?: string): string {
    this.#count += 1;
    const place = `${this.#count}-0`;
    this.#entries.push(text === undefined ? { place } : { place, text });
    if (this.#entries.length > MOST_ENTRIES) this.#entries.shift();
    return place;
  }

  #forget(): void {
    const now = this.#clock.now();
    for (const [tail, { until }] of this.#wishes) if (until <= now) this.#wishes.delete(tail);
  }
}

const numberOf = (place: string): number => Number(place.split('-', 1)[0]);
