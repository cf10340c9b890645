/**
 * Detects that the API server rejected a token. kubectl does not report it: it only asks again. A parent process
 * that asks again for a token far from its end was rejected with it, so it must not get the same one a second time.
 *
 * The existence of a file, created with O_EXCL, records which parent got which token: one system call, and no lock
 * on the path of a cached credential.
 */
import { closeSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheEntry } from '../session/cache.ts';
import type { ParentId } from './parent-process.ts';
import { codeOf, isMissing, isUnwritable, makeFolder } from '../session/private-files.ts';
import { tokenId, type CachedToken } from '../session/session.ts';

/**
 * Records that the token is issued to `parent`.
 * @param startedAt epoch milliseconds at which this process started; a later marker is from a concurrent call and
 *   means no rejection
 * @returns false when the parent had the token before: it was rejected
 */
export function noteIssued(entry: CacheEntry, token: CachedToken, parent: ParentId, startedAt: number): boolean {
  const dir = join(entry.dir, 'served', tokenId(token));
  const note = join(dir, parent);
  try {
    makeFolder(dir);
    closeSync(openSync(note, 'wx', 0o600));
    return true;
  } catch (error) {
    // A full disk must not keep a good token from kubectl. Without markers a rejected token may be issued twice,
    // and is rejected twice.
    if (isUnwritable(error)) return true;
    if (codeOf(error) !== 'EEXIST') throw error;
    return statSync(note).mtimeMs > startedAt;
  }
}

/** Removes the markers of tokens that are no longer in the cache. */
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
