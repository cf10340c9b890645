/**
 * `sessions` and `revoke`, for admins.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import { askAdmin } from '../admin-api.ts';
import { locateEntry, type CacheEntry } from '../cache.ts';
import { fault } from '../fault.ts';
import { arrayAt, isRecord, numberAt, stringAt, stringsAt, type JsonRecord } from '../json-shape.ts';
import type { Laptop } from '../laptop.ts';
import { plainJson, plainText } from '../plain-text.ts';
import { table } from '../table.ts';
import { whichServer, type ServerOptions } from '../which-server.ts';

/** Pages that are asked for at most: 20,000 sessions. */
const MAX_PAGES = 100;
const PAGE = 200;

export interface SessionsOptions extends ServerOptions {
  readonly account?: string;
  readonly output?: string;
}

export async function sessions(laptop: Laptop, options: SessionsOptions): Promise<void> {
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const found = await allSessions(laptop, entry, options.account);
  if (options.output === 'json') return laptop.print(`${plainJson({ sessions: found })}\n`);
  if (found.length === 0) return laptop.say('there are no sessions');
  laptop.print(
    table(
      ['SESSION', 'USERNAME', 'ACCOUNT', 'CLIENT', 'LAST USED', 'EXPIRES', 'ADDRESS'],
      found.map((session) =>
        ['id', 'username', 'account', 'client', 'lastUsedAt', 'expiresAt', 'address'].map(
          (key) => stringAt(session, key) ?? '',
        ),
      ),
    ),
  );
}

async function allSessions(laptop: Laptop, entry: CacheEntry, account?: string): Promise<JsonRecord[]> {
  const found: JsonRecord[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (account !== undefined) query.set('account', account);
    if (cursor !== undefined) query.set('cursor', cursor);
    const { body } = await askAdmin(laptop, entry, { method: 'GET', path: `sessions?${query.toString()}` });
    found.push(...arrayAt(body, 'sessions').filter(isRecord));
    cursor = stringAt(body, 'cursor');
    if (cursor === undefined) return found;
  }
  laptop.say(`only the first ${found.length} sessions are shown; narrow with --account`);
  return found;
}

export interface RevokeOptions extends ServerOptions {
  readonly session?: string;
  readonly account?: string;
  readonly username?: string;
  readonly provider?: string;
  readonly all?: true;
  readonly reason: string;
  readonly output?: string;
}

/**
 * Revokes and shows the receipt. Follows an answer that is not complete for a while.
 * @throws AppError `conflict` when it is written but not proven by then: a script must not take that for done
 */
export async function revoke(laptop: Laptop, options: RevokeOptions): Promise<void> {
  const target = targetOf(options);
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const json = { ...target, reason: options.reason };
  const { body } = await askAdmin(laptop, entry, { method: 'POST', path: 'revocations', json });
  const receipt = body['complete'] === true ? body : await follow(laptop, entry, body);
  laptop.print(options.output === 'json' ? `${plainJson(receipt)}\n` : describeReceipt(receipt));
  if (receipt['complete'] === true) return;
  const missing = plainText(stringsAt(receipt, 'missing').join(', ') || 'unknown', 1000);
  throw fault(
    'conflict',
    `The revocation is written and being applied, but not proven yet. Missing: ${missing}.`,
    `look again: portcullis sessions; who is missing refuses everything once its lease has lapsed`,
    { reason: 'revocation_not_proven' },
  );
}

function targetOf(options: RevokeOptions): Record<string, string | true> {
  const { session, account, username, provider, all } = options;
  const given = Object.entries({ session, account, username, provider, all }).filter(
    ([, value]) => value !== undefined,
  );
  const [only] = given;
  if (only === undefined || given.length > 1) {
    const next = 'give exactly one of --session, --account, --username, --provider, --all';
    throw fault('bad_request', 'A revocation has one target.', next);
  }
  return { [only[0]]: only[1] ?? true };
}

const FOLLOW_MS = 10_000;
const FOLLOW_EVERY_MS = 250;

async function follow(laptop: Laptop, entry: CacheEntry, first: JsonRecord): Promise<JsonRecord> {
  const id = stringAt(first, 'id');
  if (id === undefined) return first;
  laptop.say('written; waiting for the other replicas to prove it');
  const until = laptop.now() + FOLLOW_MS;
  let latest = first;
  while (latest['complete'] !== true && laptop.now() < until) {
    await delay(FOLLOW_EVERY_MS);
    try {
      const { body } = await askAdmin(laptop, entry, { method: 'GET', path: `revocations/${encodeURIComponent(id)}` });
      latest = body;
    } catch (error) {
      // Another replica may have been asked, or the admin has revoked themselves: what is known stands.
      if (error instanceof AppError) return latest;
      throw error;
    }
  }
  return latest;
}

function describeReceipt(receipt: JsonRecord): string {
  const count = (key: string): number => numberAt(receipt, key) ?? 0;
  const complete = receipt['complete'] === true;
  const lines = [
    `${complete ? 'complete' : 'NOT COMPLETE'}: ${count('sessions')} sessions ended, ${count('streamsClosed')} streams cut, ${count('elapsedMs')} ms`,
  ];
  if (receipt['canSignInAgain'] === true) lines.push('the person can sign in again');
  const replicas = arrayAt(receipt, 'replicas').filter(isRecord);
  const rows = replicas.map((replica) => [
    stringAt(replica, 'id') ?? '',
    stringAt(replica, 'state') ?? '',
    String(numberAt(replica, 'ms') ?? '-'),
    String(numberAt(replica, 'streamsClosed') ?? '-'),
  ]);
  return `${lines.join('\n')}\n${rows.length === 0 ? '' : table(['REPLICA', 'STATE', 'MS', 'STREAMS CUT'], rows)}`;
}
