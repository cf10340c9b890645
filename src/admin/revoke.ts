/**
 * Revoking, as the admin page and the admin API both do it: one admin or two, the order to the gate, and the lines in the record.
 */
import type { AdminContext } from './dependencies.ts';
import { createHash, randomUUID } from 'node:crypto';
import type { AuditFacts } from '../core/audit/event.ts';
import { AppError } from '../core/errors.ts';
import type { RevocationResult, RevocationOrder } from '../revocation/revocation.ts';
import { receiptsOf, reusedError, type RevocationResults } from './revocation-results.ts';
import { approvalError, requireSecondAdmin, type Consent } from './approvals.ts';
import { type AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { appErrorOf } from '../http/error-status.ts';
import { holdInstead } from './holds.ts';
import { AdminError } from './problem.ts';
import { record } from '../http/audit-events.ts';
import {
  planOf,
  targetName,
  targetWithoutStore,
  type RevocationPlan,
  type RevocationRequest,
} from './revocation-request.ts';

/** What the admin page and the admin API share. */
export interface AdminService {
  readonly deps: AdminDeps;
  readonly results: RevocationResults;
}

export interface RevokeOrder {
  readonly plan: Pick<RevocationPlan, 'target' | 'lock' | 'canSignInAgain'>;
  /** The admin's own words. */
  readonly reason: string;
  readonly requestId?: string;
  readonly fingerprint?: string;
  /** Where it took two. */
  readonly consent?: Consent | undefined;
}

function failureOf(thrown: unknown): AdminError | undefined {
  if (!(thrown instanceof AppError)) return undefined;
  // Another request was quicker with the same approval.
  if (thrown.reason === 'approval_spent') return approvalError(thrown);
  if (thrown.code === 'conflict') return reusedError(thrown);
  if (thrown.code !== 'store_unavailable') return undefined;
  const words =
    'The revocation could not be written, so nothing is promised. This replica refuses the target all the same. Send it again.';
  return new AdminError('revocation_not_written', 'store_unavailable', words, { cause: thrown, audited: true });
}

function resultDetails(answer: RevocationResult): AuditFacts {
  return {
    revocation: answer.id,
    complete: String(answer.complete),
    receipts: receiptsOf(answer),
    sessions: String(answer.sessions),
    'streams-closed': String(answer.streamsClosed),
  };
}

function guardOrder(deps: AdminDeps, { actor }: AdminContext, order: RevokeOrder, requestId: string): RevocationOrder {
  const { plan, reason, consent } = order;
  const admins = [consent?.first?.username, actor.identity.username].filter((name) => name !== undefined);
  const lock = { reason, by: admins.join(', '), at: nowSeconds(deps) };
  const { target, canSignInAgain } = plan;
  const approval = consent === undefined ? {} : { approval: consent.approval };
  return { target, requestId, canSignInAgain, ...approval, ...(plan.lock ? { lock } : {}) };
}

/** What the record says of two admins. The approval leads to the `approval-asked` of the first. */
const consentDetails = ({ approval, first }: Partial<Consent> = {}): AuditFacts => ({
  ...(approval === undefined ? {} : { approval }),
  ...(first === undefined ? {} : { 'asked-by': first.username, 'asked-by-account': first.account }),
});

/** 200 when proven, 202 when written and still being proven. */
export const revocationStatus = (answer: RevocationResult): 200 | 202 => (answer.complete ? 200 : 202);

/**
 * Revokes, and puts the outcome on the record either way: a `revocation`, and a `lock` besides where there is one.
 * @throws AdminError `revocation_not_written`, `request_id_reused`, `approval_not_good`
 */
export async function revoke(
  { deps, results }: AdminService,
  admin: AdminContext,
  order: RevokeOrder,
): Promise<RevocationResult> {
  const { context, path } = admin;
  const { plan, reason, consent } = order;
  const id = order.requestId ?? randomUUID();
  const target = targetName(plan.target);
  const said = { target, ...consentDetails(consent) };
  const forget = results.expect(id, { context, path, reason, target, fingerprint: order.fingerprint ?? id });
  try {
    const answer = await deps.guard.revoke(guardOrder(deps, admin, order, id));
    const happening = { path, code: revocationStatus(answer), reason, details: { ...said, ...resultDetails(answer) } };
    record(deps, context, { event: 'revocation', ...happening });
    if (plan.lock) record(deps, context, { event: 'lock', ...happening });
    await results.keep(answer);
    return answer;
  } catch (cause) {
    forget();
    const thrown = failureOf(cause) ?? cause;
    if (thrown instanceof AdminError && thrown.audited) {
      const details = { ...said, outcome: thrown.reason };
      record(deps, context, { event: 'revocation', path, code: appErrorOf(thrown).status, reason, details });
    }
    throw thrown;
  }
}

/** The request without what may differ between two tries of it, and whose it is. */
function fingerprintOf(
  { actor }: AdminContext,
  { approval: _approval, requestId: _requestId, ...said }: RevocationRequest,
): string {
  const parts = Object.entries({ ...said, by: actor.account }).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/**
 * From what an admin asks to the answer. The same request id again is the same revocation: its answer comes again, brought up to date.
 * @throws AdminError what `planOf`, `secondAdmin` and `revoke` throw
 */
export async function handleRevocation(
  service: AdminService,
  admin: AdminContext,
  request: RevocationRequest,
): Promise<RevocationResult> {
  const { deps, results } = service;
  const { reason, requestId, approval } = request;
  const { actor } = admin;
  if (actor.unread !== undefined) {
    return holdInstead(deps, admin, { target: await targetWithoutStore(deps, request), reason, cause: actor.unread });
  }
  const fingerprint = fingerprintOf(admin, request);
  const before = requestId === undefined ? undefined : await results.repeated(requestId, fingerprint);
  if (before !== undefined) {
    const details = { revocation: before.id };
    const code = revocationStatus(before);
    record(deps, admin.context, { event: 'admin-read', path: admin.path, code, reason: 'revocation', details });
    return before;
  }
  const plan = await planOf(deps, request);
  const ask = { actor, plan, reason, path: admin.path, approval, requestId };
  const consent = await requireSecondAdmin(deps, admin.context, ask).catch((cause: unknown) => {
    // Nobody can say whether it takes two, so what one may do is done.
    if (!(cause instanceof AppError) || cause.code !== 'store_unavailable') throw cause;
    return holdInstead(deps, admin, { target: plan.target, reason, cause });
  });
  // The caller's own rights, once more after everything was looked up.
  actor.assertValid();
  return revoke(service, admin, {
    plan,
    reason,
    fingerprint,
    consent,
    ...(requestId === undefined ? {} : { requestId }),
  });
}
