/**
 * Whether a role may be asked for, and whether a request may be approved. No I/O.
 *
 * Threat: a user approves what they asked for themselves, with a second account, or by two accounts where two approvals are
 * needed. Threat: a role is given more groups while a request for it waits, so that an approver gives more than they were
 * shown. So an approval is for what was asked, as it is configured now, by someone who is certainly another human.
 */
import { mayApprove, mayRequest, sameTerms, type AccessRole, type RoleApproval } from '../../core/access/role.ts';
import { isOpen, type AccessDecision, type AccessRequest, type AccessState } from '../../core/access/request.ts';
import { arePossiblyOne } from '../../core/access/same-person.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import { rejection, requestNotFound, type RejectionReason } from './rejections.ts';

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

/**
 * Returns the role that a user asks for.
 * @throws ProblemError `role_not_found`, also for one that they may not ask for, `seconds_malformed`
 */
export function roleFor(
  deps: RoleDeps,
  { role: name, seconds }: { readonly role: string; readonly seconds: number },
  identity: Identity,
): AccessRole {
  const role = roleNamed(deps, name);
  if (role === undefined || !mayAskFor(deps, role, identity)) {
    const message = 'There is no such role among those that you may ask for. “portcullis access list” lists them.';
    throw rejection('role_not_found', message);
  }
  if (!Number.isSafeInteger(seconds) || seconds < SHORTEST_SECONDS || seconds > role.longest) {
    const message = `The time must be a whole number of seconds, from ${SHORTEST_SECONDS} to ${role.longest} for this role.`;
    throw rejection('seconds_malformed', message);
  }
  return role;
}

/** Shorter than that, a grant is over before a command is typed. */
const SHORTEST_SECONDS = 60;

/** @throws ProblemError for a request that does not wait for approvals any more */
export function assertOpen(request: AccessRequest, nowSeconds: number): void {
  if (isOpen(request, nowSeconds)) return;
  throw rejection(...CLOSED[request.state === 'open' ? 'expired' : request.state]);
}

const CLOSED: Readonly<Record<Exclude<AccessState, 'open'>, readonly [RejectionReason, string]>> = {
  granted: ['request_granted', 'This request was approved already, and what it gives has begun.'],
  denied: ['request_denied', 'This request was denied. It must be asked for again.'],
  withdrawn: ['request_withdrawn', 'Its user has withdrawn this request.'],
  expired: ['request_expired', 'No one decided about this request in time. It must be asked for again.'],
  ended: ['grant_over', 'This request was approved, and what it gave is over already. It must be asked for again.'],
};

/** Whether a user approves for a role as it is configured now; of one that is not configured any more, as it was. */
export const isApprover = (deps: Pick<AccessDeps, 'config'>, { terms }: AccessRequest, identity: Identity): boolean =>
  mayApprove(roleNamed(deps, terms.name) ?? terms, identity);

export interface Judged {
  readonly role: AccessRole & { readonly approval: RoleApproval };
}

/**
 * Checks that a user may decide about an open request.
 * @param parties.requester the session that asked, as it is now
 * @throws ProblemError
 */
export function judgeDecider(
  deps: Pick<AccessDeps, 'config'>,
  request: AccessRequest,
  { decider, requester }: { readonly decider: KnownUser; readonly requester: SessionRecord },
): Judged {
  const own = 'You have asked for this yourself, or with an account that has the same name. A colleague must decide.';
  if (decider.account === request.account) throw rejection('own_request', own);
  if (!isApprover(deps, request, decider.identity)) {
    throw rejection('not_an_approver', 'You are not among those who approve this role. Ask one of them.');
  }
  if (requester.knownAs === undefined || requester.knownAs.length === 0) {
    const message =
      'Whoever asks has a session of an earlier version of Portcullis: they must sign in, then ask again.';
    throw rejection('requester_signs_in_again', message);
  }
  // As they were known when they asked, and as they are known now.
  if (arePossiblyOne([...request.knownAs, ...requester.knownAs], decider.knownAs)) throw rejection('own_request', own);
  const role = roleNamed(deps, request.terms.name);
  if (role === undefined || role.approval === 'none' || !sameTerms(request.terms, role)) {
    const message =
      'This role was changed after it was asked for. Its user must ask again, so that you see what you approve.';
    throw rejection('role_changed', message);
  }
  return { role: { ...role, approval: role.approval } };
}

/**
 * Checks that a user has not approved before.
 * @param approvals those that count
 * @throws ProblemError `already_approved`
 */
export function assertFirstApproval(approvals: readonly AccessDecision[], decider: KnownUser): void {
  const isOne = ({ account, knownAs }: AccessDecision): boolean =>
    account === decider.account || knownAs === undefined || arePossiblyOne(knownAs, decider.knownAs);
  if (!approvals.some(isOne)) return;
  const message =
    'You have approved this already, or with an account that has the same name. It needs another colleague.';
  throw rejection('already_approved', message);
}

/** Whether a caller may see a request: its user, an approver of its role, and those who see all. */
export function assertMaySee(
  deps: Pick<AccessDeps, 'config'>,
  request: AccessRequest,
  who: { readonly account: string; readonly identity: Identity; readonly seesAll: boolean },
): void {
  if (request.account === who.account || who.seesAll || isApprover(deps, request, who.identity)) return;
  throw requestNotFound();
}
