/** The progress of a revocation: polled until it is complete, and shown on a terminal replica by replica. */
import { setTimeout as delay } from 'node:timers/promises';
import { UNREGISTERED_LEASE_MS, waitFor } from '../../core/credential/lease.ts';
import type { CliContext } from '../context.ts';
import { describeReplica } from '../terminal/receipt.ts';
import type { Receipt } from './admin-response.ts';

/** The longest possible lease: until then a silent replica is not known to be fenced. */
const POLL_FOR_MS = waitFor(UNREGISTERED_LEASE_MS);
const POLL_EVERY_MS = 250;

/**
 * A receipt. `unknown`: not written yet, or forgotten. `unavailable`: no server responds now, which is no reason to give
 * up. `refused`: an admin who has revoked themselves may not poll any more, or the operator waits no longer.
 */
export type Polled = Receipt | 'unknown' | 'unavailable' | 'refused';

/** Where the receipt is polled. */
export interface TrackedRevocation {
  readonly context: CliContext;
  readonly poll: (id: string) => Promise<Polled>;
  /** Reports the news of a receipt. */
  readonly report: (receipt: Receipt) => void;
}

/**
 * Writes one line to stderr whenever the state of a replica changes. Writes nothing where stdout is no terminal: a
 * script gets the receipt once, when it is final.
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

/**
 * Sends the revocation, and on a terminal polls its progress meanwhile: the response comes only when it is complete or
 * late.
 * @param send is given what to call when the user begins to authenticate again for the request, and when that ends
 */
export async function sendRevocation(
  tracked: TrackedRevocation,
  id: string,
  send: (onSignIn: (under: boolean) => void) => Promise<Receipt>,
): Promise<Receipt> {
  const { context, report } = tracked;
  const finished = new AbortController();
  const progress = { id, signingIn: false };
  // The poll only watches: an error there must neither end the revocation nor hide its receipt.
  const watching =
    context.columns === undefined ? undefined : watch(tracked, progress, finished.signal).catch(() => false);
  let shown: boolean | undefined;
  const pending = send((under) => void (progress.signingIn = under));
  try {
    await pending;
  } finally {
    finished.abort();
    shown = await watching;
  }
  const receipt = await pending;
  // The table of a receipt that is complete immediately holds everything.
  if (shown === true || !receipt.complete) report(receipt);
  return receipt;
}

/** @returns whether it has reported anything */
async function watch(
  tracked: TrackedRevocation,
  progress: { readonly id: string; readonly signingIn: boolean },
  until: AbortSignal,
): Promise<boolean> {
  let shown = false;
  for (;;) {
    await delay(POLL_EVERY_MS, undefined, { signal: until }).catch(() => undefined);
    if (until.aborted) return shown;
    // Nothing has been written while the user is still at their provider.
    if (progress.signingIn) continue;
    const polled = await tracked.poll(progress.id);
    if (until.aborted || polled === 'refused') return shown;
    if (typeof polled === 'string') continue;
    tracked.report(polled);
    shown = true;
  }
}

/** Polls until the receipt is complete, for half a minute. @returns the latest receipt */
export async function pollUntilComplete(tracked: TrackedRevocation, first: Receipt): Promise<Receipt> {
  const { context, poll, report } = tracked;
  context.notify('written; waiting for proof from the other replicas');
  const until = context.nowMs() + POLL_FOR_MS;
  let latest = first;
  while (!latest.complete && context.nowMs() < until) {
    await delay(POLL_EVERY_MS);
    const polled = await poll(first.id);
    if (polled === 'refused' || polled === 'unknown') return latest;
    if (polled === 'unavailable') continue;
    latest = polled;
    report(latest);
  }
  return latest;
}
