/** Approvals and denials. */
import type { AccessResult } from '../../core/api/rejections.ts';
import { isConfirmed, recheckedRecord } from '../admin/admin.ts';
import type { AccessCaller } from './access-requests.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { approvalsOf, type AccessDecision, type AccessRequest } from '../../core/access/request.ts';
import { mayRequest } from '../../core/access/role.ts';
import { ok, no } from '../../core/result.ts';
import type { AccessWrite, AccessWriteRejection, StoredRequest } from '../../store/store.ts';
import type { SessionRecord } from '../../store/store.ts';
import { auditApproved, auditDenied } from './audit-events.ts';
import { auditGrantBegin } from './grant-begin.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import { judgeDecider, judgeFirstApproval, judgeOpen, type Judged } from './judge.ts';
import { auditLapses, withLapses } from './lapses.ts';
import { cleanReason } from './reason.ts';
import { unwritten } from './rejections.ts';
import { judgeFreshness, recheckedUser } from './users.ts';

/** Of one decision: while it was made, others have decided. More than the approvals that a role may need. */
const ATTEMPTS = 8;
const AGAIN: ReadonlySet<AccessWriteRejection> = new Set(['request_changed', 'approver_over']);

interface Decision {
  readonly approved: boolean;
  readonly reason: string;
}

/** Decides about a request. The last approval that is needed begins the grant, in the same write. */
export async function decide(
  deps: AccessDeps,
  caller: AccessCaller,
  found: StoredRequest,
  { approved, reason: given }: Decision,
): Promise<AccessResult<AccessRequest>> {
  const { request } = found;
  const cleaned = cleanReason(given);
  if (!cleaned.ok) return cleaned;
  const decision = { approved, reason: cleaned.value };
  const open = judgeOpen(request, nowSeconds(deps));
  if (!open.ok) return open;
  if (request.account === caller.actor.account) return no({ reason: 'own_request', isSameAccount: true });
  const decider = await recheckedUser(deps, caller);
  if (!decider.ok) return decider;
  const fresh = judgeFreshness(deps, decider.value, deps.config.access.freshness, 'approval');
  if (!fresh.ok) return fresh;
  const requester = await requesterOf(deps, request, decision);
  if (!requester.ok) return requester;
  const parties = { decider: decider.value, requester: requester.value };
  let stored: StoredRequest | undefined = found;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (stored === undefined) return no({ reason: 'request_not_found' });
    const stillOpen = judgeOpen(stored.request, nowSeconds(deps));
    if (!stillOpen.ok) return stillOpen;
    const judged = judgeDecider(deps, stored.request, parties);
    if (!judged.ok) return judged;
    const { role } = judged.value;
    const tried = await (approved
      ? approve(deps, stored, { caller, role, ...parties, reason: decision.reason })
      : deny(deps, stored, { caller, decider: parties.decider, reason: decision.reason }));
    if (!tried.ok) return tried;
    const written = tried.value;
    if (written.ok) {
      auditLapses(deps, stored.request, written.stored.request);
      await audit(deps, caller, written.stored.request, { ...decision, needed: role.approval.count });
      return ok(written.stored.request);
    }
    if (!AGAIN.has(written.reason)) return unwritten(written.reason);
    // Another decision was written first, or an approver has been revoked: judged again, by what is stored now.
    stored = await deps.store.access.find(request.id);
  }
  return no({ reason: 'request_busy', others: 'decide' });
}

/**
 * Returns the session that asked. Before an approval its user is asked for at their provider too: one who has left since is
 * given nothing.
 */
async function requesterOf(
  deps: AccessDeps,
  { session, account }: AccessRequest,
  { approved }: Decision,
): Promise<AccessResult<SessionRecord>> {
  const record = await (approved ? recheckedRecord(deps.recheck, session) : deps.store.sessions.read(session));
  if (record?.account !== account || record.delegation !== undefined) return no({ reason: 'requester_gone' });
  if (!approved || isConfirmed(deps, record)) return ok(record);
  return no({ reason: 'requester_signs_in_again', because: 'unconfirmed' });
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
    role,
    decider,
    requester,
    reason,
  }: {
    readonly caller: AccessCaller;
    readonly role: Judged['role'];
    readonly decider: KnownUser;
    readonly requester: SessionRecord;
    readonly reason: string;
  },
): Promise<AccessResult<AccessWrite>> {
  const request = await withLapses(deps, stored.request, { asksProvider: true });
  const approvals = approvalsOf(request);
  const first = judgeFirstApproval(approvals, decider);
  if (!first.ok) return first;
  if (!mayRequest(role, requester.identity) || request.seconds > role.longest) {
    return no({ reason: 'requester_not_eligible' });
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
  const { access } = deps.store;
  return ok(
    await (approvals.length + 1 < role.approval.count
      ? access.change(stored, decided)
      : access.begin(stored, { ...decided, state: 'granted' }, request.seconds)),
  );
}

async function deny(
  deps: AccessDeps,
  stored: StoredRequest,
  { caller, decider, reason }: { readonly caller: AccessCaller; readonly decider: KnownUser; readonly reason: string },
): Promise<AccessResult<AccessWrite>> {
  const { request } = stored;
  caller.actor.assertValid();
  const decision = decisionOf(decider, nowSeconds(deps), { approved: false, reason });
  const denied = { ...request, state: 'denied', decisions: [...request.decisions, decision] } as const;
  return ok(await deps.store.access.change(stored, denied));
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
