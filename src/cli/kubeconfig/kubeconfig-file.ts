/**
 * Changes a kubeconfig on disk as kubectl does: in the file that kubectl would write by `$KUBECONFIG`, with
 * `FILE.lock` created with O_EXCL meanwhile, and the new text in one rename.
 */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import { cliError } from '../errors.ts';
import { codeOf, isMissing, replaceFile } from '../session/private-files.ts';

const LOCK_TIMEOUT_MS = 3000;

/**
 * Returns the file to write to. kubectl changes an entry in the file that has it, and adds a new one to the first
 * file that exists, else to the last.
 * @param files those of `$KUBECONFIG`, at least one
 * @param hasOurEntries whether the text has entries that are about to be written
 */
export function chooseKubeconfig(files: readonly string[], hasOurEntries: (text: string) => boolean): string {
  const present = files.filter((file) => existsSync(file));
  const last = files.at(-1) ?? '';
  return present.find((file) => hasOurEntries(readKubeconfig(file))) ?? present[0] ?? last;
}

/** Returns the text; empty where there is no file. @throws AppError `bad_request` when it cannot be read */
export function readKubeconfig(file: string): string {
  return translatingErrors(file, () => readExisting(realOf(file)).text);
}

/**
 * @param change from the present text (empty where there is no file) to the next; an exception leaves the file as
 *   it is
 * @throws AppError `conflict` when the lock is not free within 3 seconds, `bad_request` when the file cannot be
 *   written
 */
export async function changeKubeconfig<T extends { readonly text: string }>(
  file: string,
  change: (existing: string) => T,
): Promise<T> {
  translatingErrors(file, () => mkdirSync(dirname(file), { recursive: true, mode: 0o700 }));
  const lock = `${file}.lock`;
  await acquire(file, lock);
  try {
    return translatingErrors(file, () => {
      const target = realOf(file);
      const existing = readExisting(target);
      const changed = change(existing.text);
      if (changed.text !== existing.text) replace(target, changed.text, existing);
      return changed;
    });
  } finally {
    rmSync(lock, { force: true });
  }
}

interface Existing {
  readonly text: string;
  readonly mode: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

function replace(target: string, text: string, { mode, owner }: Existing): void {
  const draft = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    writeFileSync(draft, text, { mode, flag: 'wx', flush: true });
    // Under sudo the file keeps its owner, who otherwise could not read it any more.
    if (owner !== undefined && process.getuid?.() === 0) chownSync(draft, owner.uid, owner.gid);
    replaceFile(draft, target);
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * Resolves links: a kubeconfig that is a link (kept in a repository of settings) stays one, also where its target
 * does not exist yet.
 */
function realOf(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return isLink(file) ? realOf(resolve(dirname(file), readlinkSync(file))) : file;
  }
}

const isLink = (file: string): boolean => lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true;

function readExisting(file: string): Existing {
  try {
    const { mode, uid, gid } = statSync(file);
    return { text: readFileSync(file, 'utf8'), mode: mode & 0o777, owner: { uid, gid } };
  } catch (error) {
    if (isMissing(error)) return { text: '', mode: 0o600 };
    throw error;
  }
}

async function acquire(file: string, lock: string): Promise<void> {
  const until = Date.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    try {
      return closeSync(openSync(lock, 'wx', 0o600));
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw unusable(file, error);
    }
    if (Date.now() > until) {
      throw cliError(
        'conflict',
        `${lock} exists: another program is changing the kubeconfig.`,
        `if none is, rm ${lock}`,
      );
    }
    await delay(50);
  }
}

function translatingErrors<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AppError || codeOf(error) === undefined) throw error;
    throw unusable(file, error);
  }
}

function unusable(file: string, cause: unknown): AppError {
  const what = `The kubeconfig ${file} cannot be read or written (${codeOf(cause) ?? 'unknown error'}). Nothing was changed.`;
  return cliError('bad_request', what, 'give another with --file, or write it to stdout with --print', { cause });
}
