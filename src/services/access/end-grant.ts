/**
 * Writes the end of a grant: a revocation of its groups alone, whose receipt says what each replica did.
 *
 * The groups are gone without this: each replica knows when a grant is over. What is written here proves it, cuts it where
 * it ends early, and makes it known. The order is such that a process that dies in between leaves nothing undone: who ends
 * it, as what, and the id of the revocation are noted first, so another replica's attempt is the same revocation, and does
 * not say hours later that its time was over; the grant is active until its end is noted, so another replica finds it; and
 * it is audited before that is noted, at worst twice.
 */
import { randomUUID } from 'node:crypto';
import type { RevocationResults } from '../admin/admin.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import type { AccessRequest, GrantPeriod } from '../../core/access/request.ts';
import { problemFor } from '../../http/problem.ts';
import type { RevocationResult } from '../../revocation/revocation.ts';
import { auditEnded, type GrantEnd } from './audit-events.ts';
import { auditIfFound } from './grant-begin.ts';
import type { AccessDeps } from './dependencies.ts';
import { defined } from '../../core/defined.ts';

/** A claim whose holder has died lapses after this time: longer than the store may hang, and a proof may take. */
export const CLAIM_SECONDS = 30;

/** Of a grant that the store does not have, each replica finds out by itself, some only once they are not fenced any more. */
const LOST_CLAIM_SECONDS = 600;

/**
 * @param end.isSweep nothing is done where another replica is about to write it; a user waits for the result all the same
 * @param end.isLost its end cannot be noted, so it is claimed for long
 */
export type EndGrant = (
  request: AccessRequest,
  end: GrantEnd & { readonly isSweep?: true; readonly isLost?: true },
) => Promise<Ended>;

export interface Ended {
  /** As it is stored now; as it was given, where another replica is about to note the end. */
  readonly request: AccessRequest;
  /** Absent where its session was over. */
  readonly result?: RevocationResult;
}

type Results = Pick<RevocationResults, 'expect' | 'keep'>;

/** @param results where the receipt of each end is kept */
export function createEndGrant(deps: AccessDeps, results: Results): EndGrant {
  /** Of this process: the sweep and a user end the same grant at the same time. */
  const running = new Map<string, Promise<Ended>>();
  return (request, end) => {
    const already = running.get(request.id);
    if (already !== undefined) return already;
    const run = endOnce(deps, results, { request, end }).finally(() => running.delete(request.id));
    running.set(request.id, run);
    return run;
  };
}

async function endOnce(
  deps: AccessDeps,
  results: Results,
  { request, end }: { readonly request: AccessRequest; readonly end: Parameters<EndGrant>[1] },
): Promise<Ended> {
  const { store, guard } = deps;
  const claimSeconds = end.isLost === true ? LOST_CLAIM_SECONDS : CLAIM_SECONDS;
  const mine = await store.access.claimEnding(request.id, guard.incarnation, claimSeconds);
  if (!mine && end.isSweep === true) return { request };
  const meant = await noteEnding(deps, request, end);
  // Its end wakes the sweep, which may have read this grant before the end was noted, and comes here after that.
  const isOver = meant.state === 'ended';
  if (isOver && end.isSweep === true) return { request: meant };
  const first = firstEnd(meant, end);
  // Its user or an admin waits for the result, whichever replica writes the rest.
  const result = first.ending === 'session' ? undefined : await revoke(deps, results, { request: meant, end: first });
  if (!mine || isOver) return { request: meant, ...defined({ result }) };
  await auditIfFound(deps, meant);
  auditEnded(deps, request, first, result);
  const { ending, by } = first;
  const how = {
    ending,
    ...defined({ endedBy: by, revocation: result?.id }),
  };
  const noted = await store.access.ended(request.id, how);
  const ended = noted?.request ?? (end.isLost === true ? lostRequest(deps, request, how) : undefined);
  if (ended !== undefined) deps.notify?.({ kind: 'ended', request: ended, ...defined({ by }) });
  return { request: ended ?? request, ...defined({ result }) };
}

/** As it would be stored. */
const lostRequest = (
  deps: Pick<AccessDeps, 'clock'>,
  request: AccessRequest,
  how: Pick<GrantPeriod, 'ending' | 'endedBy' | 'revocation'>,
): AccessRequest => ({
  ...request,
  state: 'ended',
  ...(request.grant === undefined ? {} : { grant: { ...request.grant, ...how, endedAt: nowSeconds(deps) } }),
});

/**
 * Notes who ends it, and the id of the revocation. That is random and sealed: an attacker who can write to Redis and knows the
 * id beforehand writes that this revocation was made already, and then nothing is revoked.
 * @returns the request as it is stored; as it was given where that is not possible, because nothing may hold up its end
 */
async function noteEnding(
  { store, logger }: AccessDeps,
  request: AccessRequest,
  { ending, by }: GrantEnd,
): Promise<AccessRequest> {
  try {
    const { id } = request;
    const note = { ending, revocation: randomUUID(), ...defined({ endedBy: by }) };
    // The end of a session needs no note, because the replica that looks next finds it again.
    const stored = await (ending === 'session' ? store.access.find(id) : store.access.note(id, note));
    return stored?.request ?? request;
  } catch (err) {
    logger.warn({ err, grant: request.id, ending }, 'who ends a grant could not be noted');
    return request;
  }
}

/** Of several who end it, the first counts. */
function firstEnd({ grant }: AccessRequest, end: GrantEnd): GrantEnd {
  const { ending, endedBy } = grant ?? {};
  if (ending === undefined || (ending === end.ending && endedBy === end.by)) return end;
  const { context, path } = end;
  return { ending, ...defined({ by: endedBy }), reason: '', context, path };
}

async function revoke(
  { guard }: AccessDeps,
  results: Results,
  { request: { id, session, grant }, end }: { readonly request: AccessRequest; readonly end: GrantEnd },
): Promise<RevocationResult> {
  const { ending, by, reason, context, path } = end;
  const requestId = grant?.revocation ?? randomUUID();
  const expected = results.expect(requestId, {
    context,
    path,
    reason: reason === '' ? ending : reason,
    target: `grant:${id}`,
    lock: false,
    by: by ?? '',
    receipt: true,
    fingerprint: requestId,
  });
  if (!expected.ok) throw problemFor(ADMIN, expected.reason);
  try {
    // It casts no doubt on who the user is, and their session goes on.
    const order = { target: { kind: 'grant', grant: id, session }, requestId, asksFreshSignIn: false } as const;
    const result = await guard.revoke({ ...order, canSignInAgain: true });
    await results.keep(result);
    return result;
  } catch (thrown) {
    expected.value();
    throw thrown;
  }
}
