import type { LogEntry, LogPosition } from '../../core/credential/revocation.ts';
import type { Connection } from './connection.ts';
import { number, text } from './reply.ts';
import { passRow, readLiveRow } from './rows.ts';
import type { ChainPlace, Runner } from './runner.ts';
import { join, livePage, logPage } from './scripts/log.ts';
import { unavailable } from './unavailable.ts';

/** Rows of one page: a few milliseconds of Redis' time, during which nobody else is served. */
const PAGE = 5000;
/** The same of the log's own rows, each of which is a list there. */
const LOG_PAGE = 1000;
/** An epoch that ends while it is being read makes this replica start over; more often than this is a fault. */
const ATTEMPTS = 3;

export interface JoinedLog {
  readonly place: ChainPlace;
  readonly live: readonly LogEntry[];
}

/**
 * Join (docs/revocation-protocol.md#join): the number first, then the live entries, page by page, so that no page holds Redis for
 * long. What was appended meanwhile is left out here and comes with the renewal from that number; what is over meanwhile covers nobody.
 * @param seconds now, epoch seconds
 * @throws AppError `store_unavailable`, `log_entry_unreadable` where a row is none
 */
export async function readLog(
  runner: Runner,
  connection: Connection,
  { longestTokenSeconds, seconds }: { readonly longestTokenSeconds: number; readonly seconds: number },
): Promise<JoinedLog> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const reply = await runner.run(connection, join, [longestTokenSeconds]);
    const place = { epoch: text(reply[1]), number: number(reply[2]), hash: text(reply[3]) };
    // safeguard: NUMBER_FIRST
    const rows = await readRows(runner, connection, place);
    const known = rows !== undefined && (await passLog(runner, connection, { place, seconds }));
    if (known) return { place, live: rows.filter(({ until }) => until > seconds) };
  }
  throw unavailable('epoch_unsettled');
}

/** @returns undefined where the epoch ended meanwhile */
async function readRows(
  runner: Runner,
  connection: Connection,
  place: ChainPlace,
): Promise<readonly LogEntry[] | undefined> {
  const ask = (after: number): Promise<readonly unknown[]> =>
    runner.runOnce(connection, livePage, [after, PAGE], place);
  const rows: LogEntry[] = [];
  let after = 0;
  let next = place.number === 0 ? undefined : ask(0);
  while (next !== undefined) {
    const reply = await next;
    if (reply[0] !== 'OK') return undefined;
    const lines = number(reply[1]) === 0 ? [] : text(reply[2]).split('\n');
    const last = lines.length === 0 ? place.number : readLiveRow(lines.at(-1) ?? '').number;
    next = last < place.number ? ask(last) : undefined;
    // It is under way while this page is read; should this one be unreadable, nobody asks any more what became of it.
    next?.catch(() => {});
    for (const line of lines) {
      const entry = readLiveRow(line);
      // Pages go by number: one that does not move on would be read for ever.
      if (entry.number <= after) throw unavailable('log_entry_unreadable');
      after = entry.number;
      if (entry.number <= place.number) rows.push(entry);
    }
  }
  return rows;
}

/**
 * Threat: a later version revokes in a way that this one does not know, and whoever restarts the replicas that it has fenced has them join:
 * the live entries need not have it, so the log is looked through too.
 * @returns false where the epoch ended meanwhile
 * @throws AppError `store_unavailable`, `log_entry_unreadable`
 */
async function passLog(
  runner: Runner,
  connection: Connection,
  { place, seconds }: { readonly place: ChainPlace; readonly seconds: number },
): Promise<boolean> {
  for (let after = 0; after < place.number;) {
    const reply = await runner.runOnce(connection, logPage, [after, place.number, LOG_PAGE], place);
    if (reply[0] !== 'OK') return false;
    const rows = number(reply[1]) === 0 ? [] : text(reply[2]).split('\n');
    for (const row of rows) after = passRow(row, seconds);
    if (rows.length < LOG_PAGE) return true;
  }
  return true;
}

export const positionOf = ({ epoch, number: last }: ChainPlace): LogPosition => ({ epoch, number: last });
