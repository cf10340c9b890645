/**
 * `GET audit`: the live view of the audit log as server-sent events, for admins and auditors. It shows what every
 * user does, so a client that reconnects with `Last-Event-ID` is authorized again.
 */
import type { AdminApiDeps } from '../dependencies.ts';
import type { Request, RequestHandler, Response } from 'express';
import {
  MOST_TAILS_OF_REPLICA,
  tooManyTails,
  type LiveTails,
  type TailItem,
  type TailRequest,
} from '../../audit/live/live-tails.ts';
import { AppError } from '../../core/errors.ts';
import { AdminError, auditFilter, auditQuerySchema } from '../../services/admin/admin.ts';
import { adminContextOf } from './admin-call.ts';
import { EventStreams, frame, type EventStream, type STREAM_LIMITS } from './event-stream.ts';
import { record } from '../../http/audit-events.ts';

const RETRY_AFTER_SECONDS = 5;

function tooManyError(res: Response, cause: AppError): AdminError {
  res.setHeader('Retry-After', String(RETRY_AFTER_SECONDS));
  return new AdminError('too_many_tails', 'conflict', cause.message, { cause });
}

async function openTail(tails: LiveTails, request: TailRequest, res: Response): Promise<AsyncIterable<TailItem>> {
  try {
    return await tails.open(request);
  } catch (error) {
    throw error instanceof AppError && error.code === 'conflict' ? tooManyError(res, error) : error;
  }
}

/**
 * Handles `GET audit`.
 * @param limits other limits than the default, for tests only
 */
export function tailAudit(
  deps: AdminApiDeps,
  tails: LiveTails,
  limits: Partial<typeof STREAM_LIMITS> = {},
): RequestHandler {
  const streams = new EventStreams(deps);
  return async (req, res) => {
    const { actor } = adminContextOf(req);
    const filter = auditFilter(deps.config, req.query, auditQuerySchema);
    if (!streams.hasCapacityFor(actor.account, MOST_TAILS_OF_REPLICA)) throw tooManyError(res, tooManyTails());
    const stream = streams.open(res, actor, { limits, tooSlow: frame('gap', { reason: 'too_slow' }) });
    try {
      const after = req.get('Last-Event-ID');
      const { signal } = stream;
      if (signal.aborted) {
        // The stream ends instead of being rejected, because a client that reconnects after an end keeps its
        // position in the log.
        stream.begin();
        return stream.finish();
      }
      const items = await openTail(tails, { filter, signal, ...(after === undefined ? {} : { after }) }, res);
      actor.assertValid();
      auditTail(deps, req, filter);
      if (req.method === 'HEAD') return void res.end();
      stream.begin();
      await sendItems(stream, items);
    } finally {
      stream.close();
    }
  };
}

/** Writes the audit event of an admin or auditor who watches the audit log. */
function auditTail(deps: AdminApiDeps, req: Request, filter: object): void {
  const { context, path } = adminContextOf(req);
  const details = { filter: JSON.stringify(filter) };
  record(deps, context, { event: 'admin-read', path, code: 200, reason: 'audit', details });
}

async function sendItems(stream: EventStream, items: AsyncIterable<TailItem>): Promise<void> {
  for await (const item of items) {
    if (!(await sendItem(stream, item))) break;
  }
  stream.finish();
}

/** Sends one item. An audit event is one line of JSON, without any line ending in it. */
function sendItem(stream: EventStream, item: TailItem): Promise<boolean> {
  switch (item.kind) {
    case 'event':
      return stream.send(`id: ${item.id}\ndata: ${item.line}\n\n`);
    case 'gap':
      return stream.send(frame('gap', { reason: item.reason }, item.id));
    case 'idle':
      return stream.heartbeat(`: nothing for now\nid: ${item.id}\n\n`);
  }
}
