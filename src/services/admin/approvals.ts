/**
 * Dual control (`admin.dualControl: on`): a revocation that could shut out many users takes two admins.
 *
 * An attacker with one admin's session, or a rogue admin, ends every session and locks the other admins
 * out, so that no one is left to stop them. So two admins are needed. One admin still revokes one account or
 * session alone, because that must not wait, and the user undoes it with the next sign-in.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { AdminResult } from '../../core/api/rejections.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { rfc3339 } from '../../core/time.ts';
import { isConfirmed, recheckedRecord } from './confirmed-user.ts';
import { record } from '../../http/audit-events.ts';
import { targetName } from '../../core/credential/revocation.ts';
import type { RevocationPlan } from './revocation-request.ts';
import { roleOf, workloadRule } from './roles.ts';
import { everyPage } from '../../store/store.ts';
import type { Actor, RequestContext } from '../../http/request-context.ts';

const TTL_SECONDS = 900;
const LIST_PAGE = 200;

/** The admin who asked first. */
interface FirstAdmin {
  readonly username: string;
  readonly account: string;
}

/** The approval of two admins. It is consumed by the same write as the revocation, and only there. */
export interface Consent {
  readonly approval: string;
  /** Absent where this request was written before and only its response was lost: its first audit event names them. */
  readonly first?: FirstAdmin;
}

export interface ApprovalRequest {
  readonly actor: Actor;
  readonly plan: RevocationPlan;
  readonly reason: string;
  /** For the audit log. */
  readonly path: string;
  /** The id that the first admin received. */
  readonly approval?: string | undefined;
  readonly requestId?: string | undefined;
}

const payloadSchema = z.object({
  username: z.string(),
  account: z.string(),
  /** In which the first admin asked. Absent in approvals of earlier versions, which must be asked for again. */
  session: z.string().exactOptional(),
  /** The revocation that was asked for, as `describePlan` writes it. */
  deed: z.string(),
});

const describePlan = ({ target, lock }: RevocationPlan): string => `${targetName(target)}${lock ? ' with a lock' : ''}`;

/**
 * Returns whether this account counts as an admin's.
 *
 * An account without a live session does, because its groups are not known: one admin could otherwise end another
 * admin's sessions first and then lock the account. One admin alone can lock a user who is signed in and has no
 * admin group, and a workload, which is never an admin.
 */
async function mayBeAdmin(deps: AdminDeps, account: Account): Promise<boolean> {
  if (workloadRule(account, deps.config) !== undefined) return false;
  let seen = 0;
  for await (const { sessions } of everyPage(deps.store.sessions, { account, limit: LIST_PAGE })) {
    if (sessions.some((session) => roleOf(session, deps.config) === 'admin')) return true;
    seen += sessions.length;
  }
  return seen === 0;
}

async function needsSecondAdmin(deps: AdminDeps, { target, lock }: RevocationPlan): Promise<boolean> {
  if (deps.config.admin.dualControl === 'off') return false;
  if (target.kind === 'provider' || target.kind === 'all') return true;
  return lock && target.kind === 'account' && mayBeAdmin(deps, target.account);
}

async function requestApproval(
  deps: AdminDeps,
  context: RequestContext,
  ask: ApprovalRequest,
): Promise<AdminResult<never>> {
  const { actor, plan, reason, path } = ask;
  // An admin who can start a pipeline has it ask, and then approves alone what takes two humans.
  if (workloadRule(actor.account, deps.config) !== undefined) return workloadMayNot('ask');
  const approval = randomBytes(16).toString('base64url');
  const expiresAt = rfc3339(nowSeconds(deps) + TTL_SECONDS);
  const deed = describePlan(plan);
  const { account, session, identity } = actor;
  const payload = { username: identity.username, account, session, deed };
  // After everything was read: a first admin who was revoked meanwhile has asked for nothing.
  actor.assertValid();
  // It ends with the session, so the script that consumes it has seen whether the first admin was revoked.
  await deps.store.artefacts.save('Approval', approval, payload, { ttlSeconds: TTL_SECONDS, session });
  const details = { target: targetName(plan.target), lock: String(plan.lock), approval };
  record(deps, context, { event: 'approval-asked', path, code: 409, reason, details });
  const members = { approval, expiresAt };
  return no({ reason: 'second_admin_needed', ...members, deed, members, audited: true });
}

