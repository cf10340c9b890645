/**
 * What becomes of a revocation while it is being proven: followed to its end, and shown on a terminal replica by replica.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { revocationResultSchema } from '../../core/admin-api/responses.ts';
import { AppError } from '../../core/errors.ts';
import { UNREGISTERED_LEASE_MS, waitFor } from '../../core/credential/lease.ts';
import { sendAdminRequest, type AdminRequest } from '../http/admin-api.ts';
import type { CacheEntry } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import { describeReplica } from '../terminal/receipt.ts';
import { parseResponse, type Receipt } from './admin-response.ts';

/** As long as any lease may last: until then a replica that is silent is not known to be fenced. */
const POLL_FOR_MS = waitFor(UNREGISTERED_LEASE_MS);
const POLL_EVERY_MS = 250;

/** Where the receipt is looked up. */
export interface TrackedRevocation {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  /** Says what is new in a receipt. */
  readonly report: (receipt: Receipt) => void;
}

/**
 * One line on stderr whenever a replica is in another state than was last said. Nothing where stdout is no terminal: a script
 * gets the receipt once, when it is final.
 */
export function replicaLines(context: CliContext): (receipt: Receipt) => void {
  if (context.columns === undefined) return () => undefined;
  const reported = new Map<string, string>();
  return (receipt) => {
    for (const replica of receipt.replicas) {
      const { id, state } = replica;
      if (reported.get(id) === state) continue;
      reported.set(id, state);
      context.notify(describeReplica(replica));
    }
  };
}

/** Sends the order, and on a terminal looks meanwhile how far it is: the server answers only when it is proven or late. */
export async function sendRevocation(
  tracked: TrackedRevocation,
  request: AdminRequest & { readonly json: { readonly requestId: string } },
): Promise<Receipt> {
  const { context, entry, report } = tracked;
  const finished = new AbortController();
  const progress = { id: request.json.requestId, signingIn: false };
  // It only looks on: what goes wrong there must not end the order, nor hide its receipt.
  const watching =
    context.columns === undefined ? undefined : watch(tracked, progress, finished.signal).catch(() => false);
  let shown: boolean | undefined;
  const onSignIn = (under: boolean): void => void (progress.signingIn = under);
  const pending = sendAdminRequest(context, entry, { ...request, onSignIn });
  try {
    await pending;
  } finally {
    finished.abort();
    shown = await watching;
  }
  const receipt = parseResponse(revocationResultSchema, (await pending).body);
  // What is complete at once says all of it in its table.
  if (shown === true || !receipt.complete) report(receipt);
  return receipt;
}

/** @returns whether it has told anything */
async function watch(
  tracked: TrackedRevocation,
  progress: { readonly id: string; readonly signingIn: boolean },
  until: AbortSignal,
): Promise<boolean> {
  let shown = false;
  for (;;) {
    await delay(POLL_EVERY_MS, undefined, { signal: until }).catch(() => undefined);
    if (until.aborted) return shown;
    // Nothing has been written while the person is still at their provider.
    if (progress.signingIn) continue;
    const polled = await poll(tracked, progress.id);
    if (until.aborted || polled === 'refused') return shown;
    if (typeof polled === 'string') continue;
    tracked.report(polled);
    shown = true;
  }
}

/** Asks until the receipt is complete, for half a minute. @returns the latest */
export async function pollUntilComplete(tracked: TrackedRevocation, first: Receipt): Promise<Receipt> {
  const { context, report } = tracked;
  context.notify('written; waiting for the other replicas to prove it');
  const until = context.now() + POLL_FOR_MS;
  let latest = first;
  while (!latest.complete && context.now() < until) {
    await delay(POLL_EVERY_MS);
    const polled = await poll(tracked, first.id);
    if (polled === 'refused' || polled === 'unknown') return latest;
    if (polled === 'away') continue;
    latest = polled;
    report(latest);
  }
  return latest;
}

/**
 * `unknown`: not written yet, or forgotten. `away`: nobody answers now, which is no reason to give up. `refused`: an admin who has
 * revoked themselves cannot ask any more.
 */
async function poll(
  { context, entry }: TrackedRevocation,
  id: string,
): Promise<Receipt | 'unknown' | 'away' | 'refused'> {
  try {
    const path = `revocations/${encodeURIComponent(id)}`;
    return parseResponse(
      revocationResultSchema,
      (await sendAdminRequest(context, entry, { method: 'GET', path })).body,
    );
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'not_found') return 'unknown';
    return error.code === 'upstream_unavailable' ? 'away' : 'refused';
  }
}
