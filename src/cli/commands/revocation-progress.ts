/**
 * What becomes of a revocation while it is being proven: followed to its end, and shown on a terminal replica by replica.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { revocationResultSchema } from '../../core/admin-api/responses.ts';
import { AppError } from '../../core/errors.ts';
import { UNREGISTERED_LEASE_MS, waitFor } from '../../core/credential/lease.ts';
import { askAdmin, type AdminRequest } from '../http/admin-api.ts';
import type { CacheEntry } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import { describeReplica } from '../terminal/receipt.ts';
import { answerOf, type Receipt } from './admin-response.ts';

/** As long as any lease may last: until then a replica that is silent is not known to be fenced. */
const FOLLOW_MS = waitFor(UNREGISTERED_LEASE_MS);
const FOLLOW_EVERY_MS = 250;

/** Where the receipt is looked up. */
export interface Followed {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  /** Says what is new in a receipt. */
  readonly tell: (receipt: Receipt) => void;
}

/**
 * One line on stderr whenever a replica is in another state than was last said. Nothing where stdout is no terminal: a script
 * gets the receipt once, when it is final.
 */
export function replicaLines(context: CliContext): (receipt: Receipt) => void {
  if (context.columns === undefined) return () => undefined;
  const told = new Map<string, string>();
  return (receipt) => {
    for (const replica of receipt.replicas) {
      const { id, state } = replica;
      if (told.get(id) === state) continue;
      told.set(id, state);
      context.say(describeReplica(replica));
    }
  };
}

/** Sends the order, and on a terminal looks meanwhile how far it is: the server answers only when it is proven or late. */
export async function sendOrder(
  followed: Followed,
  request: AdminRequest & { readonly json: { readonly requestId: string } },
): Promise<Receipt> {
  const { context, entry, tell } = followed;
  const answered = new AbortController();
  const order = { id: request.json.requestId, signingIn: false };
  // It only looks on: what goes wrong there must not end the order, nor hide its receipt.
  const watching =
    context.columns === undefined ? undefined : watch(followed, order, answered.signal).catch(() => false);
  let shown: boolean | undefined;
  const onSignIn = (under: boolean): void => void (order.signingIn = under);
  const ordered = askAdmin(context, entry, { ...request, onSignIn });
  try {
    await ordered;
  } finally {
    answered.abort();
    shown = await watching;
  }
  const receipt = answerOf(revocationResultSchema, (await ordered).body);
  // What is complete at once says all of it in its table.
  if (shown === true || !receipt.complete) tell(receipt);
  return receipt;
}

/** @returns whether it has told anything */
async function watch(
  followed: Followed,
  order: { readonly id: string; readonly signingIn: boolean },
  until: AbortSignal,
): Promise<boolean> {
  let shown = false;
  for (;;) {
    await delay(FOLLOW_EVERY_MS, undefined, { signal: until }).catch(() => undefined);
    if (until.aborted) return shown;
    // Nothing has been written while the person is still at their provider.
    if (order.signingIn) continue;
    const looked = await look(followed, order.id);
    if (until.aborted || looked === 'refused') return shown;
    if (typeof looked === 'string') continue;
    followed.tell(looked);
    shown = true;
  }
}

/** Asks until the receipt is complete, for half a minute. @returns the latest */
export async function follow(followed: Followed, first: Receipt): Promise<Receipt> {
  const { context, tell } = followed;
  context.say('written; waiting for the other replicas to prove it');
  const until = context.now() + FOLLOW_MS;
  let latest = first;
  while (!latest.complete && context.now() < until) {
    await delay(FOLLOW_EVERY_MS);
    const looked = await look(followed, first.id);
    if (looked === 'refused' || looked === 'unknown') return latest;
    if (looked === 'away') continue;
    latest = looked;
    tell(latest);
  }
  return latest;
}

/**
 * `unknown`: not written yet, or forgotten. `away`: nobody answers now, which is no reason to give up. `refused`: an admin who has
 * revoked themselves cannot ask any more.
 */
async function look({ context, entry }: Followed, id: string): Promise<Receipt | 'unknown' | 'away' | 'refused'> {
  try {
    const path = `revocations/${encodeURIComponent(id)}`;
    return answerOf(revocationResultSchema, (await askAdmin(context, entry, { method: 'GET', path })).body);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'not_found') return 'unknown';
    return error.code === 'upstream_unavailable' ? 'away' : 'refused';
  }
}
