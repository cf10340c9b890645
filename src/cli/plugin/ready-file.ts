/**
 * Ready files: the cached answer for one cluster, laid out so that the shell front (front/portcullis.sh) only checks and copies.
 *
 *     ready,SERVER,CLUSTER      in the entry's folder; SERVER is the URL with `/` as `,`
 *     ready-ca,SERVER,CLUSTER   where the web host has a CA file of its own, with a copy of it in ca.pem
 *
 *     portcullis-ready 1 SIZE SESSION-SIZE   bytes of this file and of session.json: what was cut short or edited is not used
 *     SERVER URL
 *     CLUSTER
 *     NOT-BEFORE                epoch seconds; earlier than that the clock was set back
 *     FRESH-UNTIL               epoch seconds
 *     TOKEN-ID                  names the folder of the notes of refused-token.ts
 *     ExecCredential            the line for stdout
 *
 * They hold what session.json holds and no more. Threat: one that outlives its session would feed kubectl a credential that was
 * given up, so they go before the session changes and come back after it.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { clusterAudience } from '../../core/core.ts';
import { execCredential } from './exec-credential.ts';
import { isMissing, writePrivateFile } from '../session/private-files.ts';
import { isClusterName } from '../http/server-url.ts';
import { freshUntilMs, tokenId, type CachedSession, type CachedToken } from '../session/session.ts';

/** Where they are; an entry of the cache is one. */
interface EntryFolder {
  readonly dir: string;
  /** PEM. */
  readonly ca?: string;
}

const CLUSTER_AUDIENCE = clusterAudience('');

/** Longest file name of the usual file systems. */
const LONGEST_NAME = 255;

/**
 * Writes one for each cluster of which the session holds a token. To be called with the entry's lock held, after the session was
 * written. A disk that is full costs the front its answer and nothing else.
 */
export function writeReadyFiles(folder: EntryFolder, session: CachedSession): void {
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

/** Removes them all; nothing where there are none. */
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
  // The front cannot make folders: it has no process to spend on that.
  mkdirSync(join(folder.dir, 'served', id), { recursive: true, mode: 0o700 });
  // Rounded so that the front never says yes where `isFresh` says no.
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
