/** Every reason why a request, a decision or an end is rejected, with the HTTP status that the APIs give it. */
import { ProblemError, type ProblemErrorOptions } from '../../http/problem.ts';
import { appErrorOf, statusOfCode } from '../../http/error-status.ts';
import type { ErrorCode } from '../../core/errors.ts';

export const REJECTIONS = {
  request_not_found: 404,
  role_not_found: 404,
  session_not_found: 404,
  seconds_malformed: 400,
  reason_needed: 400,
  reason_malformed: 400,
  delegated_session: 403,
  workload: 403,
  sign_in_again: 403,
  freshness_unprovable: 403,
  fresh_sign_in_needed: 401,
  session_over: 401,
  own_request: 403,
  not_an_approver: 403,
  may_not_end: 403,
  account_locked: 403,
  role_open: 409,
  role_active: 409,
  role_changed: 409,
  already_approved: 409,
  approver_over: 409,
  request_open: 409,
  request_granted: 409,
  request_denied: 409,
  request_withdrawn: 409,
  request_expired: 409,
  request_busy: 409,
  grant_over: 409,
  requester_gone: 409,
  requester_not_eligible: 409,
  requester_signs_in_again: 409,
  requests_too_many: 409,
  requests_of_account_too_many: 409,
  grants_too_many: 409,
  grants_of_account_too_many: 409,
  grants_of_session_too_many: 409,
  provider_unavailable: 502,
} as const satisfies Readonly<Record<string, number>>;

export type RejectionReason = keyof typeof REJECTIONS;

const CODES: Readonly<Record<(typeof REJECTIONS)[RejectionReason], ErrorCode>> = {
  400: 'bad_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  502: 'provider_unavailable',
};

export const rejection = (reason: RejectionReason, message: string, options: ProblemErrorOptions = {}): ProblemError =>
  new ProblemError({ problem: reason, status: REJECTIONS[reason], code: CODES[REJECTIONS[reason]] }, message, options);

/** Returns anything thrown as an error whose audit event was written. */
export function auditedError(thrown: unknown): ProblemError {
  if (thrown instanceof ProblemError) {
    const { problem, status, code, message, members, reason, retryAfterSeconds, maxAgeSeconds } = thrown;
    return new ProblemError({ problem, status, code }, message, {
      members,
      reason,
      cause: thrown.cause,
      audited: true,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      ...(maxAgeSeconds === undefined ? {} : { maxAgeSeconds }),
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

/** The same for one that is not yours and for one that does not exist: an id that was guessed says nothing. */
export const requestNotFound = (): ProblemError =>
  rejection('request_not_found', 'There is no such access request among those that you may see.');
