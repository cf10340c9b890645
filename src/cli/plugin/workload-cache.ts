/**
 * The cache of a workload between two calls of kubectl: the key pair that its token was presented with, and the
 * tokens it got. Never the workload's own token.
 *
 *     DIR/KEY.workload-FILE/workload.json   the key pair with its certificate, and the tokens by audience
 *
 * next to the files of a user's session (`cache.ts`), in a separate folder for each server and token file.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ensureEntry, locateEntry, type CacheEntry, type Server } from '../session/cache.ts';
import { parseRecord, recordAt, stringAt } from '../http/json-shape.ts';
import { checkPrivateDirectory, readPrivateFile, writePrivateFile } from '../session/private-files.ts';
import { parseTokens, type Binding, type CachedToken } from '../session/session.ts';

export interface CachedWorkload {
  readonly binding: Binding;
  /** By audience. */
  readonly tokens: Readonly<Record<string, CachedToken>>;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Returns where a workload's files are kept; creates nothing.
 * @param tokenFile absolute path
 */
export function locateWorkload(cacheDir: string, server: Server, tokenFile: string): CacheEntry {
  const entry = locateEntry(cacheDir, server);
  const dir = `${entry.dir}.workload-${digest(tokenFile).slice(0, 16)}`;
  return { ...entry, dir, lockPath: `${dir}.lock`, signInLockPath: `${dir}.sign-in.lock` };
}

/**
 * Returns the cache for exactly this token. On a machine that runs jobs of many users, the next job's token may be
 * in the same file, and an attacker must not get the tokens of the job before it.
 * @throws AppError as `readPrivateFile`
 */
export function readWorkload(entry: CacheEntry, subjectToken: string): CachedWorkload | undefined {
  if (!checkPrivateDirectory(entry.cacheDir) || !checkPrivateDirectory(entry.dir)) return undefined;
  const record = parseRecord(readPrivateFile(fileOf(entry)) ?? '');
  if (record?.['version'] !== 1 || record['subjectToken'] !== digest(subjectToken)) return undefined;
  const binding = recordAt(record, 'binding');
  const certificate = binding && stringAt(binding, 'certificate');
  const privateKey = binding && stringAt(binding, 'privateKey');
  if (certificate === undefined || privateKey === undefined) return undefined;
  return { binding: { certificate, privateKey }, tokens: parseTokens(recordAt(record, 'tokens') ?? {}) };
}

/** Replaces the cache. The caller must hold the entry's lock. */
export function writeWorkload(entry: CacheEntry, subjectToken: string, kept: CachedWorkload): void {
  ensureEntry(entry);
  writePrivateFile(fileOf(entry), JSON.stringify({ version: 1, subjectToken: digest(subjectToken), ...kept }));
}

const fileOf = (entry: CacheEntry): string => join(entry.dir, 'workload.json');
