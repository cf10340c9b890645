/** `GET audit/events` and `GET audit/events.jsonl`: the audit log of the past, in the files of this replica. */
import type { AdminApiDeps } from '../dependencies.ts';
import type { Request, RequestHandler } from 'express';
import type { History } from '../../audit/query/history.ts';
import { AppError } from '../../core/errors.ts';
import { record } from '../../http/audit-events.ts';
import { waiterOf } from '../../http/request-context.ts';
import { cutWhenRevoked } from '../../http/revocable-response.ts';
import {
  auditEventsQuerySchema,
  auditExportQuerySchema,
  auditFilter,
  pastQuery,
  replicaOf,
  searchHistory,
} from '../../services/admin/admin.ts';
import { adminContextOf, type ReadResult } from './admin-call.ts';

const EVENTS = 100;
const MOST_EXPORTED = 10_000;

const noFile = (): AppError =>
  new AppError(
    'not_found',
    'This replica writes no audit file that could be searched. Search where its sinks send the events.',
  );

export async function searchAudit(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const filter = auditFilter(deps.config, req.query, auditEventsQuerySchema);
  const bounds = { events: Number(filter['limit'] ?? EVENTS) };
  const found = await searchHistory(deps, waiterOf(req), pastQuery(filter, deps.clock.nowMs()), bounds);
  if (found === undefined) throw noFile();
  const { hits, stopped, unreadable } = found;
  const body = {
    replica: replicaOf(deps),
    events: hits.map(({ event }) => event),
    complete: stopped === undefined,
    ...(stopped === undefined ? {} : { stopped }),
    unreadable,
  };
  return { body, reason: 'audit_events', details: { filter: JSON.stringify(filter) } };
}

/** Sends lines as they are in the files, oldest first, as a download. */
export function exportAudit(deps: AdminApiDeps): RequestHandler {
  return async (req, res) => {
    const filter = auditFilter(deps.config, req.query, auditExportQuerySchema);
    const bounds = { events: MOST_EXPORTED, every: true };
    const { context, actor, path } = adminContextOf(req);
    const found = await searchHistory(deps, waiterOf(req), pastQuery(filter, deps.clock.nowMs()), bounds);
    if (found === undefined) throw noFile();
    actor.assertValid();
    const details = { filter: JSON.stringify(filter) };
    record(deps, context, { event: 'admin-read', path, code: 200, reason: 'audit_export', details });
    res.setHeader('Content-Disposition', `attachment; filename="${fileName(found, deps.clock.nowMs())}"`);
    cutWhenRevoked(res);
    res.type('application/x-ndjson').send(
      found.hits
        .toReversed()
        .map(({ text }) => `${text}\n`)
        .join(''),
    );
  };
}

/** The name says what is missing: an auditor who keeps the file does not see the page any more. */
function fileName({ stopped }: History, nowMs: number): string {
  const moment = new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '-');
  return `audit-${moment}${stopped === undefined ? '' : '-newest-part'}.jsonl`;
}
