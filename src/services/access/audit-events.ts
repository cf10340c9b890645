/** Audit events of access requests, and the counts of what was decided. */
import { randomUUID } from 'node:crypto';
import { receiptsOf, revocationStatus } from '../admin/admin.ts';
import type { AccessCaller } from './access-requests.ts';
import {
  approvalsOf,
  type AccessDecision,
  type AccessRequest,
  type ApprovalLapse,
  type GrantEnding,
} from '../../core/access/request.ts';
import type { AuditFacts } from '../../core/audit/event.ts';
import { providerOf, type Identity } from '../../core/identity/identity.ts';
import { record, type AuditedAct } from '../../http/audit-events.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { RevocationResult } from '../../revocation/revocation.ts';
import type { AccessDeps } from './dependencies.ts';
import { defined } from '../../core/defined.ts';

type Events = Pick<AccessDeps, 'audit' | 'clock'>;

/** Of an event that no request caused. */
export const NO_REQUEST = (): RequestContext => ({ requestId: randomUUID(), address: '', userAgent: '' });

const aboutRequest = ({ id, terms }: AccessRequest): AuditFacts => ({ 'grant-id': id, role: terms.name });

const whatItGives = ({ terms, seconds }: AccessRequest): AuditFacts => ({
  seconds: String(seconds),
  groups: terms.groups.join(' '),
  clusters: (terms.clusters ?? []).join(' '),
});

const askedBy = ({ username, account }: AccessRequest): AuditFacts => ({
  'asked-by': username,
  'asked-by-account': account,
});

/** The user of a request, of whom the request has the name only. */
function requester({ username, account, session }: AccessRequest): NonNullable<AuditedAct['about']> {
  return { identity: named(username), account, session };
}

const named = (username: string): Identity => ({ username, uid: '', groups: [], extra: {} });

const callerOf = ({ actor }: AccessCaller): Pick<AuditedAct, 'about' | 'provider'> => ({
  about: { identity: actor.identity, account: actor.account, session: actor.session },
  provider: actor.proof.provider,
});

export function auditRequested(deps: Events, caller: AccessCaller, request: AccessRequest): void {
  const { session, provider, reason } = request;
  record(deps, caller.context, {
    event: 'access-requested',
    path: caller.path,
    code: 201,
    about: { identity: caller.actor.identity, account: request.account, session },
    provider,
    reason,
    details: { ...aboutRequest(request), ...whatItGives(request) },
  });
}

/** @param needed how many approvals the role needs */
export function auditApproved(
  deps: Events,
  caller: AccessCaller,
  {
    request,
    needed,
    reason = '',
  }: { readonly request: AccessRequest; readonly needed: number; readonly reason?: string },
): void {
  record(deps, caller.context, {
    event: 'access-approved',
    path: caller.path,
    code: 200,
    ...callerOf(caller),
    reason,
    details: { ...aboutRequest(request), ...askedBy(request), approvals: `${approvalsOf(request).length}/${needed}` },
  });
}

/** Audits the request of a grant that began at once, where the replica that stored it did not learn that. */
export function auditFoundRequest(deps: Events, request: AccessRequest): void {
  record(deps, NO_REQUEST(), {
    event: 'access-requested',
    path: '',
    code: 201,
    about: requester(request),
    provider: request.provider,
    reason: request.reason,
    details: { ...aboutRequest(request), ...whatItGives(request) },
  });
}

/** Audits the approval with which a grant began, where the replica that wrote it did not learn that. */
export function auditFoundApproval(
  deps: Events,
  request: AccessRequest,
  { account, username, reason = '' }: AccessDecision,
): void {
  const approvals = approvalsOf(request).length;
  record(deps, NO_REQUEST(), {
    event: 'access-approved',
    path: '',
    code: 200,
    about: { identity: named(username), account },
    reason,
    details: { ...aboutRequest(request), ...askedBy(request), approvals: `${approvals}/${approvals}` },
  });
}

/** Audits that an approval counts no longer, under the name of the user who gave it. */
export function auditLapsed(
  deps: Events,
  request: AccessRequest,
  { account, username, session, lapsed }: AccessDecision & { readonly lapsed: ApprovalLapse },
): void {
  record(deps, NO_REQUEST(), {
    event: 'access-approval-lapsed',
    path: '',
    code: 200,
    about: { identity: named(username), account, ...defined({ session }) },
    provider: providerOf(account),
    reason: lapsed,
    details: { ...aboutRequest(request), ...askedBy(request) },
  });
}

/** Audits that a grant has begun, and counts it. */
export function auditBegun(deps: AccessDeps, context: RequestContext, path: string, request: AccessRequest): void {
  const approvers = approvalsOf(request).map(({ username }) => username);
  record(deps, context, {
    event: 'access-begun',
    path,
    code: 200,
    about: requester(request),
    provider: request.provider,
    reason: request.reason,
    details: { ...aboutRequest(request), ...whatItGives(request), 'approved-by': approvers.join(', ') },
  });
  deps.countGrant?.(request.terms.name, 'begun');
  if (request.terms.approval === 'none') deps.countBreakGlass?.(request.terms.name);
}

/** Audits that a request was denied, withdrawn by its user or with its `session`, or not decided in time; without a caller it is the last. */
export function auditDenied(
  deps: Events,
  request: AccessRequest,
  {
    ending,
    reason = '',
    caller,
  }: {
    readonly ending: 'denied' | 'withdrawn' | 'expired' | 'session';
    readonly reason?: string;
    readonly caller?: AccessCaller;
  },
): void {
  record(deps, caller?.context ?? NO_REQUEST(), {
    event: 'access-denied',
    path: caller?.path ?? '',
    code: 200,
    ...(caller === undefined ? { about: requester(request), provider: request.provider } : callerOf(caller)),
    reason,
    details: { ...aboutRequest(request), ...askedBy(request), ending },
  });
}

export interface GrantEnd {
  readonly ending: GrantEnding;
  /** Username of the user who ended it. */
  readonly by?: string;
  readonly reason: string;
  readonly context: RequestContext;
  readonly path: string;
}

/** @param result absent where its session was over, whose own end has ended it */
export function auditEnded(
  deps: AccessDeps,
  request: AccessRequest,
  { ending, by = '', reason, context, path }: GrantEnd,
  result: RevocationResult | undefined,
): void {
  const details =
    result === undefined
      ? {}
      : {
          revocation: result.id,
          complete: String(result.complete),
          receipts: receiptsOf(result),
          'streams-closed': String(result.streamsClosed),
        };
  record(deps, context, {
    event: 'access-ended',
    path,
    code: result === undefined ? 200 : revocationStatus(result),
    about: requester(request),
    provider: request.provider,
    reason,
    details: { ...aboutRequest(request), ending, by, ...details },
  });
  deps.countGrant?.(request.terms.name, 'ended');
}

/** Audits what was rejected, or has failed. @param about the request or the role that it was about, as far as it is known */
export function auditRefused(
  deps: AccessDeps,
  caller: AccessCaller,
  what: { readonly code: number; readonly reason: string },
  about: AuditFacts,
): void {
  const { context, path } = caller;
  record(deps, context, { event: 'access-refused', path, ...what, ...callerOf(caller), details: about });
  deps.countRequest?.(about.role ?? '', 'refused');
}
