/**
 * Whoever asks or decides, as their session has them: with their own groups, after their provider was asked again.
 *
 * Threat: a user who has left the company asks or approves with a session that is still open. Threat: an attacker holds a
 * delegated session, or a pipeline, and asks for more than it was given. So neither may, and where the provider does not
 * answer, no one may.
 */
import { isConfirmed, recheckedRecord, roleOf, workloadRule } from '../admin/admin.ts';
import type { AccessCaller } from './access-requests.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { unprovableMessage } from '../../core/identity/fresh-sign-in.ts';
import { frequencyText, freshnessOf, type Freshness } from '../../core/identity/freshness.ts';
import { assertAuditable } from '../../http/audit-events.ts';
import { fencedError } from '../../http/error-status.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import { rejection } from './rejections.ts';

/** Asserts that something may be done now, and that the caller's credential is good still. */
export function assertCanAct(deps: Pick<AccessDeps, 'audit' | 'guard'>, { actor }: AccessCaller): void {
  assertAuditable(deps);
  if (deps.guard.fenced) throw fencedError();
  actor.assertValid();
}

const sessionOver = () => rejection('session_over', 'Your session has ended. Sign in again (portcullis login).');

/** @throws ProblemError `workload`, `delegated_session` */
export function assertOwnSession(
  { config }: Pick<AccessDeps, 'config'>,
  { account, delegation }: Pick<SessionRecord, 'account' | 'delegation'>,
): void {
  if (workloadRule(account, config) !== undefined) {
    throw rejection('workload', 'A workload can neither ask for a role nor decide about a request. A user must do it.');
  }
  if (delegation !== undefined) {
    const message = 'A delegated session can neither ask for a role nor decide about a request. Use your own session.';
    throw rejection('delegated_session', message);
  }
}

/**
 * Returns the user of a session of the caller's account after a re-check at the provider.
 * @param session absent: that of the caller
 * @throws ProblemError `session_over`, `session_not_found` (another session), `workload`, `delegated_session`,
 *   `sign_in_again`, `provider_unavailable`
 */
export async function recheckedUser(
  deps: AccessDeps,
  { actor }: AccessCaller,
  session = actor.session,
): Promise<KnownUser> {
  const before = await deps.store.sessions.read(session);
  const gone = () =>
    session === actor.session
      ? sessionOver()
      : rejection('session_not_found', 'There is no such session among yours. “portcullis sessions” lists them.');
  if (before === undefined || before.account !== actor.account) throw gone();
  assertOwnSession(deps, before);
  const record = await recheckedRecord(deps.recheck, session);
  if (record === undefined) throw gone();
  actor.assertValid();
  if (!isConfirmed(deps, record)) {
    const message = 'The identity provider cannot be asked again about this session. Sign in again (portcullis login).';
    throw rejection('sign_in_again', message);
  }
  const { account, identity, knownAs } = record;
  if (knownAs === undefined || knownAs.length === 0) {
    const message = 'Your session was opened by an earlier version of Portcullis. Sign in again (portcullis login).';
    throw rejection('sign_in_again', message);
  }
  return { record, account, identity, knownAs };
}

export function freshness(
  { config, providers, ...deps }: Pick<AccessDeps, 'config' | 'providers' | 'clock'>,
  { provider, authTime }: Pick<SessionRecord, 'provider' | 'authTime'>,
  withinSeconds: number,
): Freshness {
  const provesFreshness = providers.get(provider)?.provesFreshness === true;
  const { clockSkew } = config;
  return freshnessOf({ provesFreshness, authTime }, { now: nowSeconds(deps), withinSeconds, clockSkew });
}

/**
 * Checks how recently a user has proven themselves.
 * @throws ProblemError `fresh_sign_in_needed` (with `maxAgeSeconds`), `freshness_unprovable`
 */
export function assertFreshUser(
  deps: Pick<AccessDeps, 'config' | 'providers' | 'clock'>,
  { record }: KnownUser,
  withinSeconds: number | 'off' | undefined,
  purpose: 'approval' | 'request',
): void {
  if (withinSeconds === undefined || withinSeconds === 'off') return;
  switch (freshness(deps, record, withinSeconds)) {
    case 'fresh':
      return;
    case 'unprovable':
      throw rejection('freshness_unprovable', unprovableMessage(record.provider, purpose));
    case 'stale': {
      const message = `For this you must sign in again ${frequencyText(withinSeconds)}. Sign in again (portcullis step-up), then repeat it.`;
      const options = { maxAgeSeconds: withinSeconds, members: { maxAge: String(withinSeconds) } };
      throw rejection('fresh_sign_in_needed', message, options);
    }
  }
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
