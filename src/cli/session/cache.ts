/**
 * The cache: one folder a server, under a name made of server, CA, issuer and client, so that a session of one never answers
 * for another.
 *
 *     DIR/KEY/server.json      which server, which CA file, and the two hosts pinned at login; stays when a session ends
 *     DIR/KEY/session.json     the session with its tokens and its private key
 *     DIR/KEY/ready,…          the answer for one cluster, laid out for the shell front (see ready-file.ts)
 *     DIR/KEY/served/TOKEN/P   token TOKEN was handed to parent process P (see refused-token.ts)
 *     DIR/KEY/failures/P       a failed sign-in that calls of parent P are told again (see failures.ts)
 *     DIR/KEY/*-failed.json    what the last refresh, sign-in or session ended with
 *     DIR/KEY.lock, DIR/KEY.sign-in.lock
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { cliError } from '../errors.ts';
import { parseRecord, recordAt, stringAt } from '../http/json-shape.ts';
import { checkPrivateDirectory, ensurePrivateDirectory, readPrivateFile, writePrivateFile } from './private-files.ts';
import { dropReadyFiles, writeReadyFiles } from '../plugin/ready-file.ts';
import { formatSession, parseSession, type CachedSession } from './session.ts';

/** A server and the authority that vouches for its web host. */
export interface Server {
  /** Public URL and issuer, without a trailing slash. */
  readonly url: string;
  /** File with the web host's CA; absent: the system's authorities. */
  readonly caFile?: string;
}

/** Origins of the only two hosts that discovery may name. */
export interface Pins {
  readonly web: string;
  readonly api: string;
}

export interface KnownServer extends Server {
  readonly pins: Pins;
}

export interface CacheEntry {
  readonly server: Server;
  /** PEM of `server.caFile`. */
  readonly ca?: string;
  readonly cacheDir: string;
  readonly dir: string;
  readonly lockPath: string;
  readonly signInLockPath: string;
}

/** Finds where a server's session is kept; makes nothing. */
export function locateEntry(cacheDir: string, server: Server): CacheEntry {
  const ca = server.caFile === undefined ? undefined : readCa(server.caFile);
  // Issuer and server are the same URL by discovery's rule; both stand here so that the key survives if that ever changes.
  const parts = JSON.stringify([server.url, ca ?? '', server.url, PLUGIN_CLIENT_ID]);
  const dir = join(cacheDir, createHash('sha256').update(parts).digest('hex').slice(0, 32));
  const paths = { cacheDir, dir, lockPath: `${dir}.lock`, signInLockPath: `${dir}.sign-in.lock` };
  return { server, ...(ca === undefined ? {} : { ca }), ...paths };
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw cliError('bad_request', `The CA file ${file} cannot be read.`, 'check --ca-file', { cause });
  }
}

/** Makes the folders with mode 0700, and refuses ones that others could use. */
export function ensureEntry(entry: CacheEntry): void {
  ensurePrivateDirectory(entry.cacheDir);
  ensurePrivateDirectory(entry.dir);
}

/** The session, or undefined: none, or a file that says something else. Throws as `readPrivateFile` does. */
export function readSession(entry: CacheEntry): CachedSession | undefined {
  if (!checkPrivateDirectory(entry.cacheDir) || !checkPrivateDirectory(entry.dir)) return undefined;
  const text = readPrivateFile(join(entry.dir, 'session.json'));
  const session = text === undefined ? undefined : parseSession(text);
  return session?.server === entry.server.url ? session : undefined;
}

/** To be called with the entry's lock held. */
export function writeSession(entry: CacheEntry, session: CachedSession): void {
  ensureEntry(entry);
  dropReadyFiles(entry);
  writePrivateFile(join(entry.dir, 'session.json'), formatSession(session));
  writeReadyFiles(entry, session);
}

/** Forgets the session; the pinned hosts stay. To be called with the entry's lock held. */
export function dropSession(entry: CacheEntry): void {
  if (!checkPrivateDirectory(entry.dir)) return;
  dropReadyFiles(entry);
  rmSync(join(entry.dir, 'session.json'), { force: true });
  rmSync(join(entry.dir, 'served'), { recursive: true, force: true });
}

/** Forgets everything about the server, its pinned hosts included. */
export function dropEntry(entry: CacheEntry): void {
  if (checkPrivateDirectory(entry.cacheDir)) rmSync(entry.dir, { recursive: true, force: true });
}

export function readPins(entry: CacheEntry): Pins | undefined {
  if (!checkPrivateDirectory(entry.cacheDir) || !checkPrivateDirectory(entry.dir)) return undefined;
  const text = readPrivateFile(join(entry.dir, 'server.json'));
  return text === undefined ? undefined : parseKnownServer(text)?.pins;
}

export function writePins(entry: CacheEntry, pins: Pins): void {
  ensureEntry(entry);
  writePrivateFile(join(entry.dir, 'server.json'), JSON.stringify({ version: 1, ...entry.server, pins }));
}

/** Every server that somebody signed in to from here. */
export function knownServers(cacheDir: string): readonly KnownServer[] {
  if (!checkPrivateDirectory(cacheDir)) return [];
  return readdirSync(cacheDir).flatMap((name) => {
    if (!/^[0-9a-f]{32}$/.test(name)) return [];
    const text = readPrivateFile(join(cacheDir, name, 'server.json'));
    const known = text === undefined ? undefined : parseKnownServer(text);
    return known === undefined ? [] : [known];
  });
}

function parseKnownServer(text: string): KnownServer | undefined {
  const record = parseRecord(text);
  const pins = record && recordAt(record, 'pins');
  const url = record && stringAt(record, 'url');
  const web = pins && stringAt(pins, 'web');
  const api = pins && stringAt(pins, 'api');
  if (record === undefined || url === undefined || web === undefined || api === undefined) return undefined;
  const caFile = stringAt(record, 'caFile');
  return { url, pins: { web, api }, ...(caFile === undefined ? {} : { caFile }) };
}
