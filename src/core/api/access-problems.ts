/** Every code of the API for access requests. Those of `OWN_PROBLEMS` are of any call; the service rejects with each of the others. */
import { OWN_PROBLEMS } from './own-operations.ts';
import type { ProblemDescription } from './operation.ts';

export const ACCESS_PROBLEMS = {
  ...OWN_PROBLEMS,
  seconds_malformed: { status: 400, when: 'it is no whole number, or not among what the role allows' },
  reason_malformed: { status: 400, when: 'the reason is too long' },
  reason_needed: { status: 400, when: 'the reason does not match the role’s pattern' },
  session_over: { status: 401, when: 'the session has ended, or its provider rejects the user' },
  fresh_sign_in_needed: {
    status: 401,
    when: 'the last sign-in is older than `maxAge` seconds: step up, then send it again',
  },
  workload: { status: 403, when: 'the session is that of a workload' },
  delegated_session: { status: 403, when: 'the session is a delegated one' },
  sign_in_again: {
    status: 403,
    when: 'the session is of an earlier version, or its provider cannot be asked again',
  },
  freshness_unprovable: { status: 403, when: 'the provider does not say when the user signed in' },
  own_request: { status: 403, when: 'the caller has asked for it, or has a name of the requester' },
  not_an_approver: { status: 403, when: 'the caller is in none of the role’s approving groups' },
  may_not_end: { status: 403, when: 'the caller sees the grant and may not end it: an auditor' },
  account_locked: { status: 403, when: 'the account that asked is locked' },
  request_not_found: { status: 404, when: 'there is no such request, or the caller may not see it' },
  role_not_found: { status: 404, when: 'there is no such role, or the caller may not ask for it' },
  session_not_found: { status: 404, when: 'there is no such session among the caller’s own' },
  role_open: { status: 409, when: 'the session waits for this role already' },
  role_active: { status: 409, when: 'the session has this role already' },
  role_changed: { status: 409, when: 'the role is not what was asked for any more: it must be asked for again' },
  already_approved: { status: 409, when: 'the caller has approved it, or a user with their name' },
  request_open: { status: 409, when: 'nothing has begun that could be ended' },
  request_granted: { status: 409, when: 'it was approved already' },
  request_denied: { status: 409, when: 'it was denied' },
  request_withdrawn: { status: 409, when: 'its user has withdrawn it' },
  request_expired: { status: 409, when: 'no one decided in time' },
  request_busy: { status: 409, when: 'others change it at the same moment' },
  grant_over: { status: 409, when: 'it is over already' },
  requester_gone: { status: 409, when: 'the session that asked has ended, or its provider rejects its user' },
  requester_not_eligible: { status: 409, when: 'its user may not ask for this any more' },
  requester_signs_in_again: { status: 409, when: 'its user must sign in, then ask again' },
  approver_over: { status: 409, when: 'the session of someone who approved it ends at the same moment' },
  requests_too_many: {
    status: 409,
    when: 'as many requests wait, for the role or for all, [as may](../access-requests.md#limits)',
  },
  requests_of_account_too_many: {
    status: 409,
    when: 'ten requests of the account wait, or it has asked too often today',
  },
  grants_too_many: {
    status: 409,
    when: 'as many grants go on, of the role or of all, [as may](../access-requests.md#limits)',
  },
  grants_of_account_too_many: { status: 409, when: 'the account has ten grants' },
  grants_of_session_too_many: { status: 409, when: 'the session has five grants' },
  provider_unavailable: { status: 502, when: 'an identity provider does not confirm a user right now' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;
