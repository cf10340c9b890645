/**
 * The checks of every request whose caller is known, in their order. Each is one decision that keeps one promise,
 * whatever the others decide; docs/architecture.md#checks lists them.
 */
import type { Awaitable } from '../../core/awaitable.ts';
import { grantIds } from '../../core/credential/credential.ts';
import { findImpersonation } from '../../core/http/header-names.ts';
import type { ApiListenerDeps } from '../dependencies.ts';
import { impersonationRejection } from '../impersonation-rejections.ts';
import {
  credentialRejection,
  fenced,
  passthroughRejection,
  tooManyAtCluster,
  tooManyForUser,
  tooMuchToAudit,
  type MessageContext,
} from '../rejections.ts';
import type { Rejection } from '../status.ts';
import type { RequestLimit } from './concurrency-limit.ts';
import type { DelegationCheck } from './delegation-check.ts';
import type { RequestQuestion, ServiceAccountQuestion, UserQuestion } from './request-question.ts';
import type { SessionAddresses } from './session-addresses.ts';
import type { StepUpCheck } from './step-up-check.ts';
import type { UserImpersonation } from './user-impersonation.ts';

export interface Check<Question extends RequestQuestion> {
  /** What is true of each request that is admitted. */
  readonly promise: string;
  /** @returns undefined where the request goes on to the next check; a promise only where the cluster has to be asked */
  readonly judge: (question: Question, parts: CheckParts) => Awaitable<Rejection | undefined>;
}

/** What the checks of one listener share between requests. */
export interface CheckParts {
  readonly deps: ApiListenerDeps;
  readonly messages: MessageContext;
  readonly addresses: SessionAddresses;
  readonly delegation: DelegationCheck;
  /** Undefined where nothing needs a recent proof. */
  readonly stepUp: StepUpCheck | undefined;
  readonly slots: RequestLimit;
  readonly impersonation: UserImpersonation;
}

const AUDITABLE = 'No user has more than a share of what waits for the audit log, where that is behind.';
const PROVEN = 'What a rule of `stepUp` names has a proof that is recent enough.';
const WITHIN_LIMITS = 'Neither its user nor its cluster has more requests open than the limits.';

/** Of a user, in a session of theirs: their own, or a delegated one. */
export const USER_CHECKS: readonly Check<UserQuestion>[] = [
  { promise: 'Its credential is not revoked, and this replica is not fenced.', judge: notRevoked },
  { promise: AUDITABLE, judge: withinAuditShare },
  { promise: 'A session that is used from many addresses is reported.', judge: addressNoted },
  { promise: 'A delegated session is within its limits and at its addresses.', judge: withinDelegation },
  { promise: PROVEN, judge: recentlyProven },
  { promise: WITHIN_LIMITS, judge: slotAcquired },
  { promise: 'Its user may act as whom it asks for, as the cluster says.', judge: mayImpersonate },
];

/** Of a service account with its own token, which the cluster has confirmed. */
export const SERVICE_ACCOUNT_CHECKS: readonly Check<ServiceAccountQuestion>[] = [
  { promise: AUDITABLE, judge: withinAuditShare },
  { promise: PROVEN, judge: neverProven },
  { promise: WITHIN_LIMITS, judge: slotAcquired },
  { promise: 'A service account with its own token acts as itself.', judge: actsAsItself },
  { promise: 'No service account passes a replica that is fenced.', judge: notFenced },
];

/** Returns the first rejection, in this tick where nothing has to be asked. @param from index of the first check */
export function firstRejection<Question extends RequestQuestion>(
  checks: readonly Check<Question>[],
  question: Question,
  parts: CheckParts,
  from = 0,
): Awaitable<Rejection | undefined> {
  for (let index = from; index < checks.length; index += 1) {
    const rejection = checks[index]?.judge(question, parts);
    if (rejection === undefined) continue;
    if (!(rejection instanceof Promise)) return rejection;
    return rejection.then((found) => found ?? firstRejection(checks, question, parts, index + 1));
  }
  return undefined;
}

