/**
 * `GET audit`: the live record as server-sent events, for admins and auditors. A tail shows what everybody does: who comes back by
 * `Last-Event-ID` is judged afresh.
 */
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import {
  MOST_TAILS_HERE,
  tooManyTails,
  type LiveTails,
  type TailItem,
  type TailRequest,
} from '../../audit/live/live-tails.ts';
import { isPortcullisEventName } from '../../core/audit/catalogue.ts';
import { AppError } from '../../core/errors.ts';
import type { AdminDeps } from '../dependencies.ts';
import { EventStreams, frame, type EventStream, type STREAM_LIMITS } from './event-stream.ts';
import { AdminError } from '../problem.ts';
import { record } from '../../http/audit-events.ts';
import { accountSchema, sessionIdSchema } from '../revocation-request.ts';
import { findings } from '../session-query.ts';
import { contextOf } from '../../http/request-context.ts';

const RETRY_AFTER_SECONDS = 5;

const word = (pattern: RegExp, words: string) => z.string().regex(pattern, words).optional();

export const auditQuerySchema = z
  .strictObject({
    user: word(/^[^\p{C}]{1,512}$/u, 'a username'),
    account: accountSchema.optional(),
    session: sessionIdSchema.optional(),
    cluster: word(/^[a-z0-9.-]{1,63}$/, 'a cluster’s name'),
    verb: word(/^[a-z-]{1,40}$/, 'a verb, such as get or delete'),
    resource: word(/^[a-z0-9.-]{1,253}(?:\/[a-z0-9-]{1,63})?$/, 'a resource, such as pods or pods/exec'),
    namespace: word(/^[a-z0-9-]{1,63}$/, 'a namespace’s name'),
    code: word(/^[1-5]\d\d$/, 'an HTTP status, such as 403'),
    refused: z.literal('true', { error: 'true, or nothing' }).optional(),
    event: z.string().refine(isPortcullisEventName, 'there is no event of this name').optional(),
  })
  .refine(({ code, refused }) => code === undefined || refused === undefined, {
    message: 'code and refused do not go together',
  });

/** @throws AppError `bad_request` that names the field */
function filterOf({ config }: AdminDeps, query: object): TailRequest['filter'] {
  const parsed = auditQuerySchema.safeParse(query);
  if (!parsed.success) throw new AppError('bad_request', findings(parsed.error), { reason: 'query_malformed' });
  const filter: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed.data)) if (value !== undefined) filter[name] = value;
  // Threat: after a mistyped name nothing would ever be seen, and that would be believed.
  if (filter['cluster'] !== undefined && !config.clusters.some(({ name }) => name === filter['cluster'])) {
    throw new AppError('bad_request', 'cluster: there is no cluster of this name. GET clusters lists them.', {
      reason: 'query_malformed',
    });
  }
  return filter;
}

function tooMany(res: Response, cause: AppError): AdminError {
  res.setHeader('Retry-After', String(RETRY_AFTER_SECONDS));
  return new AdminError('too_many_tails', 'conflict', cause.message, { cause });
}

async function opened(tails: LiveTails, request: TailRequest, res: Response): Promise<AsyncIterable<TailItem>> {
  try {
    return await tails.open(request);
  } catch (error) {
    throw error instanceof AppError && error.code === 'conflict' ? tooMany(res, error) : error;
  }
}

/** @param limits only tests have others */
export function tailAudit(
  deps: AdminDeps,
  tails: LiveTails,
  limits: Partial<typeof STREAM_LIMITS> = {},
): RequestHandler {
  const streams = new EventStreams(deps);
  return async (req, res) => {
    const { actor } = contextOf(req);
    if (actor === undefined) throw new Error('the caller must be identified first');
    const filter = filterOf(deps, req.query);
    if (!streams.hasPlaceFor(actor.account, MOST_TAILS_HERE)) throw tooMany(res, tooManyTails());
    const stream = streams.open(res, actor, { limits, tooSlow: frame('gap', { reason: 'too_slow' }) });
    try {
      const after = req.get('Last-Event-ID');
      const { signal } = stream;
      if (signal.aborted) {
        // An end, and no refusal: who comes back after one keeps its place in the record.
        stream.begin();
        return stream.finish();
      }
      const items = await opened(tails, { filter, signal, ...(after === undefined ? {} : { after }) }, res);
      actor.assertGood();
      asked(deps, req, filter);
      if (req.method === 'HEAD') return void res.end();
      stream.begin();
      await tell(stream, items);
    } finally {
      stream.close();
    }
  };
}

/** Whoever looks at the record is on it. */
function asked(deps: AdminDeps, req: Request, filter: object): void {
  const path = req.originalUrl.split('?', 1)[0] ?? '';
  const details = { filter: JSON.stringify(filter) };
  record(deps, contextOf(req), { event: 'admin-read', path, code: 200, reason: 'audit', details });
}

async function tell(stream: EventStream, items: AsyncIterable<TailItem>): Promise<void> {
  for await (const item of items) {
    if (!(await tellOne(stream, item))) break;
  }
  stream.finish();
}

/** A line of the record has no line end of any kind in it. */
function tellOne(stream: EventStream, item: TailItem): Promise<boolean> {
  switch (item.kind) {
    case 'event':
      return stream.send(`id: ${item.id}\ndata: ${item.line}\n\n`);
    case 'gap':
      return stream.send(frame('gap', { reason: item.reason }, item.id));
    case 'idle':
      return stream.beat(`: nothing for now\nid: ${item.id}\n\n`);
  }
}
