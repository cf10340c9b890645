/** The live audit log in memory. */
import type { Clock } from '../../contracts/clock.ts';
import type { LiveEntry, LiveFilter, LiveLimits, LiveAuditLog, Subscription, SubscriptionState } from '../store.ts';

const MOST_ENTRIES = 1000;

interface HeldSubscription {
  readonly filter: LiveFilter;
  /** Epoch milliseconds. */
  readonly until: number;
  /** Incarnations. */
  readonly acceptedBy: Set<string>;
}

/** Returns the same text for equal filters. */
const canonicalFilter = (filter: LiveFilter): string => JSON.stringify(filter, Object.keys(filter).toSorted());
const subscriptionId = (tail: string, filter: LiveFilter): string => `${tail} ${canonicalFilter(filter)}`;

export class MemoryLive implements LiveAuditLog {
  readonly #clock: Clock;
  readonly #replicas: () => Iterable<string>;
  readonly #subscriptions = new Map<string, HeldSubscription>();
  readonly #waiters = new Set<() => void>();
  #entries: LiveEntry[] = [];
  #count = 0;

  /** @param replicas returns the incarnations of the registry */
  constructor(clock: Clock, replicas: () => Iterable<string>) {
    this.#clock = clock;
    this.#replicas = replicas;
  }

  async subscribe(tail: string, filter: LiveFilter, { ttlMs, most }: LiveLimits): Promise<SubscriptionState> {
    this.#forget();
    const before = this.#subscriptions.get(tail);
    if (this.#subscriptions.size - (before === undefined ? 0 : 1) >= most) return { kind: 'full' };
    const isUnchanged = before !== undefined && canonicalFilter(before.filter) === canonicalFilter(filter);
    const acceptedBy = isUnchanged ? before.acceptedBy : new Set<string>();
    this.#subscriptions.set(tail, { filter: { ...filter }, until: this.#clock.nowMs() + ttlMs, acceptedBy });
    if (isUnchanged) return { kind: 'stands' };
    for (const waiter of this.#waiters) waiter();
    return { kind: 'new', position: this.#add() };
  }

  async unsubscribe(tail: string): Promise<void> {
    this.#subscriptions.delete(tail);
  }

  async subscriptions(replica: string): Promise<readonly Subscription[]> {
    this.#forget();
    return [...this.#subscriptions].map(([tail, subscription]) => ({
      id: subscriptionId(tail, subscription.filter),
      filter: subscription.filter,
      accepted: subscription.acceptedBy.has(replica),
    }));
  }

  async accept(replica: string, subscriptions: readonly string[]): Promise<void> {
    for (const [tail, { filter, acceptedBy }] of this.#subscriptions) {
      if (subscriptions.includes(subscriptionId(tail, filter))) acceptedBy.add(replica);
    }
  }

  async isAcceptedByAll(tail: string): Promise<boolean> {
    this.#forget();
    const subscription = this.#subscriptions.get(tail);
    return subscription !== undefined && [...this.#replicas()].every((replica) => subscription.acceptedBy.has(replica));
  }

  async waitForSubscription(signal: AbortSignal): Promise<void> {
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
    if (this.#subscriptions.size === 0) this.#entries = [];
    else for (const text of texts) this.#add(text);
  }

  async read(
    position: string,
    limit: number,
  ): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }> {
    const after = numberOf(position);
    const gap = !this.#entries.some((entry) => entry.position === position);
    const entries = this.#entries.filter((entry) => numberOf(entry.position) > after).slice(0, limit);
    return { entries, gap };
  }

  #add(text?: string): string {
    this.#count += 1;
    const position = `${this.#count}-0`;
    this.#entries.push(text === undefined ? { position } : { position, text });
    if (this.#entries.length > MOST_ENTRIES) this.#entries.shift();
    return position;
  }

  #forget(): void {
    const now = this.#clock.nowMs();
    for (const [tail, { until }] of this.#subscriptions) if (until <= now) this.#subscriptions.delete(tail);
  }
}

const numberOf = (position: string): number => Number(position.split('-', 1)[0]);
