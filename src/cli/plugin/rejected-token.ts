/**
 * Was this token refused? kubectl does not say so: it only asks again. The same parent process asking again for a token that
 * is far from its end has been turned away with it, so it must not get the same one a second time.
 *
 * Who was handed what is kept as the mere existence of a file, made with O_EXCL: one system call, and no lock on the way of a
 * cached credential.
 */
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheEntry } from '../session/cache.ts';
import type { ParentId } from './parent-process.ts';
import { codeOf, isMissing, isUnwritable } from '../session/private-files.ts';
import { tokenId, type CachedToken } from '../session/session.ts';

/**
 * Notes that `parent` is handed the token.
 * @param startedAt epoch milliseconds at which this process began; a note made later is of a call side by side, not of a refusal
 * @returns false when the parent had it before: it was refused
 */
export function noteIssued(entry: CacheEntry, token: CachedToken, parent: ParentId, startedAt: number): boolean {
  const dir = join(entry.dir, 'served', tokenId(token));
  const note = join(dir, parent);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    closeSync(openSync(note, 'wx', 0o600));
    return true;
  } catch (error) {
    // A full disk must not keep a good token from kubectl; without notes a refused one may come twice, and is refused twice.
    if (isUnwritable(error)) return true;
    if (codeOf(error) !== 'EEXIST') throw error;
    return statSync(note).mtimeMs > startedAt;
  }
}

/** Removes the notes about tokens that are not in the cache any more. */
export function dropOtherNotes(entry: CacheEntry, tokens: readonly CachedToken[]): void {
  const kept = new Set(tokens.map(tokenId));
  const served = join(entry.dir, 'served');
  try {
    for (const name of readdirSync(served)) {
      if (!kept.has(name)) rmSync(join(served, name), { recursive: true, force: true });
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
