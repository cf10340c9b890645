import { MOST_RECENT, newestOf } from '../recent.ts';
import type { RecentRequest, RecentStore } from '../store.ts';

export class MemoryRecent implements RecentStore {
  readonly #isAlive: (session: string) => boolean;
  readonly #added = new Map<string, readonly RecentRequest[]>();

  constructor(isAlive: (session: string) => boolean) {
    this.#isAlive = isAlive;
  }

  async add(session: string, requests: readonly RecentRequest[]): Promise<void> {
    if (!this.#isAlive(session)) return;
    // Twice as many as are shown, because a stream may be there twice, by its beginning and its end.
    const before = this.#added.get(session) ?? [];
    this.#added.set(session, [...before, ...structuredClone(requests)].slice(-2 * MOST_RECENT));
  }

  async read(session: string): Promise<readonly RecentRequest[]> {
    return this.#isAlive(session) ? structuredClone(newestOf(this.#added.get(session) ?? [])) : [];
  }

  /** Within the caller's tick. */
  drop(session: string): void {
    this.#added.delete(session);
  }
}
