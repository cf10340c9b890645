/**
 * The live views of the receipts of one revocation and of the replicas, as server-sent events for clients with
 * `Accept: text/event-stream`. Each stream begins with the current state, so a client that was disconnected misses
 * nothing.
 */
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import type { Request, RequestHandler, Response } from 'express';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditFacts } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import type { ReplicaView, RevocationResult } from '../../revocation/revocation.ts';
import { AdminError, isFollowed, revocationNotFound } from '../../services/admin/admin.ts';
import { record } from '../../http/audit-events.ts';
import { adminContextOf } from './admin-call.ts';
import { EventStreams, frame, type EventStream } from './event-stream.ts';

/**
 * Streams of both kinds at both prefixes. Each costs timers and a connection; twenty admins with two tabs have
 * fewer.
 */
export const MOST_VIEWS_OF_REPLICA = 50;
const RETRY_AFTER_SECONDS = 5;

/** How often a revocation is polled while its receipts come in, and how long that is. */
const FAST_POLL_MS = 50;
const FAST_POLL_FOR_MS = 5000;
/**
 * How often it is polled afterwards, or in the store; and how often the replicas are sent when nothing has changed.
 */
const SLOW_POLL_MS = 1000;
/** How often the replicas are polled. They renew their leases every half second. */
const REPLICAS_POLL_MS = 100;

/** The `Last-Event-ID` of a client that has received the end. It need not come back. */
const COMPLETE_ID = 'complete';

type SendEvents = (stream: EventStream) => Promise<void>;
type ReadDetails = { readonly reason: string; readonly details?: AuditFacts };

/** One set of streams for each replica, for both prefixes and all views. */
const streamsHere = new WeakMap<AdminApiDeps['guard'], EventStreams>();

function streamsOf(deps: AdminApiDeps): EventStreams {
  const known = streamsHere.get(deps.guard);
  if (known !== undefined) return known;
  const streams = new EventStreams(deps);
  streamsHere.set(deps.guard, streams);
  return streams;
}

/**
 * Handles `GET revocations/ID`: sends `receipt` with the current result and again after each change, and `end` when
 * the result is complete or so old that it changes no more.
 */
export function liveRevocation({ deps, results }: AdminApiService): RequestHandler {
  return async (req, res) => {
    const { actor } = adminContextOf(req);
    const id = String(req.params['id']);
    const first = await results.find(id);
    if (first === undefined) throw revocationNotFound();
    actor.assertValid();
    const read = { reason: 'revocation', details: { revocation: first.id } };
    if (first.complete && req.get('Last-Event-ID') === COMPLETE_ID) {
      // An EventSource reconnects after every end, until the response is 204.
      auditRead(deps, req, read, 204);
      return void res.status(204).end();
    }
    await serveStream(deps, req, res, read, async (stream) => {
      await sendReceipts(stream, { deps, results }, first);
    });
  };
}

/** Handles `GET replicas`: sends `replicas` once a second and after each change. */
export function liveReplicas(deps: AdminApiDeps): RequestHandler {
  return (req, res) => {
    adminContextOf(req).actor.assertValid();
    return serveStream(deps, req, res, { reason: 'replicas' }, (stream) => sendReplicas(stream, deps));
  };
}

/** Audits a read, once for each stream. */
function auditRead(deps: AdminApiDeps, req: Request, { reason, details }: ReadDetails, code: number): void {
  const { context, path } = adminContextOf(req);
  const about = details === undefined ? {} : { details };
  record(deps, context, { event: 'admin-read', path, code, reason, ...about });
}

/** Serves one stream. Call it in the tick in which the caller's credential was checked. */
async function serveStream(
  deps: AdminApiDeps,
  req: Request,
  res: Response,
  read: ReadDetails,
  sendEvents: SendEvents,
): Promise<void> {
  const streams = streamsOf(deps);
  const { actor } = adminContextOf(req);
  if (!streams.hasCapacityFor(actor.account, MOST_VIEWS_OF_REPLICA)) {
    const message = 'Too many live views are open on this replica. Close one, or try again in a few seconds.';
    throw new AdminError('too_many_tails', 'conflict', message, { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
  auditRead(deps, req, read, 200);
  if (req.method === 'HEAD') return void res.type('text/event-stream').end();
  const stream = streams.open(res, actor);
  try {
    stream.begin();
    await sendEvents(stream);
    stream.finish();
  } finally {
    stream.close();
  }
}

async function sendReceipts(
  stream: EventStream,
  { deps, results }: AdminApiService,
  first: RevocationResult,
): Promise<void> {
  const startedAtMs = performance.now();
  let sent: { readonly facts: string; readonly missing: string; readonly atMs: number } | undefined;
  for (let result = first; ; result = (await findAgain(results, result.id)) ?? result) {
    const nowMs = performance.now();
    const [facts, missing] = [factsOf(result), String(result.missing)];
    // The text of what is missing has a duration in it, which changes all the time.
    if (facts !== sent?.facts || (missing !== sent.missing && nowMs - sent.atMs >= SLOW_POLL_MS)) {
      if (!(await stream.send(frame('receipt', result, result.complete ? COMPLETE_ID : undefined)))) return;
      sent = { facts, missing, atMs: nowMs };
    }
    if (!isFollowed(result, deps.clock.nowMs())) return stream.end(result.complete ? 'complete' : 'too_old');
    const isHere = deps.guard.result(result.id) !== undefined;
    await pause(isHere && nowMs - startedAtMs < FAST_POLL_FOR_MS ? FAST_POLL_MS : SLOW_POLL_MS, stream);
    if (!(await stream.heartbeat())) return;
  }
}

/**
 * Reads a result again. The store may be unavailable for a moment; if it stays so, the lease ends and the stream
 * with it.
 */
async function findAgain(results: AdminApiService['results'], id: string): Promise<RevocationResult | undefined> {
  try {
    return await results.find(id);
  } catch (error) {
    if (error instanceof AppError && error.code === 'store_unavailable') return undefined;
    throw error;
  }
}

/** Returns a result as text, without what changes by itself. */
const factsOf = ({ elapsedMs: _elapsed, missing, ...facts }: RevocationResult): string =>
  JSON.stringify([facts, missing?.length]);

async function sendReplicas(stream: EventStream, { guard }: AdminApiDeps): Promise<void> {
  let sent: { readonly facts: string; readonly atMs: number } | undefined;
  for (;;) {
    const { replicas } = guard;
    const [facts, nowMs] = [JSON.stringify(replicas.map(withoutAge)), performance.now()];
    if (facts !== sent?.facts || nowMs - sent.atMs >= SLOW_POLL_MS) {
      if (!(await stream.send(frame('replicas', { replicas })))) return;
      sent = { facts, atMs: nowMs };
    }
    await pause(REPLICAS_POLL_MS, stream);
    if (stream.signal.aborted) return;
  }
}

const withoutAge = ({ seenMsAgo: _age, ...facts }: ReplicaView): object => facts;

/** Waits so many milliseconds, or until the stream is over. */
const pause = (ms: number, { signal }: EventStream): Promise<void> =>
  delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
