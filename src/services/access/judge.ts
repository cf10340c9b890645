/**
 * Whether a role may be asked for, and whether a request may be approved. No I/O.
 *
 * A user approves what they asked for themselves, with a second account, or by two accounts where two approvals are
 * needed. A role is given more groups while a request for it waits, so that an approver gives more than they were
 * shown. So an approval is for what was asked, as it is configured now, by someone who is certainly another human.
 */
import {
  mayApprove,
  mayRequest,
  sameTerms,
  SHORTEST_SECONDS,
  type AccessRole,
  type RoleApproval,
} from '../../core/access/role.ts';
import { isOpen, type AccessDecision, type AccessRequest, type AccessState } from '../../core/access/request.ts';
import { arePossiblyOne } from '../../core/access/same-user.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { ok, no } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import type { AccessRejection, AccessResult } from '../../core/api/rejections.ts';

type RoleDeps = Pick<AccessDeps, 'config' | 'mayUse'>;

export const roleNamed = ({ config }: Pick<AccessDeps, 'config'>, name: string): AccessRole | undefined =>
  config.access.roles.find((role) => role.name === name);

/** Whether a user may ask for a role: by their own groups, for a cluster of theirs, and where anyone may approve it. */
export function mayAskFor({ config, mayUse }: RoleDeps, role: AccessRole, identity: Identity): boolean {
  if (!mayRequest(role, identity)) return false;
  if (role.approval !== 'none' && role.approval.groups.length === 0) return false;
  const names = role.clusters ?? config.clusters.map(({ name }) => name);
  return names.some((name) => mayUse(name, identity));
}

/** Returns the role that a user asks for; `role_not_found` also for one that they may not ask for. */
export function roleFor(
  deps: RoleDeps,
  { role: name, seconds }: { readonly role: string; readonly seconds: number },
  identity: Identity,
): AccessResult<AccessRole> {
  const role = roleNamed(deps, name);
  if (role === undefined || !mayAskFor(deps, role, identity)) return no({ reason: 'role_not_found' });
  if (!Number.isSafeInteger(seconds) || seconds < SHORTEST_SECONDS || seconds > role.longest) {
    return no({ reason: 'seconds_malformed', longest: role.longest });
  }
  return ok(role);
}

/** Whether a request still waits for approvals. */
export function judgeOpen(request: AccessRequest, nowSeconds: number): AccessResult<undefined> {
  if (isOpen(request, nowSeconds)) return ok(undefined);
  if (request.sessionEnded === true) return no({ reason: 'requester_gone' });
  return no(CLOSED[request.state === 'open' ? 'expired' : request.state]);
}

const CLOSED: Readonly<Record<Exclude<AccessState, 'open'>, AccessRejection>> = {
  granted: { reason: 'request_granted' },
  denied: { reason: 'request_denied' },
  withdrawn: { reason: 'request_withdrawn' },
  expired: { reason: 'request_expired' },
  ended: { reason: 'grant_over', act: 'decide' },
};

/** Whether a user approves for a role as it is configured now; of one that is not configured any more, as it was. */
export const isApprover = (deps: Pick<AccessDeps, 'config'>, { terms }: AccessRequest, identity: Identity): boolean =>
  mayApprove(roleNamed(deps, terms.name) ?? terms, identity);

export interface Judged {
  readonly role: AccessRole & { readonly approval: RoleApproval };
}

/**
 * Whether a user may decide about an open request.
 * @param parties.requester the session that asked, as it is now
 */
export function judgeDecider(
  deps: Pick<AccessDeps, 'config'>,
  request: AccessRequest,
  { decider, requester }: { readonly decider: KnownUser; readonly requester: SessionRecord },
): AccessResult<Judged> {
  if (decider.account === request.account) return no({ reason: 'own_request', isSameAccount: true });
  if (!isApprover(deps, request, decider.identity)) return no({ reason: 'not_an_approver' });
  if (requester.knownAs === undefined || requester.knownAs.length === 0) {
    return no({ reason: 'requester_signs_in_again', because: 'earlier_version' });
  }
  // As they were known when they asked, and as they are known now.
  if (arePossiblyOne([...request.knownAs, ...requester.knownAs], decider.knownAs)) {
    return no({ reason: 'own_request', isSameAccount: false });
  }
  const role = roleNamed(deps, request.terms.name);
  if (role === undefined || role.approval === 'none' || !sameTerms(request.terms, role)) {
    return no({ reason: 'role_changed' });
  }
  return ok({ role: { ...role, approval: role.approval } });
}

/**
 * Whether a user has not approved before.
 * @param approvals those that count
 */
export function judgeFirstApproval(approvals: readonly AccessDecision[], decider: KnownUser): AccessResult<undefined> {
  const isOne = ({ account, knownAs }: AccessDecision): boolean =>
    account === decider.account || knownAs === undefined || arePossiblyOne(knownAs, decider.knownAs);
  return approvals.some(isOne) ? no({ reason: 'already_approved' }) : ok(undefined);
}

/** Whether a caller may see a request: its user, an approver of its role, and those who see all. */
export const maySee = (
  deps: Pick<AccessDeps, 'config'>,
  request: AccessRequest,
  who: { readonly account: string; readonly identity: Identity; readonly seesAll: boolean },
): boolean => request.account === who.account || who.seesAll || isApprover(deps, request, who.identity);
