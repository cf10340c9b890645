/**
 * What an admin watches while it happens: the receipts of one revocation, and the replicas. As server-sent events, for who asks by
 * `Accept: text/event-stream`; each stream begins with the state of now, so a reader that was cut off has missed nothing.
 */
import type { Request, RequestHandler, Response } from 'express';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditFacts } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import type { ReplicaView, RevocationResult } from '../../revocation/revocation.ts';
import type { AdminDeps } from '../dependencies.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf, type Actor } from '../../http/request-context.ts';
import { AdminError } from '../problem.ts';
import type { AdminService } from '../revoke.ts';
import { EventStreams, frame, type EventStream } from './event-stream.ts';

/** Streams of both kinds and both doors. Each costs timers and a connection; twenty admins with two tabs are fewer. */
const MOST_STREAMS = 50;
const RETRY_AFTER_SECONDS = 5;

/** How often a revocation is looked at while its receipts come in, and for how long that is. */
const SOON_MS = 50;
const SOON_FOR_MS = 5000;
/** Afterwards, and where it must be read from the store; and how often the replicas are told when nothing has changed. */
const LATER_MS = 1000;
/** How often the replicas are looked at. They renew every half second. */
const REPLICAS_MS = 100;
/** As long as an answer is kept. */
const OLDEST_MS = 600_000;

/** What a reader has who has seen the end: it need not come back. */
const COMPLETE_ID = 'complete';

type Opened = (stream: EventStream) => Promise<void>;
type Asked = { readonly reason: string; readonly details?: AuditFacts };

/** One count a replica, whichever door and whichever view. */
const streamsHere = new WeakMap<AdminDeps['guard'], EventStreams>();

function streamsOf(deps: AdminDeps): EventStreams {
  const known = streamsHere.get(deps.guard);
  if (known !== undefined) return known;
  const streams = new EventStreams(deps);
  streamsHere.set(deps.guard, streams);
  return streams;
}

/** `GET revocations/ID`: `receipt` with the answer as it stands, again each time it has changed, and `end` when it is complete or ten minutes old. */
export function liveRevocation({ deps, results }: AdminService): RequestHandler {
  return async (req, res) => {
    const actor = readerOf(req);
    const id = String(req.params['id']);
    const first = await results.find(id);
    if (first === undefined) {
      const words = 'No revocation of this id is known from the last ten minutes.';
      throw new AdminError('revocation_not_found', 'not_found', words);
    }
    actor.assertGood();
    const asked = { reason: 'revocation', details: { revocation: first.id } };
    if (first.complete && req.get('Last-Event-ID') === COMPLETE_ID) {
      // An EventSource comes back after every end, until it is told 204.
      noted(deps, req, asked, 204);
      return void res.status(204).end();
    }
    await streamed(deps, req, res, asked, async (stream) => {
      await tellReceipts(stream, { deps, results }, first);
    });
  };
}

/** `GET replicas`: `replicas` once a second and each time something of them has changed. */
export function liveReplicas(deps: AdminDeps): RequestHandler {
  return (req, res) => {
    readerOf(req).assertGood();
    return streamed(deps, req, res, { reason: 'replicas' }, (stream) => tellReplicas(stream, deps));
  };
}

function readerOf(req: Request): Actor {
  const { actor } = contextOf(req);
  if (actor === undefined) throw new Error('the caller must be identified first');
  return actor;
}

/** Whoever watches is on the record, once for each stream. */
function noted(deps: AdminDeps, req: Request, { reason, details }: Asked, code: number): void {
  const path = req.originalUrl.split('?', 1)[0] ?? '';
  const about = details === undefined ? {} : { details };
  record(deps, contextOf(req), { event: 'admin-read', path, code, reason, ...about });
}

/** To be called in the tick in which the reader was judged. */
async function streamed(deps: AdminDeps, req: Request, res: Response, asked: Asked, opened: Opened): Promise<void> {
  const streams = streamsOf(deps);
  if (!streams.hasPlaceFor(readerOf(req).account, MOST_STREAMS)) {
    const words = 'This replica shows no more live views to you. Close one, or try again in a few seconds.';
    throw new AdminError('too_many_tails', 'conflict', words, { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
  noted(deps, req, asked, 200);
  if (req.method === 'HEAD') return void res.type('text/event-stream').end();
  const stream = streams.open(res, readerOf(req));
  try {
    stream.begin();
    await opened(stream);
    stream.finish();
  } finally {
    stream.close();
  }
}

async function tellReceipts(
  stream: EventStream,
  { deps, results }: AdminService,
  first: RevocationResult,
): Promise<void> {
  const begunAt = performance.now();
  let told: { readonly facts: string; readonly words: string; readonly at: number } | undefined;
  let answer: RevocationResult | undefined = first;
  while (answer !== undefined && deps.clock.now() - Date.parse(answer.at) < OLDEST_MS) {
    const now = performance.now();
    const [facts, words] = [factsOf(answer), String(answer.missing)];
    // Of what is missing, only for how long changes all the time.
    if (facts !== told?.facts || (words !== told.words && now - told.at >= LATER_MS)) {
      if (!(await stream.send(frame('receipt', answer, answer.complete ? COMPLETE_ID : undefined)))) return;
      told = { facts, words, at: now };
    }
    if (answer.complete) return stream.end('complete');
    const here = deps.guard.answer(answer.id) !== undefined;
    await pause(here && now - begunAt < SOON_FOR_MS ? SOON_MS : LATER_MS, stream);
    if (!(await stream.beat())) return;
    answer = (await askedAgain(results, answer.id)) ?? answer;
  }
  stream.end('too_old');
}

/** The store may be away for a moment. Where it stays so the lease ends, and the stream with it. */
async function askedAgain(answers: AdminService['results'], id: string): Promise<RevocationResult | undefined> {
  try {
    return await answers.find(id);
  } catch (error) {
    if (error instanceof AppError && error.code === 'store_unavailable') return undefined;
    throw error;
  }
}

/** Without what changes by itself. */
const factsOf = ({ elapsedMs: _elapsed, missing, ...facts }: RevocationResult): string =>
  JSON.stringify([facts, missing?.length]);

async function tellReplicas(stream: EventStream, { guard }: AdminDeps): Promise<void> {
  let told: { readonly facts: string; readonly at: number } | undefined;
  for (;;) {
    const { replicas } = guard;
    const [facts, now] = [JSON.stringify(replicas.map(withoutAge)), performance.now()];
    if (facts !== told?.facts || now - told.at >= LATER_MS) {
      if (!(await stream.send(frame('replicas', { replicas })))) return;
      told = { facts, at: now };
    }
    await pause(REPLICAS_MS, stream);
    if (stream.signal.aborted) return;
  }
}

const withoutAge = ({ seenMsAgo: _age, ...facts }: ReplicaView): object => facts;

/** Until then, or until the stream is over. */
const pause = (ms: number, { signal }: EventStream): Promise<void> =>
  delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
