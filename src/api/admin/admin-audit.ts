/**
 * `GET audit`: the live view of the audit log as server-sent events, for admins and auditors. It shows what every
 * user does, so a client that reconnects with `Last-Event-ID` is authorized again.
 */
import {
  MOST_TAILS_OF_REPLICA,
  tooManyTails,
  type LiveTails,
  type TailItem,
  type TailRequest,
} from '../../audit/live/live-tails.ts';
import { auditQuerySchema } from '../../core/api/audit.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { passed, problemFor, type ProblemError } from '../../http/problem.ts';
import { auditFilter } from '../../services/admin/admin.ts';
import type { LiveView } from '../call.ts';
import type { AdminApiDeps } from '../dependencies.ts';
import { EventStreams, frame, type EventStream } from '../event-stream.ts';
import type { AdminCall } from './handlers.ts';
import { defined } from '../../core/defined.ts';

const RETRY_AFTER_SECONDS = 5;

const tooManyError = (cause: AppError): ProblemError =>
  problemFor(ADMIN, {
    reason: 'too_many_tails',
    message: cause.message,
    cause,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });

async function openTail(tails: LiveTails, request: TailRequest): Promise<AsyncIterable<TailItem>> {
  try {
    return await tails.open(request);
  } catch (error) {
    throw error instanceof AppError && error.code === 'conflict' ? tooManyError(error) : error;
  }
}

/** `GET audit`. */
export function tailAudit(deps: AdminApiDeps): LiveView<AdminCall<'tailAudit'>> {
  const { tails } = deps;
  const streams = new EventStreams(deps);
  return {
    stream({ actor, res }) {
      if (tails === undefined) {
        throw new AppError('not_found', 'There is no such resource in version 1 of the admin API.');
      }
      if (!streams.hasCapacityFor(actor.account, MOST_TAILS_OF_REPLICA)) throw tooManyError(tooManyTails());
      return streams.open(res, actor, { tooSlow: frame('gap', { reason: 'too_slow' }) });
    },
    async open(call, stream) {
      const filter = passed(ADMIN, auditFilter(deps.config, call.query, auditQuerySchema));
      const after = call.header('Last-Event-ID');
      const { signal } = stream;
      const read = { reason: 'audit', details: { filter: JSON.stringify(filter) } };
      // The stream ends instead of being rejected, because a client that reconnects after an end keeps its position in
      // the log.
      if (signal.aborted || tails === undefined) return { read, events: async () => undefined };
      const items = await openTail(tails, { filter, signal, ...defined({ after }) });
      return { read, events: () => sendItems(stream, items) };
    },
  };
}

async function sendItems(stream: EventStream, items: AsyncIterable<TailItem>): Promise<void> {
  for await (const item of items) {
    if (!(await sendItem(stream, item))) break;
  }
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
