/** Every code that the admin API returns. The reference and the OpenAPI document are generated from it. */
import type { ProblemDescription } from './operation.ts';

export const ADMIN_PROBLEMS = {
  bad_request: {
    status: 400,
    when: 'a query parameter, path or body is malformed, unknown or missing; `detail` names it. The status is 413 where the body is too large and 415 where its encoding is not supported',
  },
  unauthenticated: {
    status: 401,
    when: 'there is no credential, or it is not valid here. At the address for the cookie, any `Authorization` header is rejected; at the address for Bearer tokens, a token with another audience, or one that is not bound to the client certificate of this connection',
  },
  fresh_sign_in_needed: {
    status: 401,
    when: 'the last sign-in is older than `admin.freshness`: sign in again, then send the same request',
  },
  forbidden: { status: 403, when: 'the caller’s role does not allow it' },
  freshness_unprovable: {
    status: 403,
    when: 'the caller’s identity provider does not say when the user signed in, and `admin.freshness` is on',
  },
  csrf_failed: {
    status: 403,
    when: 'a change with the cookie lacks the `Origin` of Portcullis, or the `X-CSRF-Token` of this sign-in',
  },
  same_admin: { status: 403, when: 'the same admin has asked for the approval' },
  not_found: { status: 404, when: 'there is no such resource in this version' },
  session_not_found: { status: 404, when: 'no session of this id is live' },
  revocation_not_found: { status: 404, when: 'no revocation of this id is known from the last thirty days' },
  fresh_sign_in_not_needed: { status: 404, when: 'the account’s next sign-in need not be a fresh one' },
  fresh_sign_in_newer: {
    status: 409,
    when: 'the account or one of its sessions was revoked after `since`: read it again, then decide',
  },
  stream_not_found: { status: 404, when: 'this stream is not open, at any replica that answered' },
  lock_not_found: { status: 404, when: 'the account is not locked' },
  provider_not_found: {
    status: 404,
    when: 'no identity provider of this name is configured; for an account, no workload rule either, and nothing is known of the account',
  },
  workload_not_found: { status: 404, when: 'no workload rule of this name is configured' },
  username_not_found: { status: 404, when: 'no live session has this username; nothing was done' },
  cluster_not_found: { status: 404, when: 'no cluster of this name is among those that the caller may use' },
  method_not_allowed: {
    status: 405,
    when: 'the resource does not support this method; `Allow` lists the methods that it supports',
  },
  username_ambiguous: { status: 409, when: 'more than one account has a live session under this username' },
  account_not_seen: {
    status: 409,
    when: 'nothing was done: a lock is for an account that has no live session, no lock and no revocation of its own in the last thirty days. Check the spelling, or send `"force": true`',
  },
  request_id_reused: { status: 409, when: 'the request id or `Idempotency-Key` was used for another request' },
  second_admin_needed: {
    status: 409,
    when: 'nothing was done: a second admin must send it, with the `approval` of this response, before its `expiresAt`',
  },
  approval_not_good: {
    status: 409,
    when: 'the approval is unknown, already used, too old, for another request, or of an admin whose session has ended, who is none any more, or whom their identity provider does not confirm',
  },
  access_request_not_found: { status: 404, when: 'there is no access request of this id' },
  access_conflict: {
    status: 409,
    when: 'the access request is over, changed, or decided already; `reason` has the code of [the API for access requests](access-api.md#problem-codes)',
  },
  provider_unavailable: {
    status: 502,
    when: 'an identity provider does not confirm the requester, the approver or an earlier approver right now; nothing was done',
  },
  drill_running: { status: 409, when: 'another drill is running' },
  drill_refused: { status: 409, when: 'the session that the drill needs was rejected' },
  too_many_requests: {
    status: 429,
    when: 'the account has reached its limit of calls, too many calls without a valid credential came from this address, or other searches of the audit log are running; `Retry-After` has the seconds to wait',
  },
  too_many_tails: {
    status: 429,
    when: 'this replica already serves as many live streams as it may, in all or to one account; `Retry-After` has the seconds to wait',
  },
  internal: { status: 500, when: 'an error on the server; search its log for the `requestId`' },
  store_unavailable: {
    status: 503,
    when: 'the store does not respond; `Retry-After` has the seconds to wait',
  },
  revocation_not_written: {
    status: 503,
    when: 'the revocation could not be written, so nothing is guaranteed. The replica that received it rejects the target all the same, until `heldUntil` where the response has one. Send it again, with the same request id',
  },
  fenced: {
    status: 503,
    when: 'this replica cannot verify that credentials are not revoked; try another replica, or try again in a moment',
  },
  audit_unavailable: { status: 503, when: 'the audit log cannot be written, so nothing is done' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;

export type AdminProblemCode = keyof typeof ADMIN_PROBLEMS;

/** The codes that any call can return. */
export const ADMIN_CALLS = [
  'bad_request',
  'unauthenticated',
  'forbidden',
  'method_not_allowed',
  'too_many_requests',
  'internal',
  'store_unavailable',
  'fenced',
  'audit_unavailable',
] as const satisfies readonly AdminProblemCode[];

/** The codes that any change can return in addition. */
export const ADMIN_CHANGES = [
  'fresh_sign_in_needed',
  'freshness_unprovable',
  'csrf_failed',
] as const satisfies readonly AdminProblemCode[];
