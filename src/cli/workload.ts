/**
 * A workload in place of a person: its token is exchanged for one of the admin API, which is bound to a key that exists only for this
 * command. Nothing is kept on disk.
 */
import { readFileSync } from 'node:fs';
import { ADMIN_AUDIENCE } from '../core/core.ts';
import { AppError } from '../core/errors.ts';
import type { AdminCredential } from './admin-api.ts';
import { createBinding } from './binding.ts';
import { readPins, type CacheEntry } from './cache.ts';
import { discover } from './discovery.ts';
import { fault } from './fault.ts';
import type { Laptop } from './laptop.ts';
import { isTokenText } from './session.ts';
import { exchange } from './token-endpoint.ts';

/** @throws AppError `bad_request` for a file that holds no token, else what `exchange` throws */
export async function workloadCredential(
  laptop: Laptop,
  entry: CacheEntry,
  tokenFile: string,
): Promise<AdminCredential> {
  const subjectToken = readToken(tokenFile);
  const { endpoints } = await discover(entry, readPins(entry));
  const binding = await createBinding(laptop.now());
  laptop.detail(`exchanging the workload’s token at ${endpoints.token}`);
  const asker = { server: entry.server.url, endpoints, binding };
  try {
    const { token } = await exchange(asker, subjectToken, ADMIN_AUDIENCE);
    return { endpoints, binding, token: token.token };
  } catch (error) {
    throw forWorkload(error);
  }
}

/** A workload cannot sign in at a browser, so the next step is another. */
function forWorkload(error: unknown): unknown {
  if (!(error instanceof AppError) || (error.code !== 'unauthenticated' && error.code !== 'forbidden')) return error;
  const [what] = error.message.split('\n  Next: ');
  const next = 'check that the token is fresh and for this server, and that a workload rule of role drill matches it';
  return fault(error.code, what ?? error.message, next, { reason: error.reason, cause: error });
}

/** Kubernetes mounts such a token as a link that it moves, so links are followed here. */
function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw fault('bad_request', `The token file ${path} cannot be read.`, 'check --token-file', { cause });
  }
  if (!isTokenText(text)) throw fault('bad_request', `${path} does not hold one token.`, 'check --token-file');
  return text;
}
