/** How a replica reads the whole log when it joins. */
import type { LogEntry, LogPosition } from '../../core/credential/revocation.ts';
import type { Connection } from './connection.ts';
import { number, text } from './reply.ts';
import { checkRow, readLiveRow } from './rows.ts';
import type { ChainPosition, Runner } from './runner.ts';
import { join, livePage, logPage } from './scripts.ts';
import { unavailable } from './unavailable.ts';

/** Rows of one page: a few milliseconds of Redis' time, during which no other client is served. */
const PAGE = 5000;
/** The same for the log's own rows, each of which is a list there. */
const LOG_PAGE = 1000;
/** If an epoch ends while it is being read, this replica starts again. More often than this is an error. */
const ATTEMPTS = 3;

export interface JoinedLog {
  readonly place: ChainPosition;
  readonly live: readonly LogEntry[];
}

/**
 * Joins (docs/revocation-protocol.md#join): reads the number first, then the live entries, page by page, so that
 * no page occupies Redis for long. Entries appended meanwhile are left out here and arrive with the renewal from
 * that number. Entries that expire meanwhile cover nothing.
 * @param seconds now, epoch seconds
 * @throws AppError `store_unavailable`, `log_entry_unreadable` if a row is malformed
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
    const known = rows !== undefined && (await checkLog(runner, connection, { place, seconds }));
    if (known) return { place, live: rows.filter(({ until }) => until > seconds) };
  }
  throw unavailable('epoch_unsettled');
}

/** @returns undefined if the epoch ended meanwhile */
async function readRows(
  runner: Runner,
  connection: Connection,
  place: ChainPosition,
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
    // The next page is requested while this one is read. If this one is unreadable, the result of that request is
    // not used.
    next?.catch(() => {});
    for (const line of lines) {
      const entry = readLiveRow(line);
      // Pages go by number: a row that does not advance it would make this loop endless.
      if (entry.number <= after) throw unavailable('log_entry_unreadable');
      after = entry.number;
      if (entry.number <= place.number) rows.push(entry);
    }
  }
  return rows;
}

/**
 * A later version may revoke in a way that this one does not know and so fences it; an operator then restarts the
 * fenced replicas, and they join. The live entries need not contain that revocation, so the log itself is checked
 * too.
 * @returns false if the epoch ended meanwhile
 * @throws AppError `store_unavailable`, `log_entry_unreadable`
 */
async function checkLog(
  runner: Runner,
  connection: Connection,
  { place, seconds }: { readonly place: ChainPosition; readonly seconds: number },
): Promise<boolean> {
  for (let after = 0; after < place.number;) {
    const reply = await runner.runOnce(connection, logPage, [after, place.number, LOG_PAGE], place);
    if (reply[0] !== 'OK') return false;
    const rows = number(reply[1]) === 0 ? [] : text(reply[2]).split('\n');
    for (const row of rows) after = checkRow(row, seconds);
    if (rows.length < LOG_PAGE) return true;
  }
  return true;
}

export const positionOf = ({ epoch, number: last }: ChainPosition): LogPosition => ({ epoch, number: last });
