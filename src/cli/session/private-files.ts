/**
 * Files that hold credentials: 0700 folders, 0600 files, ours alone, no symbolic link followed, replaced by an atomic rename.
 *
 * Threat: on a shared machine somebody plants a link or a folder of theirs where the cache will be, or reads a cache that was
 * left open. What is not exactly as this program leaves it is refused, not repaired: who has read it already cannot be known.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../../core/errors.ts';
import { cliError } from '../errors.ts';

/** Absent on Windows, where profiles are private by their own rules. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
/** A planted pipe must not make kubectl wait for a writer. */
const NO_WAIT = constants.O_NONBLOCK ?? 0;
const HAS_OWNERS = process.getuid !== undefined;

export const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Why nothing can be written, in words. */
const UNWRITABLE: ReadonlyMap<string | undefined, string> = new Map([
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'your quota on that disk is used up'],
  ['EFBIG', 'a limit on the size of files is reached'],
  ['EROFS', 'that disk is read-only'],
  ['EACCES', 'it is not permitted'],
  ['EPERM', 'it is not permitted'],
  ['ENOTDIR', 'a folder on the way is a file'],
]);

export const isUnwritable = (error: unknown): boolean =>
  (error instanceof AppError && error.reason === 'cache_unwritable') || UNWRITABLE.has(codeOf(error));

/** The fault in words, where `error` says that nothing can be written at `path`; else `error` itself. */
export function unwritable(path: string, error: unknown): unknown {
  const code = codeOf(error);
  const why = UNWRITABLE.get(code);
  if (why === undefined) return error;
  return cliError(
    'internal',
    `${path} cannot be written: ${why} (${code}).`,
    'make room there, or set PORTCULLIS_CACHE_DIR to a folder on another disk',
    { reason: 'cache_unwritable', cause: error },
  );
}

/**
 * Makes the folder when it is missing, and refuses one that others could use.
 * @throws AppError `bad_request` as `checkPrivateDirectory`, `internal` with reason `cache_unwritable` when it cannot be made
 */
export function ensurePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // A link or a file that stands there is told by the check, in its own words.
    if (codeOf(error) !== 'EEXIST') throw unwritable(path, error);
  }
  if (!checkPrivateDirectory(path)) throw cliError('internal', `${path} cannot be made.`, 'set PORTCULLIS_CACHE_DIR');
}

/**
 * @returns false when there is none
 * @throws AppError `bad_request` when it is a link, no folder, somebody else's, or open to others
 */
export function checkPrivateDirectory(path: string): boolean {
  let found: Stats;
  try {
    found = lstatSync(path);
  } catch (error) {
    if (isMissing(error)) return false;
    throw unwritable(path, error);
  }
  if (!found.isDirectory()) {
    throw cliError('bad_request', `${path} is not a folder (a link is not followed).`, `remove it: rm ${path}`);
  }
  checkOwnerAndMode(path, found, '700');
  return true;
}

/**
 * @returns the text, or undefined when there is no such file
 * @throws AppError `bad_request` when it is a link, no plain file, somebody else's, or readable by others
 */
export function readPrivateFile(path: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | NO_FOLLOW | NO_WAIT);
  } catch (error) {
    if (isMissing(error)) return undefined;
    if (codeOf(error) === 'ELOOP') {
      throw cliError('bad_request', `${path} is a symbolic link, which is not followed.`, `remove it: rm ${path}`);
    }
    if (codeOf(error) === 'EACCES') throw notOurs(path);
    throw error;
  }
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile()) throw cliError('bad_request', `${path} is not a plain file.`, `remove it: rm -r ${path}`);
    checkOwnerAndMode(path, found, '600');
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Replaces the file in one step: a reader sees the old text or the new, and a crash or a full disk leaves one of them.
 * @throws AppError `internal` with reason `cache_unwritable` when there is no room or no right to
 */
export function writePrivateFile(path: string, text: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const descriptor = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw unwritable(path, error);
  }
}

const DRAFT = /\.[0-9a-f]{12}\.tmp$/;
/** Milliseconds after which nobody is writing a draft any more. */
const DRAFT_LIFE_MS = 60_000;

/** Removes drafts of writers that were killed: they hold credentials too. */
export function removeOldDrafts(dir: string, now: number): void {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (DRAFT.test(name) && lstatSync(path).mtimeMs < now - DRAFT_LIFE_MS) rmSync(path, { force: true });
  }
}

/**
 * Finds out whether a file of this size would fit, before something is done that cannot be done twice.
 * @throws AppError as `writePrivateFile`
 */
export function assertDiskSpace(dir: string, bytes: number): void {
  const path = join(dir, 'room');
  writePrivateFile(path, ' '.repeat(bytes));
  rmSync(path, { force: true });
}

function checkOwnerAndMode(path: string, found: Stats, mode: '600' | '700'): void {
  if (!HAS_OWNERS) return;
  if (found.uid !== process.geteuid?.()) throw notOurs(path);
  if ((found.mode & 0o077) !== 0) {
    const is = (found.mode & 0o777).toString(8);
    throw cliError(
      'bad_request',
      `${path} is open to other users (mode ${is}), so somebody may have read what it holds.`,
      `chmod ${mode} ${path}, then sign in again: portcullis logout && portcullis login`,
    );
  }
}

/** As `sudo kubectl` leaves it behind, or somebody who lies in wait. */
const notOurs = (path: string): Error =>
  cliError(
    'bad_request',
    `${path} belongs to another user.`,
    `remove it: sudo rm -r ${path} (or set PORTCULLIS_CACHE_DIR)`,
  );
