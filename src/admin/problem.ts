/**
 * Errors of the admin API: `application/problem+json` (RFC 9457) with a stable `code` to branch on.
 */
import type { ServerResponse } from 'node:http';
import { AppError, type ErrorCode } from '../core/errors.ts';
import { appErrorOf, retryAfterSeconds } from '../http/error-status.ts';

/** Codes that only the admin API has, each finer than the error code it comes with. */
export type AdminProblem =
  | 'session_not_found'
  | 'provider_not_found'
  | 'workload_not_found'
  | 'cluster_not_found'
  | 'revocation_not_found'
  | 'lock_not_found'
  | 'fresh_sign_in_not_needed'
  | 'fresh_sign_in_newer'
  | 'username_ambiguous'
  | 'revocation_not_written'
  | 'request_id_reused'
  | 'second_admin_needed'
  | 'same_admin'
  | 'approval_not_good'
  | 'drill_running'
  | 'drill_refused'
  | 'method_not_allowed'
  | 'too_many_tails'
  | 'too_many_requests'
  | 'fresh_sign_in_needed'
  | 'freshness_unprovable'
  | 'csrf_failed';

/** The error codes of all rooms that a call to the admin API can come to as they are. */
type PlainProblem = Extract<
  ErrorCode,
  | 'bad_request'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'store_unavailable'
  | 'fenced'
  | 'audit_unavailable'
  | 'internal'
>;

export type ProblemCode = PlainProblem | AdminProblem;

interface ProblemRow {
  /** HTTP status that it usually comes with. */
  readonly status: number;
  /** When it comes, for the reference. */
  readonly when: string;
}

/** Every code that the admin API answers; the reference and the OpenAPI document are made from it. */
export const PROBLEMS: Readonly<Record<ProblemCode, ProblemRow>> = {
  bad_request: {
    status: 400,
    when: 'a query parameter, path or body is malformed, unknown or missing; `detail` names it. 413 where the body is too large, 415 where its encoding is not read',
  },
  unauthenticated: {
    status: 401,
    when: 'there is no credential, or it is not good here: at the cookie’s address any `Authorization` header, at the Bearer address a token of another audience, or one that is not bound to this connection’s certificate',
  },
  fresh_sign_in_needed: {
    status: 401,
    when: 'the last sign-in is longer ago than `admin.freshness`: sign in again, then send the same request',
  },
  forbidden: { status: 403, when: 'the caller’s role does not allow it' },
  freshness_unprovable: {
    status: 403,
    when: 'the caller’s identity provider does not say when the person signed in, and `admin.freshness` is on',
  },
  csrf_failed: {
    status: 403,
    when: 'a change with the cookie lacks our own `Origin`, or the `X-CSRF-Token` of this sign-in',
  },
  same_admin: { status: 403, when: 'the approval was asked for by the same admin' },
  not_found: { status: 404, when: 'there is no such resource in this version' },
  session_not_found: { status: 404, when: 'no session of this id is live' },
  revocation_not_found: { status: 404, when: 'no revocation of this id is known from the last ten minutes' },
  fresh_sign_in_not_needed: { status: 404, when: 'the account’s next sign-in need not be a fresh one' },
  fresh_sign_in_newer: { status: 409, when: 'something of the account was revoked after `since`: look at it again' },
  lock_not_found: { status: 404, when: 'the account is not locked' },
  provider_not_found: { status: 404, when: 'no identity provider of this name is configured' },
  workload_not_found: { status: 404, when: 'no workload rule of this name is configured' },
  cluster_not_found: { status: 404, when: 'no cluster of this name is among those that the caller may use' },
  method_not_allowed: {
    status: 405,
    when: 'the resource does not take this method; `Allow` names those that it takes',
  },
  username_ambiguous: { status: 409, when: 'nobody, or more than one account, has a live session under this username' },
  request_id_reused: { status: 409, when: 'the request id or `Idempotency-Key` stands for another request' },
  second_admin_needed: {
    status: 409,
    when: 'nothing was done: it takes a second admin, with the `approval` of this answer, until its `expiresAt`',
  },
  approval_not_good: { status: 409, when: 'the approval is unknown, used up, too old, or for something else' },
  drill_running: { status: 409, when: 'another drill is running' },
  drill_refused: { status: 409, when: 'the session that the drill needs was refused' },
  too_many_requests: {
    status: 429,
    when: 'the account has used up its calls for now, or too many calls without a good credential came from this address; `Retry-After` says for how long',
  },
  too_many_tails: {
    status: 429,
    when: 'as many live streams are open as this replica serves, or as it serves to one account; `Retry-After` says when to try again',
  },
  internal: { status: 500, when: 'something went wrong on our side; the `requestId` finds it in the log' },
  store_unavailable: { status: 503, when: 'the store does not answer; `Retry-After` says when to try again' },
  revocation_not_written: {
    status: 503,
    when: 'the revocation could not be written and nothing is promised; the replica that was asked refuses the target all the same, until `heldUntil` where the answer has one. Send it again, with the same request id',
  },
  fenced: { status: 503, when: 'this replica cannot vouch for anybody right now; try another, or again in a moment' },
  audit_unavailable: { status: 503, when: 'the audit record cannot be written, so nothing is done' },
};

