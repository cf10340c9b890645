/**
 * The user who asks or decides, as their session has them: with their own groups, after their provider was asked again.
 *
 * A user who has left the company asks or approves with a session that is still open. An attacker holds a
 * delegated session, or a pipeline, and asks for more than it was given. So neither may, and where the provider does not
 * answer, no one may.
 */
import type { AccessResult } from '../../core/api/rejections.ts';
import { isConfirmed, judgeFreshness as judgeSignIn, recheckedRecord, roleOf, workloadRule } from '../admin/admin.ts';
import type { AccessCaller } from './access-requests.ts';
import { ok, no } from '../../core/result.ts';
import { assertAuditable } from '../../http/audit-events.ts';
import { fencedError } from '../../http/error-status.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';

/** Asserts that something may be done now, and that the caller's credential is good still. */
export function assertCanAct(deps: Pick<AccessDeps, 'audit' | 'guard'>, { actor }: AccessCaller): void {
  assertAuditable(deps);
  if (deps.guard.fenced) throw fencedError();
  actor.assertValid();
}

/** Whether a session may ask and decide: a user's own, not that of a workload or a delegated one. */
export function judgeSession(
  { config }: Pick<AccessDeps, 'config'>,
  { account, delegation }: Pick<SessionRecord, 'account' | 'delegation'>,
): AccessResult<undefined> {
  if (workloadRule(account, config) !== undefined) return no({ reason: 'workload' });
  return delegation === undefined ? ok(undefined) : no({ reason: 'delegated_session', act: 'ask' });
}

/**
 * Returns the user of a session of the caller's account after a re-check at the provider.
 * @param session absent: that of the caller
 * @throws AppError `provider_unavailable`
 */
export async function recheckedUser(
  deps: AccessDeps,
  { actor }: AccessCaller,
  session = actor.session,
): Promise<AccessResult<KnownUser>> {
  const gone: AccessResult<never> = no({ reason: session === actor.session ? 'session_over' : 'session_not_found' });
  const before = await deps.store.sessions.read(session);
  if (before === undefined || before.account !== actor.account) return gone;
  const own = judgeSession(deps, before);
  if (!own.ok) return own;
  const record = await recheckedRecord(deps.recheck, session);
  if (record === undefined) return gone;
  actor.assertValid();
  if (!isConfirmed(deps, record)) return no({ reason: 'sign_in_again', because: 'unconfirmed' });
  const { account, identity, knownAs } = record;
  if (knownAs === undefined || knownAs.length === 0) {
    return no({ reason: 'sign_in_again', because: 'earlier_version' });
  }
  return ok({ record, account, identity, knownAs });
}

/** Whether a user has proven themselves recently enough. */
export function judgeFreshness(
  deps: Pick<AccessDeps, 'config' | 'providers' | 'clock'>,
  { record }: KnownUser,
  withinSeconds: number | 'off' | undefined,
  purpose: 'approval' | 'request',
): AccessResult<undefined> {
  if (withinSeconds === undefined || withinSeconds === 'off') return ok(undefined);
  const judged = judgeSignIn(deps, record, withinSeconds);
  return judged.ok ? judged : no({ ...judged.reason, purpose });
}

/** Whether the caller is an admin or an auditor, who sees all requests. */
export const seesAll = ({ config }: Pick<AccessDeps, 'config'>, { actor }: Pick<AccessCaller, 'actor'>): boolean => {
  const role = roleOf(actor, config);
  return role === 'admin' || role === 'auditor';
};

/** Whether the caller may end any grant: who may revoke. */
export const mayRevoke = ({ config }: Pick<AccessDeps, 'config'>, { actor }: Pick<AccessCaller, 'actor'>): boolean => {
  const role = roleOf(actor, config);
  return role === 'admin' || role === 'revoker';
};
