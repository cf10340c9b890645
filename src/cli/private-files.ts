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
  renameSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { fault } from './fault.ts';

/** Absent on Windows, where profiles are private by their own rules. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
/** A planted pipe must not make kubectl wait for a writer. */
const NO_WAIT = constants.O_NONBLOCK ?? 0;
const HAS_OWNERS = process.getuid !== undefined;

export const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Makes the folder when it is missing, and refuses one that others could use. */
export function ensurePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  checkPrivateDirectory(path);
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
    throw error;
  }
  if (!found.isDirectory()) {
    throw fault('bad_request', `${path} is not a folder (a link is not followed).`, `remove it: rm ${path}`);
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
      throw fault('bad_request', `${path} is a symbolic link, which is not followed.`, `remove it: rm ${path}`);
    }
    throw error;
  }
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile()) throw fault('bad_request', `${path} is not a plain file.`, `remove it: rm -r ${path}`);
    checkOwnerAndMode(path, found, '600');
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** Replaces the file in one step: a reader sees the old text or the new, and a crash leaves one of them. */
export function writePrivateFile(path: string, text: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const descriptor = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, 0o600);
  try {
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

function checkOwnerAndMode(path: string, found: Stats, mode: '600' | '700'): void {
  if (!HAS_OWNERS) return;
  if (found.uid !== process.geteuid?.()) {
    throw fault('bad_request', `${path} belongs to another user.`, `remove it, or set PORTCULLIS_CACHE_DIR`);
  }
  if ((found.mode & 0o077) !== 0) {
    const is = (found.mode & 0o777).toString(8);
    throw fault(
      'bad_request',
      `${path} is open to other users (mode ${is}), so somebody may have read what it holds.`,
      `chmod ${mode} ${path}, then sign in again: portcullis logout && portcullis login`,
    );
  }
}
