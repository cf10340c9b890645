/** Approvals and denials. */
import { isConfirmed, recheckedRecord } from '../admin/admin.ts';
import type { AccessCaller } from './access-requests.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { approvalsOf, type AccessDecision, type AccessRequest } from '../../core/access/request.ts';
import { mayRequest } from '../../core/access/role.ts';
import type { AccessWrite, AccessWriteRejection, StoredRequest } from '../../store/store.ts';
import type { SessionRecord } from '../../store/store.ts';
import { auditApproved, auditDenied } from './audit-events.ts';
import { auditGrantBegin } from './grant-begin.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import { judgeDecider, judgeFirstApproval, judgeOpen, type Judged } from './judge.ts';
import { auditLapses, withLapses } from './lapses.ts';
import { accessProblem, ofWrite, passed } from './rejections.ts';
import { judgeFreshness, recheckedUser } from './users.ts';

/** Of one decision: while it was made, others have decided. More than the approvals that a role may need. */
const ATTEMPTS = 8;
const AGAIN: ReadonlySet<AccessWriteRejection> = new Set(['request_changed', 'approver_over']);

interface Decision {
  readonly approved: boolean;
  readonly reason: string;
}

/**
 * Decides about a request. The last approval that is needed begins the grant, in the same write.
 * @throws ProblemError
 */
export async function decide(
  deps: AccessDeps,
  caller: AccessCaller,
  found: StoredRequest,
  decision: Decision,
): Promise<AccessRequest> {
  const { request } = found;
  passed(judgeOpen(request, nowSeconds(deps)));
  if (request.account === caller.actor.account) throw accessProblem({ reason: 'own_request', isSameAccount: true });
  const decider = passed(await recheckedUser(deps, caller));
  passed(judgeFreshness(deps, decider, deps.config.access.freshness, 'approval'));
  const requester = await requesterOf(deps, request, decision);
  let stored: StoredRequest | undefined = found;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (stored === undefined) throw accessProblem({ reason: 'request_not_found' });
    passed(judgeOpen(stored.request, nowSeconds(deps)));
    const judged = passed(judgeDecider(deps, stored.request, { decider, requester }));
    const written = await (decision.approved
      ? approve(deps, stored, { caller, judged, decider, requester, reason: decision.reason })
      : deny(deps, stored, { caller, decider, reason: decision.reason }));
    if (written.ok) {
      auditLapses(deps, stored.request, written.stored.request);
      await audit(deps, caller, written.stored.request, { ...decision, needed: judged.role.approval.count });
      return written.stored.request;
    }
    if (!AGAIN.has(written.reason)) throw accessProblem(ofWrite(written.reason));
    // Another decision was written first, or an approver has been revoked: judged again, by what is stored now.
    stored = await deps.store.access.find(request.id);
  }
  throw accessProblem({ reason: 'request_busy', others: 'decide' });
}

/**
 * Returns the session that asked. Before an approval its user is asked for at their provider too: one who has left since is
 * given nothing.
 */
async function requesterOf(
  deps: AccessDeps,
  { session, account }: AccessRequest,
  { approved }: Decision,
): Promise<SessionRecord> {
  const record = await (approved ? recheckedRecord(deps.recheck, session) : deps.store.sessions.read(session));
  if (record?.account !== account || record.delegation !== undefined) throw accessProblem({ reason: 'requester_gone' });
  if (approved && !isConfirmed(deps, record)) {
    throw accessProblem({ reason: 'requester_signs_in_again', because: 'unconfirmed' });
  }
  return record;
}

const decisionOf = ({ record }: KnownUser, at: number, { approved, reason }: Decision): AccessDecision => ({
  account: record.account,
  username: record.identity.username,
  at,
  approved,
  ...(reason === '' ? {} : { reason }),
});

async function approve(
  deps: AccessDeps,
  stored: StoredRequest,
  {
    caller,
    judged: { role },
    decider,
    requester,
    reason,
  }: {
    readonly caller: AccessCaller;
    readonly judged: Judged;
    readonly decider: KnownUser;
    readonly requester: SessionRecord;
    readonly reason: string;
  },
): Promise<AccessWrite> {
  const request = await withLapses(deps, stored.request, { asksProvider: true });
  const approvals = approvalsOf(request);
  passed(judgeFirstApproval(approvals, decider));
  if (!mayRequest(role, requester.identity) || request.seconds > role.longest) {
    throw accessProblem({ reason: 'requester_not_eligible' });
  }
  const { knownAs, record } = decider;
  const decision = {
    ...decisionOf(decider, nowSeconds(deps), { approved: true, reason }),
    session: record.id,
    knownAs,
  };
  // After everything was read: the approver who decides may have been revoked while a provider was asked.
  caller.actor.assertValid();
  const decided = { ...request, decisions: [...request.decisions, decision] };
  if (approvals.length + 1 < role.approval.count) return deps.store.access.change(stored, decided);
  return deps.store.access.begin(stored, { ...decided, state: 'granted' }, request.seconds);
}

function deny(
  deps: AccessDeps,
  stored: StoredRequest,
  { caller, decider, reason }: { readonly caller: AccessCaller; readonly decider: KnownUser; readonly reason: string },
): Promise<AccessWrite> {
  const { request } = stored;
  caller.actor.assertValid();
  const decision = decisionOf(decider, nowSeconds(deps), { approved: false, reason });
  return deps.store.access.change(stored, { ...request, state: 'denied', decisions: [...request.decisions, decision] });
}

async function audit(
  deps: AccessDeps,
  caller: AccessCaller,
  request: AccessRequest,
  { approved, reason, needed }: Decision & { readonly needed: number },
): Promise<void> {
  deps.countRequest?.(request.terms.name, approved ? 'approved' : 'denied');
  const kind = !approved ? 'denied' : request.state === 'granted' ? 'granted' : 'approved';
  deps.notify?.({ kind, request, by: caller.actor.identity.username });
  if (!approved) return auditDenied(deps, request, { ending: 'denied', reason, caller });
  auditApproved(deps, caller, { request, needed, reason });
  if (request.state === 'granted') await auditGrantBegin(deps, request, caller);
}