const workloadMayNot = (act: 'ask' | 'approve'): AdminResult<never> => no({ reason: 'workload_may_not_approve', act });

const notGood: AdminResult<never> = no({ reason: 'approval_not_good' });

/**
 * Returns whether this same request of this admin was written before, and its response was lost on the way back from the
 * store. Its approval was then consumed by that write.
 *
 * A rogue admin reads the request id in the audit log and sends it again, with a made-up approval: nothing is
 * written, and the replica that is asked cuts every stream of the target all the same.
 */
async function wasWritten(
  { store }: AdminDeps,
  { requestId, actor: { account: by }, plan: { target, lock } }: ApprovalRequest,
): Promise<boolean> {
  if (requestId === undefined) return false;
  return store.log.hasWritten({ requestId, target, by, ...(lock ? { lock: { reason: '', by: '', at: 0 } } : {}) });
}

/**
 * Verifies an approval without consuming it. The local revocation guard rejects the target before anything is
 * written, so an invalid approval must be rejected before that.
 * @throws AppError `provider_unavailable`
 */
async function verifyApproval(deps: AdminDeps, ask: ApprovalRequest, approval: string): Promise<AdminResult<Consent>> {
  // An attacker with a pipeline starts two of its workloads, so that each approves what the other asks for.
  if (workloadRule(ask.actor.account, deps.config) !== undefined) return workloadMayNot('approve');
  const found = await deps.store.artefacts.find('Approval', approval);
  if (found === undefined && (await wasWritten(deps, ask))) return ok({ approval });
  const asked = payloadSchema.safeParse(found);
  if (!asked.success || asked.data.deed !== describePlan(ask.plan)) return notGood;
  // Compared by account, not by session: an attacker who has stolen one session of an admin can open another.
  if (asked.data.account === ask.actor.account) return no({ reason: 'same_admin' });
  const { username, account, session } = asked.data;
  // An attacker with an admin's laptop asks, and the admin or their session is revoked, or locked, for that: then no one has
  // asked. An admin who is dismissed asks first, and their provider has disabled them since: so it is asked now, as what their
  // session says is as old as its last refresh. Where it does not answer, no second half counts: who must end everything then
  // has the server's own shell.
  const first = session === undefined ? undefined : await recheckedRecord(deps.recheckUser, session);
  if (first?.account !== account || roleOf(first, deps.config) !== 'admin') return notGood;
  // Where their provider cannot be asked again, their sign-in is its last word. A long while after it they may have left.
  if (!isConfirmed(deps, first)) return notGood;
  const second = await judgeSecondAdmin(deps, ask.actor);
  return second.ok ? ok({ approval, first: { username, account } }) : second;
}

/**
 * Asks the provider about the second admin too.
 *
 * The first admin is there still, and the second one is who was dismissed: their token says what it said when it was
 * issued.
 * @throws AppError that the credential is not valid any more, or `provider_unavailable`
 */
async function judgeSecondAdmin(deps: AdminDeps, actor: Actor): Promise<AdminResult<undefined>> {
  const second = await recheckedRecord(deps.recheckUser, actor.session);
  actor.assertValid();
  if (second?.account !== actor.account || roleOf(second, deps.config) !== 'admin') {
    return no({ reason: 'second_admin_is_none' });
  }
  return isConfirmed(deps, second) ? ok(undefined) : no({ reason: 'second_admin_not_confirmed' });
}

/**
 * Checks before a revocation whether it takes a second admin, and who the first one was.
 * @returns the consent of two admins; undefined where one admin is enough
 */
export async function requireSecondAdmin(
  deps: AdminDeps,
  context: RequestContext,
  ask: ApprovalRequest,
): Promise<AdminResult<Consent | undefined>> {
  if (!(await needsSecondAdmin(deps, ask.plan))) return ok(undefined);
  if (ask.approval === undefined) return requestApproval(deps, context, ask);
  return verifyApproval(deps, ask, ask.approval);
}
