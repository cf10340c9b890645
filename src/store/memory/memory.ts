/**
 * The store for one process, for the demo and for trying things out: nothing is shared and nothing survives. The same rules as in
 * Redis; each method runs within one tick, which is what makes it atomic here.
 */
import type { Clock } from '../clock.ts';
import type { Store } from '../store.ts';
import { MemoryArtefacts } from './artefacts.ts';
import { MemoryLog } from './log.ts';
import { MemorySessions } from './sessions.ts';

/** @returns an empty store that begins a new epoch */
export function createMemoryStore({ clock }: { readonly clock: Clock }): Store {
  const artefacts = new MemoryArtefacts(clock);
  const sessions = new MemorySessions({
    clock,
    log: (): MemoryLog => log,
    dropArtefacts: (session) => artefacts.dropOfSession(session),
  });
  const log = new MemoryLog(clock, (target) => sessions.endCovered(target));
  return {
    artefacts,
    sessions,
    log,
    ping: async () => {},
    close: async () => log.wake(),
  };
}
