/**
 * The store for one process, for the demo and for trying things out: nothing is shared and nothing survives. It
 * has the same rules as the Redis store. Each method runs within one tick, which makes it atomic.
 */
import { accountKey } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Store, AnchorStore, RecentRequest, RecentStore } from '../store.ts';
import { MemoryAccess } from './access.ts';
import { MemoryArtefacts, type MemoryArtefactsOptions } from './artefacts.ts';
import { FreshMarks } from './fresh-marks.ts';
import { MemoryLive } from './live.ts';
import { MemoryLocks } from './locks.ts';
import { MemoryLog } from './log.ts';
import { MemorySessions } from './sessions.ts';
import { MOST_RECENT, newestOf, newestSeconds } from '../recent.ts';

/** Recent requests of sessions in memory. */
class MemoryRecent implements RecentStore {
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

  readEach(sessions: readonly string[]): Promise<readonly (readonly RecentRequest[])[]> {
    return Promise.all(sessions.map((session) => this.read(session)));
  }

  /** Within the caller's tick. */
  drop(session: string): void {
    this.#added.delete(session);
  }
}

/** The anchors of the audit log in memory. */
const MOST_CHAINS = 1000;

class MemoryAnchors implements AnchorStore {
  /** In the order of their last `put`. */
  readonly #anchors = new Map<string, string>();

  async put(chain: string, anchor: string): Promise<void> {
    this.#anchors.delete(chain);
    this.#anchors.set(chain, anchor);
    const [oldest] = this.#anchors.keys();
    if (this.#anchors.size > MOST_CHAINS && oldest !== undefined) this.#anchors.delete(oldest);
  }

  async list(): Promise<readonly string[]> {
    return [...this.#anchors.values()];
  }
}

/**
 * @returns an empty store in a new epoch, which is settled immediately because no other process can know more than
 * this one
 */
export function createMemoryStore({ clock, ...budget }: { readonly clock: Clock } & MemoryArtefactsOptions): Store {
  const artefacts = new MemoryArtefacts(clock, budget);
  const fresh = new FreshMarks(clock);
  const locks = new MemoryLocks((account) => log.notify({ kind: 'unlocked', key: accountKey(account) }));
  const sessions = new MemorySessions({
    clock,
    log: (): MemoryLog => log,
    locks,
    fresh,
    dropBelongings: (session) => {
      artefacts.dropOfSession(session);
      recent.drop(session);
    },
  });
  const recent = new MemoryRecent(sessions);
  const access = new MemoryAccess({ clock, sessions, locks, notify: (change) => log.notify(change) });
  const log = new MemoryLog({
    clock,
    sessions,
    locks,
    fresh,
    leftOfGrant: (grant) => access.leftOf(grant),
    openRequestsOf: (session) => access.countOpen(session),
    takeApproval: (id) => artefacts.takeNow('Approval', id) !== undefined,
  });
  return {
    artefacts,
    sessions,
    log,
    locks,
    freshSignIns: fresh,
    live: new MemoryLive(clock, () => log.replicas),
    anchors: new MemoryAnchors(),
    recent,
    access,
    // Nothing is sealed in memory.
    sealed: { reencrypt: async () => ({ kind: 'done', found: 0 }) },
    ping: async () => {},
    fullness: async () => undefined,
    close: async () => log.wake(),
  };
}
