/**
 * Ready files: the cached credential for one cluster, in a format that the shell front (cli-package/portcullis.sh)
 * only checks and copies.
 *
 *     ready,SERVER,CLUSTER      in the entry's folder; SERVER is the URL with `/` as `,`
 *     ready-ca,SERVER,CLUSTER   where the web host has its own CA file, with a copy of it in ca.pem
 *
 *     portcullis-ready 1 SIZE SESSION-SIZE   bytes of this file and of session.json: a truncated or edited one is ignored
 *     SERVER URL
 *     CLUSTER
 *     NOT-BEFORE                epoch seconds; an earlier time means that the clock was set back
 *     FRESH-UNTIL               epoch seconds
 *     TOKEN-ID                  names the folder of the markers of rejected-token.ts
 *     ExecCredential            the line for stdout
 *
 * They hold only data of session.json. A ready file that outlives its session would give kubectl a credential that
 * was discarded, so they are removed before the session changes and written again after it.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { clusterAudience } from '../../core/core.ts';
import { execCredential } from './exec-credential.ts';
import { isMissing, writePrivateFile } from '../session/private-files.ts';
import { isClusterName } from '../http/server-url.ts';
import { freshUntilMs, tokenId, type CachedSession, type CachedToken } from '../session/session.ts';

/** The folder of the ready files; an entry of the cache is one. */
interface EntryFolder {
  readonly dir: string;
  /** PEM. */
  readonly ca?: string;
}

const CLUSTER_AUDIENCE = clusterAudience('');

/** Longest file name of the usual file systems. */
const LONGEST_NAME = 255;

/**
 * Writes one for each cluster of which the session holds a token. The caller must hold the entry's lock, and have
 * written the session. On a full disk only the shell front loses its ready file.
 */
export function writeReadyFiles(
  folder: EntryFolder,
  session: CachedSession,
  platform: NodeJS.Platform = process.platform,
): void {
  // Elsewhere the front reads none: a copy of the key less. And Windows takes what follows the colon in the name for something else.
  if (platform !== 'linux') return;
  try {
    if (folder.ca !== undefined) writePrivateFile(join(folder.dir, 'ca.pem'), folder.ca);
    for (const [audience, token] of Object.entries(session.tokens)) {
      const cluster = audience.startsWith(CLUSTER_AUDIENCE) ? audience.slice(CLUSTER_AUDIENCE.length) : '';
      if (isClusterName(cluster)) writeReadyFile(folder, session, cluster, token);
    }
  } catch {
    dropReadyFiles(folder);
  }
}

/** Removes them all, if any. */
export function dropReadyFiles({ dir }: EntryFolder): void {
  try {
    for (const name of readdirSync(dir)) {
      if (/^ready(?:-ca)?,/.test(name)) rmSync(join(dir, name), { recursive: true, force: true });
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function writeReadyFile(folder: EntryFolder, session: CachedSession, cluster: string, token: CachedToken): void {
  const kind = folder.ca === undefined ? 'ready' : 'ready-ca';
  const name = `${kind},${session.server.replaceAll('/', ',')},${cluster}`;
  if (name.length > LONGEST_NAME) return;
  const id = tokenId(token);
  // The front cannot create folders: it has no process to spend on that.
  mkdirSync(join(folder.dir, 'served', id), { recursive: true, mode: 0o700 });
  // Rounded so that the front never accepts a token that `isFresh` does not.
  const [notBefore, until] = [Math.ceil(token.receivedAt / 1000), Math.floor(freshUntilMs(token) / 1000)];
  const lines = [session.server, cluster, notBefore, until, id, execCredential(token, session.binding)];
  writePrivateFile(join(folder.dir, name), withSize(lines.join('\n'), statSync(join(folder.dir, 'session.json')).size));
}

function withSize(rest: string, sessionSize: number): string {
  const sized = (size: number): string => `portcullis-ready 1 ${size} ${sessionSize}\n${rest}`;
  const first = Buffer.byteLength(sized(0));
  // The size is part of what it counts.
  let size = first;
  while (Buffer.byteLength(sized(size)) !== size) size += 1;
  return sized(size);
}
