/**
 * One process at a time, over all processes of this person. The lock's holder renews it every second; one that is killed
 * (SIGKILL included) or stopped stops renewing, and after `staleMs` the next may have it. A clean end releases it at once.
 *
 * Two who find a dead lock in the same instant can, rarely, both get it. Then there are two refreshes instead of one, which is
 * harmless because bound refresh tokens do not rotate; `lost` keeps the loser from writing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { lock as Lock } from 'proper-lockfile';
import { fault } from './fault.ts';
import { codeOf } from './private-files.ts';

/** Longer than a busy laptop keeps a process from running, shorter than a person's patience with kubectl. */
const STALE_MS = 5000;
const RENEW_MS = 1000;

export interface HeldLock {
  /** True once somebody else may have taken it: write nothing then. */
  readonly lost: boolean;
}

export interface Turn<T> {
  readonly path: string;
  /** Milliseconds to wait for the lock. */
  readonly patienceMs: number;
  /** Milliseconds without a renewal after which the holder counts as dead; 5000 where absent. */
  readonly staleMs?: number;
  /** Asked while somebody else has the lock: a value ends the waiting, and so does a throw. */
  readonly meanwhile: () => T | undefined;
  readonly work: (lock: HeldLock) => Promise<T>;
}

/**
 * Does `work` with the lock held, or takes what `meanwhile` offers first. The folder of `path` must exist.
 * @throws AppError `upstream_timeout` when the lock is not free in time
 */
export async function takeTurn<T>(turn: Turn<T>): Promise<T> {
  const { default: lockfile } = await import('proper-lockfile');
  const until = Date.now() + turn.patienceMs;
  for (;;) {
    const held = { lost: false };
    const release = await tryLock(lockfile.lock, turn, held);
    if (release !== undefined) {
      try {
        return await turn.work(held);
      } finally {
        // A release that fails leaves a lock that goes stale; the work's own outcome counts.
        if (!held.lost) await release().catch(() => undefined);
      }
    }
    const offered = turn.meanwhile();
    if (offered !== undefined) return offered;
    if (Date.now() > until) {
      throw fault('upstream_timeout', 'Another portcullis has been at work on this session for too long.', 'try again');
    }
    await delay(40 + Math.random() * 80);
  }
}

async function tryLock(
  lock: typeof Lock,
  { path, staleMs }: Pick<Turn<unknown>, 'path' | 'staleMs'>,
  held: { lost: boolean },
): Promise<(() => Promise<void>) | undefined> {
  try {
    return await lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: staleMs ?? STALE_MS,
      update: RENEW_MS,
      onCompromised: () => {
        held.lost = true;
      },
    });
  } catch (error) {
    if (codeOf(error) === 'ELOCKED') return undefined;
    throw error;
  }
}
