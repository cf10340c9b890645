/**
 * The live views of the receipts of one revocation and of the replicas, as server-sent events for clients with
 * `Accept: text/event-stream`. Each stream begins with the current state, so a client that was disconnected misses
 * nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import type { ReplicaView, RevocationResult } from '../../revocation/revocation.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { problemFor } from '../../http/problem.ts';
import { isFollowed } from '../../services/admin/admin.ts';
import type { LiveView } from '../call.ts';
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import { EventStreams, frame, type EventStream } from '../event-stream.ts';
import type { AdminCall } from './handlers.ts';

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

/** One set of streams for each replica, for both prefixes and all views. */
const streamsHere = new WeakMap<AdminApiDeps['guard'], EventStreams>();

function streamsOf(deps: AdminApiDeps): EventStreams {
  const known = streamsHere.get(deps.guard);
  if (known !== undefined) return known;
  const streams = new EventStreams(deps);
  streamsHere.set(deps.guard, streams);
  return streams;
}

/** Returns how a stream of an account is opened. */
const begin =
  (deps: AdminApiDeps): LiveView['stream'] =>
  ({ actor, res }) => {
    const streams = streamsOf(deps);
    if (streams.hasCapacityFor(actor.account, MOST_VIEWS_OF_REPLICA)) return streams.open(res, actor);
    const message = 'Too many live views are open on this replica. Close one, or try again in a few seconds.';
    throw problemFor(ADMIN, { reason: 'too_many_tails', message, retryAfterSeconds: RETRY_AFTER_SECONDS });
  };

/**
 * `GET revocations/ID`: sends `receipt` with the current result and again after each change, and `end` when the result is
 * complete or so old that it changes no more.
 */
export const liveRevocation = ({ deps, results }: AdminApiService): LiveView<AdminCall<'getRevocation'>> => ({
  stream: begin(deps),
  async open({ params, header }, stream) {
    const first = await results.find(String(params['id']));
    if (first === undefined) throw problemFor(ADMIN, { reason: 'revocation_not_found' });
    const read = { reason: 'revocation', details: { revocation: first.id } };
    // An EventSource reconnects after every end, until the response is 204.
    if (first.complete && header('Last-Event-ID') === COMPLETE_ID) return { read };
    return { read, events: () => sendReceipts(stream, { deps, results }, first) };
  },
});

/** `GET replicas`: sends `replicas` once a second and after each change. */
export const liveReplicas = (deps: AdminApiDeps): LiveView<AdminCall<'listReplicas'>> => ({
  stream: begin(deps),
  open: (_call, stream) => ({ read: { reason: 'replicas' }, events: () => sendReplicas(stream, deps) }),
});

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
