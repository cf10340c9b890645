/**
 * `sessions` and `replicas`: what admins and auditors look at.
 */
import { askAdmin } from '../admin-api.ts';
import { locateEntry, type CacheEntry } from '../cache.ts';
import { arrayAt, isRecord, numberAt, stringAt, type JsonRecord } from '../json-shape.ts';
import type { Laptop } from '../laptop.ts';
import { plainJson } from '../plain-text.ts';
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
        ['id', 'username', 'account', 'client', 'lastUsedAt', 'expiresAt', 'address'].map((key) => {
          const text = stringAt(session, key) ?? '';
          return key === 'client' && session['device'] === true ? `${text} (by code)` : text;
        }),
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

export async function replicas(laptop: Laptop, options: ServerOptions & { readonly output?: string }): Promise<void> {
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const { body } = await askAdmin(laptop, entry, { method: 'GET', path: 'replicas' });
  const found = arrayAt(body, 'replicas').filter(isRecord);
  if (options.output === 'json') return laptop.print(`${plainJson({ replicas: found })}\n`);
  laptop.print(
    table(
      ['REPLICA', 'STATE', 'SEEN MS AGO', 'LAST ENTRY', 'STREAMS CUT', 'INCARNATION'],
      found.map((replica) => [
        `${stringAt(replica, 'id') ?? ''}${replica['self'] === true ? ' (answers)' : ''}`,
        stringAt(replica, 'state') ?? '',
        ...['seenMsAgo', 'number', 'streamsCut'].map((key) => String(Math.round(numberAt(replica, key) ?? 0))),
        (stringAt(replica, 'incarnation') ?? '').slice(0, 8),
      ]),
    ),
  );
}