interface AdminErrorOptions {
  readonly cause?: unknown;
  /** Extension members of the problem document (RFC 9457 §3.2). */
  readonly members?: Readonly<Record<string, string>>;
  /** For the record, where it knows more than the code says. */
  readonly reason?: string;
  /** With 429: whole seconds. */
  readonly retryAfterSeconds?: number;
  /** With `fresh_sign_in_needed`: how long a sign-in counts as fresh (RFC 9470 §3). */
  readonly maxAgeSeconds?: number;
  /** True where it stands in the record already, in words of its own. */
  readonly recorded?: boolean;
}

export class AdminError extends AppError {
  readonly problem: AdminProblem;
  readonly members: Readonly<Record<string, string>>;
  readonly recorded: boolean;
  readonly retryAfterSeconds: number | undefined;
  readonly maxAgeSeconds: number | undefined;

  constructor(problem: AdminProblem, code: ErrorCode, message: string, options: AdminErrorOptions = {}) {
    const { reason = problem, cause } = options;
    super(code, message, { reason, ...(cause === undefined ? {} : { cause }) });
    this.problem = problem;
    this.members = options.members ?? {};
    this.recorded = options.recorded ?? false;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.maxAgeSeconds = options.maxAgeSeconds;
  }
}

export interface Problem {
  /** `about:blank` (RFC 9457 §4.2.1): the code says more than a URL of ours would. */
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
}

/** One row a code; a new code does not compile until it has a title here. */
const titles: Readonly<Record<ErrorCode, string>> = {
  bad_request: 'Bad request',
  not_found: 'Not found',
  unauthenticated: 'Not signed in',
  forbidden: 'Not allowed',
  conflict: 'Conflict',
  sign_in_refused: 'Sign-in refused',
  sign_in_expired: 'Sign-in expired',
  provider_unavailable: 'Identity provider unavailable',
  store_unavailable: 'Store unavailable',
  fenced: 'Replica fenced',
  audit_unavailable: 'Audit record unavailable',
  upstream_unavailable: 'Cluster unavailable',
  upstream_timeout: 'Cluster timed out',
  internal: 'Internal error',
};

/** Where a status says more than the error code. */
const titlesOfStatus: ReadonlyMap<number, string> = new Map([
  [405, 'Method not allowed'],
  [429, 'Too many requests'],
]);

/** The one mapper from anything thrown to a problem document. */
export function problemOf(thrown: unknown, requestId: string): Problem {
  const { error, status } = appErrorOf(thrown);
  const { problem: finer, members } = error instanceof AdminError ? error : {};
  const seen = finer === undefined ? status : PROBLEMS[finer].status;
  return {
    ...members,
    type: 'about:blank',
    title: titlesOfStatus.get(seen) ?? titles[error.code],
    status: seen,
    detail: error.message,
    code: finer ?? error.code,
    requestId,
  };
}

/**
 * What a 401 asks for (RFC 9110 §11.6.1). A credential that is good and only too old has an error of its own (RFC 9470 §3), so that a
 * program signs its person in again instead of fetching another token for the same sign-in.
 */
function challenge(thrown: unknown): string {
  if (!(thrown instanceof AdminError) || thrown.problem !== 'fresh_sign_in_needed') return 'Bearer';
  const { maxAgeSeconds } = thrown;
  const age = maxAgeSeconds === undefined ? '' : `, max_age=${maxAgeSeconds}`;
  return `Bearer error="insufficient_user_authentication"${age}`;
}

/** Sends the problem. `WWW-Authenticate` only where a Bearer token would help. */
export function sendProblem(
  res: ServerResponse,
  thrown: unknown,
  options: { readonly requestId: string; readonly bearer: boolean },
): Problem {
  const problem = problemOf(thrown, options.requestId);
  const own = thrown instanceof AdminError ? thrown.retryAfterSeconds : undefined;
  const wait = own ?? retryAfterSeconds(appErrorOf(thrown).error.code);
  if (wait !== undefined) res.setHeader('Retry-After', String(wait));
  if (problem.status === 401 && options.bearer) res.setHeader('WWW-Authenticate', challenge(thrown));
  const body = Buffer.from(JSON.stringify(problem));
  res.writeHead(problem.status, { 'Content-Type': 'application/problem+json', 'Content-Length': body.length });
  res.end(body);
  return problem;
}
