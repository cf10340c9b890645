/**
 * The cache: one folder for each server, named by a hash of server, CA, issuer and client, so that a session of one
 * is never used for another.
 *
 *     DIR/KEY/server.json      server, CA file, name of this machine, and the two hosts pinned at login; whether DIR is
 *                              that of a delegated session; stays when a session ends
 *     DIR/KEY/session.json     the session with its tokens and its private key; with the refresh token, unless the keyring has
 *                              it (see secrets.ts)
 *     DIR/KEY/ready,…          the credential for one cluster, in the format of the shell front (see ready-file.ts)
 *     DIR/KEY/served/TOKEN/P   token TOKEN was issued to parent process P (see rejected-token.ts)
 *     DIR/KEY/failures/P       a failed sign-in, repeated to later calls of parent P (see failures.ts)
 *     DIR/KEY/*-failed.json    the error of the last refresh, sign-in or session
 *     DIR/KEY.lock, DIR/KEY.sign-in.lock
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { cliError } from '../errors.ts';
import { parseRecord, recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import { checkPrivateDirectory, ensurePrivateDirectory, readPrivateFile, writePrivateFile } from './private-files.ts';
import { dropReadyFiles, writeReadyFiles } from '../plugin/ready-file.ts';
import { noDelegatedSession, type DelegatedMark } from './delegated.ts';
import { formatSession, parseSession, type CachedSession } from './session.ts';
import { defined } from '../../core/defined.ts';

/** A server, and what was given for it. */
export interface Server {
  /** Public URL and issuer, without a trailing slash. */
  readonly url: string;
  /** File with the web host's CA; absent: the system's CAs. */
  readonly caFile?: string;
  /** The name of this machine for that server; empty: none is sent; absent: that of the host. */
  readonly deviceName?: string;
  /** Where its sessions are kept; absent: `auto`. */
  readonly credentialStore?: 'keyring' | 'file';
  /** In the folder of a delegated session: which one. No user signs in there, also once it is over. */
  readonly delegated?: DelegatedMark;
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

/** Returns where a server's session is kept; creates nothing. */
export function locateEntry(cacheDir: string, server: Server): CacheEntry {
  const ca = server.caFile === undefined ? undefined : readCa(server.caFile);
  // Discovery requires issuer and server to be the same URL; both are here so that the key stays valid if that
  // changes.
  const parts = JSON.stringify([server.url, ca ?? '', server.url, PLUGIN_CLIENT_ID]);
  const dir = join(cacheDir, createHash('sha256').update(parts).digest('hex').slice(0, 32));
  const paths = { cacheDir, dir, lockPath: `${dir}.lock`, signInLockPath: `${dir}.sign-in.lock` };
  return { server, ...defined({ ca }), ...paths };
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw cliError('bad_request', `The CA file ${file} cannot be read.`, 'check --ca-file', { cause });
  }
}

/**
 * Creates the folders with mode 0700, and rejects folders that other users could use. The folder of a delegated session
 * is removed when its command ends, perhaps while the plugin still renews: it is not created again, with a key in it.
 */
export function ensureEntry(entry: CacheEntry): void {
  if (entry.server.delegated === undefined) ensurePrivateDirectory(entry.cacheDir);
  else if (!checkPrivateDirectory(entry.cacheDir)) throw noDelegatedSession(entry.cacheDir);
  ensurePrivateDirectory(entry.dir);
}

/**
 * Returns the session; undefined where there is none, the user has signed out, or the file is about something else.
 * Throws as `readPrivateFile`.
 */
export function readSession(entry: CacheEntry): CachedSession | undefined {
  const session = readStoredSession(entry);
  return session?.signedOut === true ? undefined : session;
}

/** As `readSession`, but also one that the user has signed out of. */
export function readStoredSession(entry: CacheEntry): CachedSession | undefined {
  if (!checkPrivateDirectory(entry.cacheDir) || !checkPrivateDirectory(entry.dir)) return undefined;
  const text = readPrivateFile(join(entry.dir, 'session.json'));
  const session = text === undefined ? undefined : parseSession(text);
  return session?.server === entry.server.url ? session : undefined;
}

/** The caller must hold the entry's lock. */
export function writeSession(entry: CacheEntry, session: CachedSession): void {
  ensureEntry(entry);
  dropReadyFiles(entry);
  writePrivateFile(join(entry.dir, 'session.json'), formatSession(session));
  writeReadyFiles(entry, session);
}

/** Deletes the session; the pinned hosts stay. The caller must hold the entry's lock. */
export function dropSession(entry: CacheEntry): void {
  if (!checkPrivateDirectory(entry.dir)) return;
  dropReadyFiles(entry);
  rmSync(join(entry.dir, 'session.json'), { force: true });
  rmSync(join(entry.dir, 'served'), { recursive: true, force: true });
}

/** Deletes everything about the server, its pinned hosts included. */
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

/** Returns every server that was signed in to from here. */
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
  // An empty one says that none is sent.
  const deviceName = typeof record['deviceName'] === 'string' ? record['deviceName'] : undefined;
  const store = record['credentialStore'];
  const delegated = recordAt(record, 'delegated');
  return {
    url,
    pins: { web, api },
    ...(delegated === undefined ? {} : { delegated: parseMark(delegated) }),
    ...(store === 'keyring' || store === 'file' ? { credentialStore: store } : {}),
    ...defined({ caFile, deviceName }),
  };
}

/** A mark that was edited is one all the same: without it a user could sign in there. */
function parseMark(mark: JsonRecord): DelegatedMark {
  const text = (key: keyof DelegatedMark): string => stringAt(mark, key) ?? 'unknown';
  return { id: text('id'), name: text('name'), rights: text('rights'), expiresAt: text('expiresAt') };
}
