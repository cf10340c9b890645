/**
 * What is kept of a workload between two calls of kubectl: the key that its token was brought with, and what came for it. Never that token.
 *
 *     DIR/KEY.workload-FILE/workload.json   the key with its certificate, and the tokens by audience
 *
 * beside the files of a person's session (`cache.ts`), in a folder of its own for each server and token file.
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
 * Finds where a workload's things are kept; makes nothing.
 * @param tokenFile absolute path
 */
export function locateWorkload(cacheDir: string, server: Server, tokenFile: string): CacheEntry {
  const entry = locateEntry(cacheDir, server);
  const dir = `${entry.dir}.workload-${digest(tokenFile).slice(0, 16)}`;
  return { ...entry, dir, lockPath: `${dir}.lock`, signInLockPath: `${dir}.sign-in.lock` };
}

/**
 * What is kept for this very token. Threat: on a machine that runs the jobs of many, the next one's token may lie in the same file; what the
 * one before got must not answer for it.
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

/** Takes the place of what was kept before. To be called with the entry's lock held. */
export function writeWorkload(entry: CacheEntry, subjectToken: string, kept: CachedWorkload): void {
  ensureEntry(entry);
  writePrivateFile(fileOf(entry), JSON.stringify({ version: 1, subjectToken: digest(subjectToken), ...kept }));
}

const fileOf = (entry: CacheEntry): string => join(entry.dir, 'workload.json');
