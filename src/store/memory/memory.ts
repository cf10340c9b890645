/**
 * The store for one process, for the demo and for trying things out: nothing is shared and nothing survives. It
 * has the same rules as the Redis store. Each method runs within one tick, which makes it atomic.
 */
import { accountKey } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Store } from '../store.ts';
import { MemoryAccess } from './access.ts';
import { MemoryAnchors } from './anchors.ts';
import { MemoryArtefacts, type MemoryArtefactsOptions } from './artefacts.ts';
import { FreshMarks } from './fresh-marks.ts';
import { MemoryLive } from './live.ts';
import { MemoryLocks } from './locks.ts';
import { MemoryLog } from './log.ts';
import { MemoryRecent } from './recent.ts';
import { MemorySessions } from './sessions.ts';

/**
 * @returns an empty store in a new epoch, which is settled immediately because no other process can know more than
 * this one
 */
export function createMemoryStore({
  clock,
  providerClockSkew,
  ...budget
}: { readonly clock: Clock; readonly providerClockSkew?: number } & MemoryArtefactsOptions): Store {
  const artefacts = new MemoryArtefacts(clock, budget);
  const fresh = new FreshMarks(clock, providerClockSkew);
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
