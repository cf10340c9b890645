/** Recent requests of sessions in memory. */
import { MOST_RECENT, newestOf, newestSeconds } from '../recent.ts';
import type { RecentRequest, RecentStore } from '../store.ts';
import type { MemorySessions } from './sessions.ts';

export class MemoryRecent implements RecentStore {
  readonly #sessions: Pick<MemorySessions, 'isAlive' | 'requested'>;
  readonly #added = new Map<string, readonly RecentRequest[]>();

  constructor(sessions: Pick<MemorySessions, 'isAlive' | 'requested'>) {
    this.#sessions = sessions;
  }

  async add(session: string, requests: readonly RecentRequest[]): Promise<void> {
    if (requests.length === 0 || !this.#sessions.isAlive(session)) return;
    // Twice as many as are shown, because a stream may be there twice, by its beginning and its end.
    const before = this.#added.get(session) ?? [];
    this.#added.set(session, [...before, ...structuredClone(requests)].slice(-2 * MOST_RECENT));
    this.#sessions.requested(session, newestSeconds(requests));
  }

  async read(session: string, most = MOST_RECENT): Promise<readonly RecentRequest[]> {
    if (!this.#sessions.isAlive(session)) return [];
    return structuredClone(newestOf(this.#added.get(session) ?? []).slice(0, most));
  }

  /** Within the caller's tick. */
  drop(session: string): void {
    this.#added.delete(session);
  }
}
