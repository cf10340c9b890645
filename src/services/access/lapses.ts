/**
 * Approvals that count no longer: the approver could not give it now.
 *
 * An attacker with an approver's laptop gives the first of two approvals. The answer to a stolen laptop is a revocation, so
 * what the session approved must not count after it, nor what a user approved who has left the group or the company since.
 * An approval counts only as long as the session that gave it lives, like what is granted to a session. It can be given
 * again.
 *
 * Each approval is judged when a later one is given, which asks its giver's provider too, and about every ten seconds by what
 * the store has, so that those who look at the request see it.
 */
import { isConfirmed, recheckedRecord } from '../admin/admin.ts';
import { approvalsOf, type AccessDecision, type AccessRequest, type ApprovalLapse } from '../../core/access/request.ts';
import type { SessionRecord } from '../../store/store.ts';
import { auditLapsed } from './audit-events.ts';
import type { AccessDeps } from './dependencies.ts';
import { isApprover } from './judge.ts';

/**
 * Returns a request with each approval that counts no longer marked so; the same object where all count.
 * @param asksProvider whether the provider of each giver is asked as well
 * @throws AppError `provider_unavailable`
 */
export async function withLapses(
  deps: AccessDeps,
  request: AccessRequest,
  { asksProvider }: { readonly asksProvider: boolean },
): Promise<AccessRequest> {
  const counting = approvalsOf(request);
  const lapses = new Map<AccessDecision, ApprovalLapse>();
  await Promise.all(
    counting.map(async (approval) => {
      const lapsed = await lapseOf(deps, request, { approval, asksProvider });
      if (lapsed !== undefined) lapses.set(approval, lapsed);
    }),
  );
  if (lapses.size === 0) return request;
  const decisions = request.decisions.map((decision) => {
    const lapsed = lapses.get(decision);
    return lapsed === undefined ? decision : { ...decision, lapsed };
  });
  return { ...request, decisions };
}

async function lapseOf(
  deps: AccessDeps,
  request: AccessRequest,
  { approval, asksProvider }: { readonly approval: AccessDecision; readonly asksProvider: boolean },
): Promise<ApprovalLapse | undefined> {
  const { account, session } = approval;
  if ((await deps.store.locks.find(account)) !== undefined) return 'locked';
  // One of an earlier version does not say which session gave it, so it cannot be known whether that has ended.
  if (session === undefined) return 'session';
  const record = await recordOf(deps, session, asksProvider);
  if (record?.account !== account) return 'session';
  if (!isApprover(deps, request, record.identity)) return 'group';
  return asksProvider && !isConfirmed(deps, record) ? 'unconfirmed' : undefined;
}

const recordOf = (deps: AccessDeps, session: string, asksProvider: boolean): Promise<SessionRecord | undefined> =>
  asksProvider ? recheckedRecord(deps.recheck, session) : deps.store.sessions.read(session);

/** Audits the approvals that a write has marked. @param before as it was read for that write */
export function auditLapses(deps: AccessDeps, before: AccessRequest, written: AccessRequest): void {
  written.decisions.forEach((decision, index) => {
    if (decision.lapsed === undefined || before.decisions[index]?.lapsed !== undefined) return;
    auditLapsed(deps, written, { ...decision, lapsed: decision.lapsed });
  });
}
