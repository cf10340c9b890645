/**
 * The one place where a rejection becomes the problem that its caller is told: what the text says, beside the status that the
 * API describes (core/api/access-problems.ts). Decisions know reasons only.
 */
import { ACCESS_PROBLEMS } from '../../core/api/access-problems.ts';
import { MOST_REASON } from '../../core/access/request.ts';
import { unprovableMessage } from '../../core/identity/fresh-sign-in.ts';
import { frequencyText } from '../../core/identity/freshness.ts';
import { appErrorOf, statusOfCode } from '../../http/error-status.ts';
import { ProblemError, rejectionProblem } from '../../http/problem.ts';
import { SHORTEST_SECONDS } from './judge.ts';
import type { AccessRejection, Judgement } from './rejections.ts';
import { defined } from '../../core/defined.ts';

type Of<R> = Extract<AccessRejection, { readonly reason: R }>;

const TEXTS: { readonly [R in AccessRejection['reason']]: string | ((rejection: Of<R>) => string) } = {
  // The same for one that is not yours and for one that does not exist: an id that was guessed says nothing.
  request_not_found: 'There is no such access request among those that you may see.',
  role_not_found: 'There is no such role among those that you may ask for. “portcullis access list” lists them.',
  session_not_found: 'There is no such session among yours. “portcullis sessions” lists them.',
  seconds_malformed: ({ longest }) =>
    `The time must be a whole number of seconds, from ${SHORTEST_SECONDS} to ${longest} for this role.`,
  reason_needed: ({ pattern }) => `This role needs a reason that matches “${pattern}”, from its beginning to its end.`,
  reason_malformed: `The reason may have at most ${MOST_REASON} characters.`,
  delegated_session: ({ act }) =>
    act === 'ask'
      ? 'A delegated session can neither ask for a role nor decide about a request. Use your own session.'
      : 'A delegated session is given no role. Ask for your own session.',
  workload: 'A workload can neither ask for a role nor decide about a request. A user must do it.',
  sign_in_again: ({ because }) =>
    because === 'unconfirmed'
      ? 'The identity provider cannot be asked again about this session. Sign in again (portcullis login).'
      : 'Your session was opened by an earlier version of Portcullis. Sign in again (portcullis login).',
  freshness_unprovable: ({ provider, purpose }) => unprovableMessage(provider, purpose),
  fresh_sign_in_needed: ({ withinSeconds }) =>
    `For this you must sign in again ${frequencyText(withinSeconds)}. Sign in again (portcullis step-up), then repeat it.`,
  session_over: 'Your session has ended. Sign in again (portcullis login).',
  own_request: ({ isSameAccount }) =>
    isSameAccount
      ? 'You have asked for this yourself. A colleague must decide; you can withdraw it.'
      : 'You have asked for this yourself, or with an account that has the same name. A colleague must decide.',
  not_an_approver: 'You are not among those who approve this role. Ask one of them.',
  may_not_end: 'Its user, its approvers and admins may end it.',
  account_locked: 'The account that asked is locked here.',
  role_open: 'You have asked for this role already, and it waits for approval. “portcullis access list” shows it.',
  role_active: 'This session has this role already. End it first (portcullis access end), or wait.',
  role_changed:
    'This role was changed after it was asked for. Its user must ask again, so that you see what you approve.',
  already_approved:
    'You have approved this already, or with an account that has the same name. It needs another colleague.',
  approver_over: 'The session of someone who approved this has just ended. Look at the request, then decide again.',
  request_open: 'Nothing has begun yet. Its approvers can deny it (portcullis access deny).',
  request_granted: 'This request was approved already, and what it gives has begun.',
  request_denied: 'This request was denied. It must be asked for again.',
  request_withdrawn: 'Its user has withdrawn this request.',
  request_expired: 'No one decided about this request in time. It must be asked for again.',
  request_busy: ({ others }) =>
    others === 'have_decided'
      ? 'This request was decided at the same moment. Look at it, then decide again.'
      : `Others ${others === 'decide' ? 'decide about' : 'change'} this request at the same moment. Try again.`,
  grant_over: ({ act }) =>
    act === 'decide'
      ? 'This request was approved, and what it gave is over already. It must be asked for again.'
      : 'This request is over already. There is nothing to end.',
  requester_gone: 'The session that asked is over. Its user must sign in and ask again.',
  requester_not_eligible: 'The requester may not ask for this any more: not in these groups, or not for so long.',
  requester_signs_in_again: ({ because }) =>
    because === 'unconfirmed'
      ? 'The identity provider of the requester cannot be asked about them again: they must sign in, then ask again.'
      : 'The requester has a session of an earlier version of Portcullis: they must sign in, then ask again.',
  requests_too_many:
    'As many requests for this role, or for all, wait for approval as may. Approvers must decide about some of them first.',
  requests_of_account_too_many:
    'As many of your requests wait as may, or you have asked too often within a day. Withdraw some (portcullis access end), or wait.',
  grants_too_many: 'As many users have this role, or any, as may. One of them must end theirs first.',
  grants_of_account_too_many: 'You have as many roles as an account may have. End one first (portcullis access end).',
  grants_of_session_too_many: 'This session has as many roles as one may have. End one first (portcullis access end).',
};

/** Returns a rejection as the problem that its caller is told. */
export function accessProblem(rejection: AccessRejection): ProblemError {
  const { reason } = rejection;
  const text = TEXTS[reason] as string | ((of: AccessRejection) => string);
  const message = typeof text === 'string' ? text : text(rejection);
  const { status } = ACCESS_PROBLEMS[reason];
  if (reason !== 'fresh_sign_in_needed') return rejectionProblem({ problem: reason, status }, message);
  const { withinSeconds } = rejection;
  const options = { maxAgeSeconds: withinSeconds, members: { maxAge: String(withinSeconds) } };
  return rejectionProblem({ problem: reason, status }, message, options);
}

/** Returns what was decided. @throws ProblemError where it is a rejection */
export function passed<T>(judgement: Judgement<T>): T {
  if (judgement.ok) return judgement.value;
  throw accessProblem(judgement.reason);
}

/** Returns anything thrown as an error whose audit event was written. */
export function auditedError(thrown: unknown): ProblemError {
  if (thrown instanceof ProblemError) {
    const { problem, status, code, message, members, reason, retryAfterSeconds, maxAgeSeconds } = thrown;
    return new ProblemError({ problem, status, code }, message, {
      members,
      reason,
      cause: thrown.cause,
      audited: true,
      ...defined({ retryAfterSeconds, maxAgeSeconds }),
    });
  }
  const { error } = appErrorOf(thrown);
  const { code, message, reason } = error;
  return new ProblemError({ problem: code, status: statusOfCode[code], code }, message, {
    reason,
    cause: error.cause,
    audited: true,
  });
}
