/**
 * `sessions` and `replicas`: what admins and auditors look at.
 */
import { askAdmin } from '../admin-api.ts';
import { locateEntry, type CacheEntry } from '../cache.ts';
import { arrayAt, isRecord, numberAt, stringAt, type JsonRecord } from '../json-shape.ts';
import type { Laptop } from '../laptop.ts';
import { fromNow } from '../moment.ts';
import { printResult, type OutputOptions } from '../output.ts';
import { table } from '../table.ts';
import { whichServer, type ServerOptions } from '../which-server.ts';

/** Pages that are asked for at most: 20,000 sessions. */
const MAX_PAGES = 100;
const PAGE = 200;

export interface SessionsOptions extends ServerOptions, OutputOptions {
  readonly account?: string;
}

export async function sessions(laptop: Laptop, options: SessionsOptions): Promise<void> {
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const found = await allSessions(laptop, entry, options.account);
  await printResult(laptop, options, { sessions: found }, () => sessionTable(laptop, found));
  if (found.length === 0) laptop.say('there are no sessions');
}

/** What matters least comes last: a narrow terminal leaves it out. */
const COLUMNS = ['id', 'username', 'lastUsedAt', 'expiresAt', 'account', 'client', 'address'] as const;

function sessionTable(laptop: Laptop, found: readonly JsonRecord[]): string {
  if (found.length === 0) return '';
  const cell = (session: JsonRecord, key: (typeof COLUMNS)[number]): string => {
    const text = stringAt(session, key) ?? '';
    if (key === 'client' && session['device'] === true) return `${text} (by code)`;
    const isMoment = key === 'lastUsedAt' || key === 'expiresAt';
    return isMoment && laptop.columns !== undefined ? fromNow(text, laptop.now()) : text;
  };
  return table(
    ['SESSION', 'USERNAME', 'LAST USED', 'EXPIRES', 'ACCOUNT', 'CLIENT', 'ADDRESS'],
    found.map((session) => COLUMNS.map((key) => cell(session, key))),
    laptop.columns,
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

export async function replicas(laptop: Laptop, options: ServerOptions & OutputOptions): Promise<void> {
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const { body } = await askAdmin(laptop, entry, { method: 'GET', path: 'replicas' });
  const found = arrayAt(body, 'replicas').filter(isRecord);
  await printResult(laptop, options, { replicas: found }, () =>
    table(
      ['REPLICA', 'STATE', 'SEEN MS AGO', 'LAST ENTRY', 'STREAMS CUT', 'INCARNATION'],
      found.map((replica) => [
        `${stringAt(replica, 'id') ?? ''}${replica['self'] === true ? ' (answers)' : ''}`,
        stringAt(replica, 'state') ?? '',
        ...['seenMsAgo', 'number', 'streamsCut'].map((key) => String(Math.round(numberAt(replica, key) ?? 0))),
        (stringAt(replica, 'incarnation') ?? '').slice(0, 8),
      ]),
      laptop.columns,
    ),
  );
}
