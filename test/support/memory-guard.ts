/** The revocation guard of a single replica, for tests that move the wall clock of the store alone. */
import {
  createRevocationGuard,
  type RevocationGuard,
  type RevocationGuardOptions,
} from '../../src/revocation/revocation.ts';
import type { Store } from '../../src/store/store.ts';

/** Returns a guard that has not started. */
export const memoryGuard = (
  { log, sessions }: Pick<Store, 'log' | 'sessions'>,
  more: Partial<RevocationGuardOptions> = {},
): RevocationGuard =>
  createRevocationGuard({
    log,
    sessions,
    stalenessSeconds: 2,
    longestTokenSeconds: 300,
    replicaName: 'a',
    monotonicMs: () => performance.now(),
    // Not the one that tests move: a jump of it is a fence.
    clock: { nowMs: Date.now },
    isFirstGeneration: true,
    ...more,
  });
