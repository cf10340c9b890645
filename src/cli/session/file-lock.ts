/**
 * A file lock among all processes of this user. The holder renews the lock every second and is recorded next to it:
 * a holder that was killed (SIGKILL included) is detected immediately, and one that is stopped loses the lock after
 * `staleMs`. A normal end, Ctrl-C included, releases it.
 *
 * Two processes that find a stale lock at the same instant can, rarely, both get it. Then there are two refreshes
 * instead of one, which is harmless because bound refresh tokens do not rotate; `lost` keeps the loser from
 * writing.
 */
import { lstatSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { lock as Lock } from 'proper-lockfile';
import { cliError } from '../errors.ts';
import { parseRecord, stringAt } from '../http/json-shape.ts';
import { parentProcess } from '../plugin/parent-process.ts';
import { codeOf, isMissing, isUnwritable, readPrivateFile, unwritable, writePrivateFile } from './private-files.ts';

/**
 * Longer than a busy machine keeps a process from running: thirty kubectls at once leave each a thirtieth of the
 * CPU.
 */
const STALE_MS = 15_000;
const RENEW_MS = 1000;
/** A lock from further in the future was left by a clock that was set back since: it would never go stale. */
const FUTURE_MS = 60_000;

export interface HeldLock {
  /** True once another process may have taken the lock: write nothing then. */
  readonly lost: boolean;
}

export interface LockedWork<T> {
  readonly path: string;
  /** Milliseconds to wait for the lock. */
  readonly timeoutMs: number;
  /** Milliseconds without a renewal after which the holder counts as stopped; 15000 where absent. */
  readonly staleMs?: number;
  /** Called while another process has the lock: a value ends the wait, and so does an exception. */
  readonly whileWaiting: () => T | undefined;
  readonly work: (lock: HeldLock) => Promise<T>;
}

/**
 * Does `work` with the lock held, or returns the result of `whileWaiting` where that comes first. The folder of
 * `path` must exist.
 * @throws AppError `upstream_timeout` when the lock is not free in time; `internal` with reason `cache_unwritable`
 *   when none can be made
 */
export async function withFileLock<T>(turn: LockedWork<T>): Promise<T> {
  const { default: lockfile } = await import('proper-lockfile');
  const until = Date.now() + turn.timeoutMs;
  for (;;) {
    const held = { lost: false };
    const release = await tryLock(lockfile.lock, turn, held);
    if (release !== undefined) {
      try {
        return await turn.work(held);
      } finally {
        // A release that fails leaves a lock that goes stale; the result of the work counts.
        if (!held.lost) await release().catch(() => undefined);
      }
    }
    const offered = turn.whileWaiting();
    if (offered !== undefined) return offered;
    if (Date.now() > until) {
      throw cliError('upstream_timeout', 'Another portcullis process has used this session for too long.', 'try again');
    }
    removeStale(turn.path);
    await delay(40 + Math.random() * 80);
  }
}

async function tryLock(
  lock: typeof Lock,
  { path, staleMs }: Pick<LockedWork<unknown>, 'path' | 'staleMs'>,
  held: { lost: boolean },
): Promise<(() => Promise<void>) | undefined> {
  try {
    const release = await lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: staleMs ?? STALE_MS,
      update: RENEW_MS,
      onCompromised: () => {
        held.lost = true;
      },
    });
    writeHolder(path);
    return () => {
      rmSync(holderFile(path), { force: true });
      return release();
    };
  } catch (error) {
    if (codeOf(error) === 'ELOCKED' || wasTakenAway(error)) return undefined;
    throw unwritable(path, error);
  }
}

/**
 * Another process took the lock for a stale one between its creation and its first renewal: because its clock is
 * far ahead of the file system's (a home over the network), or after a holder that was killed. This is not the case
 * where the lock could not be created at all.
 */
const wasTakenAway = (error: unknown): boolean =>
  isMissing(error) && (error as NodeJS.ErrnoException).syscall !== 'mkdir';

const holderFile = (path: string): string => `${path}.holder`;

/**
 * A process id is valid on one machine, and there in one namespace: a home may be shared with containers and other
 * machines.
 */
function thisMachine(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/**
 * Identifies this very lock, so that the holder file of an earlier one says nothing about it. Undefined where there is
 * none.
 */
function lockId(path: string): string | undefined {
  try {
    const { ino, birthtimeNs } = lstatSync(path, { bigint: true });
    return `${ino}-${birthtimeNs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function writeHolder(path: string): void {
  const holder = { lock: lockId(path), where: thisMachine(), process: parentProcess(process.pid) };
  try {
    writePrivateFile(holderFile(path), JSON.stringify(holder));
  } catch (error) {
    if (!isUnwritable(error)) throw error; // Without the holder file, only time tells.
  }
}

/** Removes the lock of a holder that has exited, and a lock that no clock will ever end. */
function removeStale(path: string): void {
  const text = readPrivateFile(holderFile(path));
  const holder = text === undefined ? undefined : parseRecord(text);
  const held = holder && stringAt(holder, 'process');
  const ownerExited =
    held !== undefined && holder !== undefined && stringAt(holder, 'where') === thisMachine() && hasExited(held);
  try {
    const ofThis = ownerExited && stringAt(holder, 'lock') === lockId(path);
    if (ofThis || lstatSync(path).mtimeMs > Date.now() + FUTURE_MS) rmdirSync(path);
  } catch (error) {
    if (!isMissing(error)) throw unwritable(path, error);
  }
}

/** @param held a process as `parentProcess` returns it */
function hasExited(held: string): boolean {
  const pid = Number.parseInt(held, 10);
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
  // Process ids are reused. Elsewhere than on Linux the start time costs another process, and the wait has a time
  // limit.
  return process.platform === 'linux' && parentProcess(pid) !== held;
}
