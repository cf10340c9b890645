/**
 * Writes the end of a grant: a revocation of its groups alone, whose receipt says what each replica did.
 *
 * The groups are gone without this: each replica knows when a grant is over. What is written here proves it, cuts it where
 * it ends early, and makes it known. The order is such that a process that dies in between leaves nothing undone: the
 * revocation has the same id whoever writes it, so another replica's attempt is the same revocation; the grant is active
 * until its end is noted, so another replica finds it; and it is audited before it is noted, at worst twice.
 */
import { createHash } from 'node:crypto';
import type { RevocationResults } from '../admin/revocation-results.ts';
import type { AccessRequest } from '../core/access/request.ts';
import type { RevocationResult } from '../revocation/revocation.ts';
import { auditEnded, type GrantEnd } from './audit-events.ts';
import type { AccessDeps } from './dependencies.ts';

/** A claim whose holder has died lapses after this time: longer than the store may hang, and a proof may take. */
const CLAIM_SECONDS = 30;

/** @param end.isSweep nothing is done where another replica is about to write it; a user waits for the result all the same */
export type EndGrant = (request: AccessRequest, end: GrantEnd & { readonly isSweep?: true }) => Promise<Ended>;

export interface Ended {
  /** As it is stored now; as it was given, where another replica is about to note the end. */
  readonly request: AccessRequest;
  /** Absent where its session was over. */
  readonly result?: RevocationResult;
}

/** A UUID (version 8, RFC 9562) that follows from the grant. */
function revocationId(grant: string): string {
  const hex = createHash('sha256').update(`end of grant ${grant}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
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
  const mine = await store.access.claimEnding(request.id, guard.incarnation, CLAIM_SECONDS);
  if (!mine && end.isSweep === true) return { request };
  // Its user or an admin waits for the result, whoever writes the rest.
  const result = end.ending === 'session' ? undefined : await revoke(deps, results, { request, end });
  if (!mine) return { request, ...(result === undefined ? {} : { result }) };
  auditEnded(deps, request, end, result);
  const noted = await store.access.ended(request.id, {
    ending: end.ending,
    ...(end.by === undefined ? {} : { endedBy: end.by }),
    ...(result === undefined ? {} : { revocation: result.id }),
  });
  if (noted !== undefined)
    deps.notify?.({ kind: 'ended', request: noted.request, ...(end.by === undefined ? {} : { by: end.by }) });
  return { request: noted?.request ?? request, ...(result === undefined ? {} : { result }) };
}

async function revoke(
  { guard }: AccessDeps,
  results: Results,
  { request: { id, session }, end }: { readonly request: AccessRequest; readonly end: GrantEnd },
): Promise<RevocationResult> {
  const { ending, by, reason, context, path } = end;
  const requestId = revocationId(id);
  const forget = results.expect(requestId, {
    context,
    path,
    reason: reason === '' ? ending : reason,
    target: `grant:${id}`,
    lock: false,
    by: by ?? '',
    receipt: true,
    fingerprint: requestId,
  });
  try {
    // It casts no doubt on who the user is, and their session goes on.
    const order = { target: { kind: 'grant', grant: id, session }, requestId, asksFreshSignIn: false } as const;
    const result = await guard.revoke({ ...order, canSignInAgain: true });
    await results.keep(result);
    return result;
  } catch (thrown) {
    forget();
    throw thrown;
  }
}
