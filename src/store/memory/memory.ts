/**
 * The store for one process, for the demo and for trying things out: nothing is shared and nothing survives. The same rules as in
 * Redis; each method runs within one tick, which is what makes it atomic here.
 */
import { accountKey } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Store } from '../store.ts';
import { MemoryAnchors } from './anchors.ts';
import { MemoryArtefacts, type MemoryArtefactsOptions } from './artefacts.ts';
import { FreshMarks } from './fresh-marks.ts';
import { MemoryLive } from './live.ts';
import { MemoryLocks } from './locks.ts';
import { MemoryLog } from './log.ts';
import { MemoryRecent } from './recent.ts';
import { MemorySessions } from './sessions.ts';

/** @returns an empty store that begins a new epoch, settled at once: there is nobody who could know more than it does */
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
  const recent = new MemoryRecent((session) => sessions.isAlive(session));
  const log = new MemoryLog({
    clock,
    sessions,
    locks,
    fresh,
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
    // Nothing is sealed here.
    sealed: { reseal: async () => ({ kind: 'looked', found: 0 }) },
    ping: async () => {},
    fullness: async () => undefined,
    close: async () => log.wake(),
  };
}
