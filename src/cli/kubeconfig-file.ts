/**
 * Changing a kubeconfig on disk as kubectl does: `FILE.lock` is made with O_EXCL while it is written, and the new text comes in
 * one rename.
 */
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fault } from './fault.ts';
import { codeOf, isMissing } from './private-files.ts';

const PATIENCE_MS = 3000;

/**
 * @param change from the present text (empty where there is no file) to the next; a throw leaves the file as it is
 * @throws AppError `conflict` when the lock is not free within 3 seconds
 */
export async function changeKubeconfig<T extends { readonly text: string }>(
  file: string,
  change: (existing: string) => T,
): Promise<T> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // A kubeconfig that is a link (kept in a repository of settings) stays one.
  const target = realOf(file);
  const lock = `${file}.lock`;
  await acquire(lock);
  try {
    const { text: existing, mode } = readExisting(target);
    const changed = change(existing);
    const draft = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
    try {
      writeFileSync(draft, changed.text, { mode, flag: 'wx' });
      renameSync(draft, target);
    } finally {
      rmSync(draft, { force: true });
    }
    return changed;
  } finally {
    rmSync(lock, { force: true });
  }
}

function realOf(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if (isMissing(error)) return file;
    throw error;
  }
}

function readExisting(file: string): { text: string; mode: number } {
  try {
    return { text: readFileSync(file, 'utf8'), mode: statSync(file).mode & 0o777 };
  } catch (error) {
    if (isMissing(error)) return { text: '', mode: 0o600 };
    throw error;
  }
}

async function acquire(lock: string): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      closeSync(openSync(lock, 'wx', 0o600));
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    if (Date.now() > until) {
      throw fault('conflict', `${lock} exists: another program is changing the kubeconfig.`, `if none is, rm ${lock}`);
    }
    await delay(50);
  }
}
