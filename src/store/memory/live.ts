import type { Clock } from '../clock.ts';
import type { LiveEntry, LiveFilter, LiveLimits, LiveRecord, LiveWish } from '../store.ts';

const MOST_ENTRIES = 1000;

interface Wish {
  readonly filter: LiveFilter;
  /** Milliseconds. */
  readonly until: number;
}

/** The same text for the same filter. */
const spelled = (filter: LiveFilter): string => JSON.stringify(filter, Object.keys(filter).toSorted());

export class MemoryLive implements LiveRecord {
  readonly #clock: Clock;
  readonly #wishes = new Map<string, Wish>();
  #entries: LiveEntry[] = [];
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async want(tail: string, filter: LiveFilter, { ttlMs, most }: LiveLimits): Promise<LiveWish> {
    this.#forget();
    const before = this.#wishes.get(tail);
    if (this.#wishes.size - (before === undefined ? 0 : 1) >= most) return { kind: 'full' };
    this.#wishes.set(tail, { filter: { ...filter }, until: this.#clock.now() + ttlMs });
    if (before !== undefined && spelled(before.filter) === spelled(filter)) return { kind: 'stands' };
    return { kind: 'new', place: this.#add() };
  }

  async leave(tail: string): Promise<void> {
    this.#wishes.delete(tail);
  }

  async wanted(): Promise<readonly LiveFilter[]> {
    this.#forget();
    return [...this.#wishes.values()].map(({ filter }) => filter);
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
