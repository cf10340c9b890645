/** `GET audit/events` and `GET audit/events.jsonl`: the audit log of the past, in the files of this replica. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Hit } from '../../audit/query/matcher.ts';
import type { History, HistoryBounds } from '../../audit/query/history.ts';
import { auditEventsQuerySchema, auditExportQuerySchema } from '../../core/api/audit.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { CSV_HEADING, csvLine } from '../../core/audit/csv.ts';
import { AppError } from '../../core/errors.ts';
import { passed } from '../../http/problem.ts';
import { auditFilter, pastQuery, replicaOf, searchHistory } from '../../services/admin/admin.ts';
import type { Call } from '../call.ts';
import type { AdminApiDeps } from '../dependencies.ts';
import type { AdminHandlers } from './handlers.ts';
import { defined } from '../../core/defined.ts';

const EVENTS = 100;
const MOST_EXPORTED = 10_000;

const noFile = (): AppError =>
  new AppError('not_found', 'There is no audit file that could be searched. Search where the sinks send the events.');

export function historyHandlers(deps: AdminApiDeps) {
  async function foundBy(
    { actor, isAbandoned }: Call,
    filter: Readonly<Record<string, string>>,
    bounds: HistoryBounds,
  ): Promise<History> {
    const query = pastQuery(filter, deps.clock.nowMs());
    const found = passed(ADMIN, await searchHistory(deps, { account: actor.account, isAbandoned }, query, bounds));
    if (found === undefined) throw noFile();
    return found;
  }
  return {
    async searchAudit(call) {
      const filter = passed(ADMIN, auditFilter(deps.config, call.query, auditEventsQuerySchema));
      const bounds = { events: Number(filter['limit'] ?? EVENTS) };
      const found = await foundBy(call, filter, bounds);
      const { hits, stopped, unreadable, searched, missing } = found;
      const body = {
        replica: replicaOf(deps),
        events: hits.map(({ event }) => ({ ...event })),
        // A replica that is silent may have written the only event that was asked for.
        complete: stopped === undefined && (missing ?? []).length === 0,
        ...defined({ stopped }),
        unreadable,
        ...defined({ searched, missing }),
      };
      return { body, read: { reason: 'audit_events', details: { filter: JSON.stringify(filter) } } };
    },
    /** The lines as they are in the files, oldest first, as a download. */
    async exportAudit(call) {
      const filter = passed(ADMIN, auditFilter(deps.config, call.query, auditExportQuerySchema));
      const bounds = { events: MOST_EXPORTED, every: true, onlyHere: true };
      const found = await foundBy(call, filter, bounds);
      const isCsv = filter['format'] === 'csv';
      const name = fileName(found, deps.clock.nowMs(), isCsv ? 'csv' : 'jsonl');
      const file = isCsv
        ? { name, type: 'text/csv; charset=utf-8', text: await asCsv(found.hits.toReversed()) }
        : { name, type: 'application/x-ndjson', text: found.hits.toReversed().map(asLine).join('') };
      return {
        file,
        read: { reason: 'audit_export', details: { filter: JSON.stringify(filter) } },
      };
    },
  } satisfies Partial<AdminHandlers>;
}

/** The name says what is missing: an auditor who keeps the file does not see the page any more. */
function fileName({ stopped }: History, nowMs: number, ending: string): string {
  const moment = new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '-');
  return `audit-${moment}${stopped === undefined ? '' : '-newest-part'}.${ending}`;
}

const asLine = ({ text }: Hit): string => `${text}\n`;

/** In one turn of the event loop: about a millisecond. Ten thousand would keep all users' requests waiting. */
const ROWS_PER_TURN = 100;

async function asCsv(hits: readonly Hit[]): Promise<string> {
  const rows = [CSV_HEADING];
  for (const [index, { event }] of hits.entries()) {
    if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await turn();
    rows.push(csvLine(event));
  }
  return rows.join('');
}
