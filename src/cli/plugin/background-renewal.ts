/**
 * Fetches a new token while the present one is still valid: kubectl gets the present one immediately, and another
 * process fetches the next, so that no command waits for the server and a token never expires in use.
 */
import { spawn } from 'node:child_process';
import { closeSync, lstatSync, openSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { clusterAudience } from '../../core/core.ts';
import { locateEntry, type CacheEntry, type Server } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import { codeOf, isUnwritable, makeFolder } from '../session/private-files.ts';
import { isFresh, tokenId, type CachedToken } from '../session/session.ts';
import { commandOfThisProgram } from '../this-program.ts';

/** The command that the process runs; hidden in the help. */
export const RENEW_COMMAND = 'renew-token';

/** Milliseconds until another may be started: an unavailable server must not cost a process for each kubectl. */
const PAUSE_MS = 10_000;

/**
 * Starts the process and does not wait for it. Thirty kubectls start one: only the process that creates the marker
 * of this token starts it.
 * @param token of the cache, in its last minute
 */
export function renewInBackground(context: CliContext, entry: CacheEntry, cluster: string, token: CachedToken): void {
  if (!isFirst(join(entry.dir, 'served', tokenId(token)), context.nowMs())) return;
  const { url, caFile } = entry.server;
  const command = [RENEW_COMMAND, '--server', url, '--cluster', cluster];
  const [file, args] = commandOfThisProgram([...command, ...(caFile === undefined ? [] : ['--ca-file', caFile])]);
  // Holds nothing of kubectl's, which waits until stdout and stderr of its plugin are closed. Detached, because
  // Ctrl-C is not meant for it.
  const child = spawn(file, args, { stdio: 'ignore', detached: true, windowsHide: true });
  child.once('error', () => undefined); // Then the next call renews in the foreground.
  child.unref();
}

function isFirst(dir: string, now: number): boolean {
  const note = join(dir, 'renewing');
  try {
    makeFolder(dir);
    closeSync(openSync(note, 'wx', 0o600));
    return true;
  } catch (error) {
    if (isUnwritable(error)) return false;
    if (codeOf(error) !== 'EEXIST') throw error;
    if (Math.abs(now - lstatSync(note).mtimeMs) < PAUSE_MS) return false;
    utimesSync(note, now / 1000, now / 1000);
    return true;
  }
}

/**
 * Renews the token in the background process. No user sees its errors: the next call meets them in the foreground,
 * or finds them in the cache.
 * @throws AppError as `renew`
 */
export async function renewNow(context: CliContext, server: Server, cluster: string): Promise<void> {
  const entry = locateEntry(context.environment.cacheDir, server);
  const { renew } = await import('../session/renewal.ts');
  await renew(context, entry, {
    audience: clusterAudience(cluster),
    accept: (token) => isFresh(token, context.nowMs()),
  });
}