/** In the tick in which the caller is bound to the request, and once more after whatever took time. */
export function notRevoked(
  { caller: { credential } }: UserQuestion,
  { deps: { guard }, messages }: CheckParts,
): Rejection | undefined {
  const reason = guard.check(credential);
  return reason === undefined ? undefined : credentialRejection(reason, messages, credential);
}

function withinAuditShare({ user }: RequestQuestion, { deps }: CheckParts): Rejection | undefined {
  return deps.audit.backlogged(user) ? tooMuchToAudit() : undefined;
}

/** Never a reason to reject, because users do travel. An operator checks it. */
function addressNoted({ caller, address }: UserQuestion, { deps, addresses }: CheckParts): undefined {
  const { clock, metrics, logger } = deps;
  const { session } = caller.credential;
  if (!addresses.isOneTooMany(session, address, clock.nowMs() / 1000)) return;
  metrics.sessionAddressesExceeded();
  logger.warn({ session }, 'session used from many addresses; find out whether its credential was stolen');
}

function withinDelegation(question: UserQuestion, { deps, delegation }: CheckParts): Rejection | undefined {
  const { caller, cluster, exchange } = question;
  if (caller.delegation === undefined) return undefined;
  exchange.audit.impersonated = question.impersonated;
  const rejection = delegation.judge(caller, caller.delegation, question);
  deps.metrics.delegatedRequest(cluster.name, rejection === undefined ? 'allowed' : 'refused');
  return rejection;
}

/** Before a slot is taken and before anything is sent or reviewed. */
function recentlyProven(question: UserQuestion, { deps, stepUp }: CheckParts): Rejection | undefined {
  const rejection = stepUp?.user(question.caller, question);
  if (rejection === undefined) return undefined;
  question.exchange.audit.impersonated = question.impersonated;
  deps.metrics.stepUpNeeded?.(question.cluster.name);
  return rejection;
}

function neverProven(question: ServiceAccountQuestion, { deps, stepUp }: CheckParts): Rejection | undefined {
  const rejection = stepUp?.serviceAccount(question.username, question);
  if (rejection !== undefined) deps.metrics.stepUpNeeded?.(question.cluster.name);
  return rejection;
}

function slotAcquired({ exchange, user, cluster }: RequestQuestion, { slots }: CheckParts): Rejection | undefined {
  const slot = slots.acquire({ user, cluster: cluster.name });
  if (slot.ok) {
    exchange.hold(slot.value);
    return undefined;
  }
  const { most } = slots;
  return slot.reason === 'user' ? tooManyForUser(most.user) : tooManyAtCluster(most[slot.reason]);
}

function mayImpersonate(
  question: UserQuestion,
  { delegation, impersonation }: CheckParts,
): Awaitable<Rejection | undefined> {
  const asked = question.impersonation;
  // Never dropped silently: `kubectl --as=limited` must not run with the user's full rights.
  if (!asked.ok) return impersonationRejection(asked.reason);
  const impersonated = asked.value;
  if (impersonated === undefined) return undefined;
  const { exchange, caller, cluster, info, identity: user } = question;
  exchange.audit.impersonated = impersonated;
  const { credential } = caller;
  const delegated = delegation.passOf(question);
  return impersonation.judge({ cluster, user, credential, delegated, grantIds: grantIds(caller), impersonated, info });
}

function actsAsItself({ exchange }: ServiceAccountQuestion, { messages }: CheckParts): Rejection | undefined {
  const asksForAnother = findImpersonation(exchange.facts.raw).length > 0;
  return asksForAnother ? passthroughRejection('passthrough_impersonation', messages) : undefined;
}

/** The review of its token took time. */
function notFenced(_question: ServiceAccountQuestion, { deps }: CheckParts): Rejection | undefined {
  return deps.guard.fenced ? fenced() : undefined;
}
