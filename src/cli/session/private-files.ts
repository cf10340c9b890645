/**
 * Files that hold credentials: 0700 folders, 0600 files, owned by this user, no symbolic link followed, replaced by
 * an atomic rename.
 *
 * On a shared machine an attacker may plant a link or a folder where the cache will be, or read a cache that was
 * left open. So anything that is not exactly as this program leaves it is rejected and not repaired: nothing shows
 * who has read it already.
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
/** An attacker may plant a pipe there, and kubectl must not wait for a writer. */
const NO_WAIT = constants.O_NONBLOCK ?? 0;
const HAS_OWNERS = process.getuid !== undefined;

export const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** The reasons why a file cannot be written. */
const UNWRITABLE: ReadonlyMap<string | undefined, string> = new Map([
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'your quota on that disk is exhausted'],
  ['EFBIG', 'a limit on the size of files is reached'],
  ['EROFS', 'that disk is read-only'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['ENOTDIR', 'a folder in the path is a file'],
]);

export const isUnwritable = (error: unknown): boolean =>
  (error instanceof AppError && error.reason === 'cache_unwritable') || UNWRITABLE.has(codeOf(error));

const OTHER_CACHE = 'free some space, or set PORTCULLIS_CACHE_DIR to a folder on another disk';

/**
 * Returns an error with a message, where `error` says that nothing can be written at `path`; otherwise `error`
 * itself.
 */
export function unwritable(path: string, error: unknown, next = OTHER_CACHE): unknown {
  const code = codeOf(error);
  const why = UNWRITABLE.get(code);
  if (why === undefined) return error;
  return cliError('internal', `${path} cannot be written: ${why} (${code}).`, next, {
    reason: 'cache_unwritable',
    cause: error,
  });
}

/**
 * Creates the folder when it is missing, and rejects one that other users could use.
 * @throws AppError `bad_request` as `checkPrivateDirectory`, `internal` with reason `cache_unwritable` when it
 *   cannot be created
 */
export function ensurePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // The check below reports a link or a file in its place, with a better message.
    if (codeOf(error) !== 'EEXIST') throw unwritable(path, error);
  }
  if (!checkPrivateDirectory(path))
    throw cliError('internal', `${path} cannot be created.`, 'set PORTCULLIS_CACHE_DIR');
}

/**
 * Creates a folder in a private one, and those above it.
 * @throws AppError `internal` with reason `cache_unwritable` when it cannot be created
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // What Node says of a read-only disk where a folder above is missing too.
    throw isMissing(error)
      ? unwritable(path, Object.assign(new Error('read-only'), { code: 'EROFS' }))
      : unwritable(path, error);
  }
}

/**
 * @returns false when there is none
 * @throws AppError `bad_request` when it is a link, no folder, owned by another user, or open to others
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
 * @throws AppError `bad_request` when it is a link, no plain file, owned by another user, or readable by others
 */
export const readPrivateFile = (path: string): string | undefined => readPrivateBytes(path)?.toString('utf8');

/** As `readPrivateFile`, for a file that is no text. */
export function readPrivateBytes(path: string): Buffer | undefined {
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
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Replaces the file in one step: a reader sees the old text or the new, and a crash or a full disk leaves one of
 * them.
 * @throws AppError `internal` with reason `cache_unwritable` when there is no space or no permission
 */
export function writePrivateFile(path: string, content: string | Buffer): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const descriptor = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
    try {
      writeFileSync(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    replaceFile(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw unwritable(path, error);
  }
}

/** Milliseconds between two attempts, and how many there are: scanners of new files are done by then. */
const IN_USE = { pauseMs: 20, attempts: 25 };

/**
 * Renames. Windows refuses to replace a file while a virus scanner or a backup has it open, which lasts for milliseconds: kubectl would
 * fetch a new token for each command then.
 * @param rename `renameSync`, but in tests
 */
export function replaceFile(
  from: string,
  to: string,
  platform: NodeJS.Platform = process.platform,
  rename: (from: string, to: string) => void = renameSync,
): void {
  for (let left = platform === 'win32' ? IN_USE.attempts : 1; ; left -= 1) {
    try {
      return rename(from, to);
    } catch (error) {
      const inUse = ['EPERM', 'EACCES', 'EBUSY'].includes(codeOf(error) ?? '');
      if (!inUse || left <= 1) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, IN_USE.pauseMs);
    }
  }
}

const DRAFT = /\.[0-9a-f]{12}\.tmp$/;
/** Milliseconds after which no process is writing a draft any more. */
const DRAFT_LIFE_MS = 60_000;

/** Removes drafts of writers that were killed: they hold credentials too. */
export function removeOldDrafts(dir: string, now: number): void {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (DRAFT.test(name) && lstatSync(path).mtimeMs < now - DRAFT_LIFE_MS) rmSync(path, { force: true });
  }
}

/**
 * Checks whether a file of this size fits, before a step that cannot be repeated.
 * @throws AppError as `writePrivateFile`
 */
export function assertDiskSpace(dir: string, bytes: number): void {
  const path = join(dir, 'space-check');
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
      `${path} is open to other users (mode ${is}), so another user may have read it.`,
      `chmod ${mode} ${path}, then sign in again: portcullis logout && portcullis login (or delegate again)`,
    );
  }
}

/** `sudo kubectl` leaves such files behind, and an attacker could plant one. */
const notOurs = (path: string): Error =>
  cliError(
    'bad_request',
    `${path} belongs to another user.`,
    `remove it: sudo rm -r ${path} (or set PORTCULLIS_CACHE_DIR); for a delegated session: chown it`,
  );
