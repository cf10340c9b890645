/**
 * A short memory of failures. client-go calls the plugin five times for one command: without it a cancelled sign-in
 * would open five tabs, and thirty kubectls that waited for one refresh would each wait for an unavailable server
 * in turn.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import type { CacheEntry } from '../session/cache.ts';
import { numberAt, parseRecord, stringAt } from '../http/json-shape.ts';
import type { ParentId } from './parent-process.ts';
import { isMissing, isUnwritable, makeFolder, readPrivateFile, writePrivateFile } from '../session/private-files.ts';

/** Milliseconds for which the calls of one parent get the same error. */
const FAILURE_MEMORY_MS = 30_000;
/**
 * The same for a sign-in that no user completed: a program that goes on asking, such as an informer, would open another
 * tab every five minutes, all night. A sign-in by any other program ends it.
 */
const UNFINISHED_MEMORY_MS = 60 * 60_000;

/**
 * Failures that are shared with the processes that wait for the same refresh or sign-in, and (`session`) why the
 * last session ended, so that every later command can report it.
 */
export type SharedFailure = 'refresh' | 'sign-in' | 'session';

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'bad_request',
  'forbidden',
  'unauthenticated',
  'sign_in_refused',
  'sign_in_expired',
  'upstream_unavailable',
  'upstream_timeout',
  'internal',
]);

const isCode = (text: string | undefined): text is ErrorCode => text !== undefined && CODES.has(text);

export function rememberForParent(entry: CacheEntry, parent: ParentId, error: AppError, now: number): void {
  const dir = join(entry.dir, 'failures');
  ignoringFullDisk(() => {
    makeFolder(dir);
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      if (modifiedAt(path) < now - UNFINISHED_MEMORY_MS) rmSync(path, { force: true });
    }
    write(join(dir, parent), error, now);
  });
}

/** Returns the error of this parent's last sign-in, for 30 seconds; where no user completed it, for an hour. */
export function failureOfParent(entry: CacheEntry, parent: ParentId, now: number): AppError | undefined {
  const path = join(entry.dir, 'failures', parent);
  const last = read(path, now - UNFINISHED_MEMORY_MS, now);
  return last?.code === 'sign_in_expired' ? last : read(path, now - FAILURE_MEMORY_MS, now);
}

export function shareFailure(entry: CacheEntry, kind: SharedFailure, error: AppError, now: number): void {
  ignoringFullDisk(() => write(join(entry.dir, `${kind}-failed.json`), error, now));
}

/** The error is reported now in any case: a full disk must not replace it with another. */
function ignoringFullDisk(remember: () => void): void {
  try {
    remember();
  } catch (error) {
    if (!isUnwritable(error)) throw error;
  }
}

/** Returns the error of another process since `since` (epoch milliseconds), for a process that waited for it. */
export function failureSince(entry: CacheEntry, kind: SharedFailure, since: number, now: number): AppError | undefined {
  return read(join(entry.dir, `${kind}-failed.json`), since, now);
}

/** Forgets all failures; called after a sign-in. */
export function forgetFailures(entry: CacheEntry): void {
  for (const kind of ['refresh', 'sign-in', 'session'] satisfies SharedFailure[]) {
    rmSync(join(entry.dir, `${kind}-failed.json`), { force: true });
  }
  rmSync(join(entry.dir, 'failures'), { recursive: true, force: true });
}

function modifiedAt(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

function write(path: string, error: AppError, now: number): void {
  writePrivateFile(path, JSON.stringify({ at: now, code: error.code, message: error.message, reason: error.reason }));
}

function read(path: string, from: number, to: number): AppError | undefined {
  const text = readPrivateFile(path);
  const record = text === undefined ? undefined : parseRecord(text);
  if (record === undefined) return undefined;
  const at = numberAt(record, 'at');
  const code = stringAt(record, 'code');
  const message = stringAt(record, 'message');
  if (at === undefined || at < from || at > to || message === undefined || !isCode(code)) return undefined;
  return new AppError(code, message, { reason: stringAt(record, 'reason') ?? code });
}
