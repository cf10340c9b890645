/**
 * Errors as `application/problem+json` (RFC 9457) with a stable `code` to branch on: of the admin API, and of that for
 * delegated sessions.
 */
import type { ServerResponse } from 'node:http';
import {
  rejectionCode,
  rejectionText,
  type Catalogue,
  type Rejection,
  type RejectionFacts,
  type RejectionOf,
  type Texts,
} from '../core/api/rejections.ts';
import { AppError, type ErrorCode } from '../core/errors.ts';
import type { Result } from '../core/result.ts';
import { appErrorOf, retryAfterSeconds, statusOfCode } from './error-status.ts';
import { defined } from '../core/defined.ts';

export interface ProblemErrorOptions extends Omit<RejectionFacts, 'precisely'> {
  /** For the audit log, where it is more precise than the code. */
  readonly reason?: string;
}

/** An error with a code of its own, which is more precise than the error code that it comes with. */
export class ProblemError extends AppError {
  readonly problem: string;
  /** HTTP status. */
  readonly status: number;
  readonly members: Readonly<Record<string, string>>;
  readonly audited: boolean;
  readonly retryAfterSeconds: number | undefined;
  readonly withinSeconds: number | undefined;

  constructor(
    { problem, status, code }: { readonly problem: string; readonly status: number; readonly code: ErrorCode },
    message: string,
    options: ProblemErrorOptions = {},
  ) {
    const { reason = problem, cause, withinSeconds, retryAfterSeconds, audited = false } = options;
    super(code, message, { reason, ...defined({ cause }) });
    this.problem = problem;
    this.status = status;
    this.members = options.members ?? (withinSeconds === undefined ? {} : { maxAge: String(withinSeconds) });
    this.audited = audited;
    this.retryAfterSeconds = retryAfterSeconds;
    this.withinSeconds = withinSeconds;
  }
}

/** Returns the rejection of a service as the error that its caller is told. */
export function problemFor<T extends Texts>(catalogue: Catalogue<T>, rejection: RejectionOf<T>): ProblemError {
  const { texts, problems, codes } = catalogue;
  const { reason: own, precisely: reason = own, ...facts } = rejection as Rejection;
  const code = rejectionCode(catalogue, rejection);
  const problem = codes?.[rejection.reason] ?? own;
  const status = problems[own]?.status ?? statusOfCode[code];
  return new ProblemError({ problem, status, code }, rejectionText(texts, rejection), { ...facts, reason });
}

/** Returns what a service has done. @throws ProblemError for what it has rejected */
export function passed<T, C extends Texts>(catalogue: Catalogue<C>, result: Result<T, RejectionOf<C>>): T {
  if (result.ok) return result.value;
  throw problemFor(catalogue, result.reason);
}

/** Returns anything thrown as an error whose audit event was written. */
export function auditedError(thrown: unknown): ProblemError {
  const { error, status } = appErrorOf(thrown);
  const { code, message, reason, cause } = error;
  const problem = error instanceof ProblemError ? error.problem : code;
  return new ProblemError({ problem, status, code }, message, { reason, cause, audited: true });
}

export interface Problem {
  /** `about:blank` (RFC 9457 §4.2.1): the code says more than a URL would. */
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
}

/** The title of each code. A new code does not compile until it has a title here. */
const titles: Readonly<Record<ErrorCode, string>> = {
  bad_request: 'Bad request',
  not_found: 'Not found',
  unauthenticated: 'Not signed in',
  forbidden: 'Not allowed',
  conflict: 'Conflict',
  sign_in_refused: 'Sign-in rejected',
  sign_in_expired: 'Sign-in expired',
  provider_unavailable: 'Identity provider unavailable',
  store_unavailable: 'Store unavailable',
  fenced: 'Replica fenced',
  audit_unavailable: 'Audit log unavailable',
  upstream_unavailable: 'Cluster unavailable',
  upstream_timeout: 'Cluster timed out',
  internal: 'Internal error',
};

/** The titles of statuses that say more than the error code. */
const TITLES_BY_STATUS: ReadonlyMap<number, string> = new Map([
  [405, 'Method not allowed'],
  [429, 'Too many requests'],
]);

/** Maps anything thrown to a problem document. It is the only such mapper. */
export function problemOf(thrown: unknown, requestId: string): Problem {
  const { error, status } = appErrorOf(thrown);
  const { problem: code, members, status: ownStatus } = error instanceof ProblemError ? error : {};
  const sentStatus = ownStatus ?? status;
  return {
    ...members,
    type: 'about:blank',
    title: TITLES_BY_STATUS.get(sentStatus) ?? titles[error.code],
    status: sentStatus,
    detail: error.message,
    code: code ?? error.code,
    requestId,
  };
}

/**
 * Returns the challenge of a 401 (RFC 9110 §11.6.1). A valid credential from a sign-in that is too old has its own
 * error (RFC 9470 §3), so that a program signs its user in again instead of fetching another token for the same
 * sign-in.
 */
function challenge(thrown: unknown): string {
  if (!(thrown instanceof ProblemError) || thrown.problem !== 'fresh_sign_in_needed') return 'Bearer';
  const { withinSeconds } = thrown;
  const age = withinSeconds === undefined ? '' : `, max_age=${withinSeconds}`;
  return `Bearer error="insufficient_user_authentication"${age}`;
}

/** Sends the problem document. `WWW-Authenticate` is sent only where a Bearer token would help. */
export function sendProblem(
  res: ServerResponse,
  thrown: unknown,
  options: { readonly requestId: string; readonly bearer: boolean },
): Problem {
  const problem = problemOf(thrown, options.requestId);
  const given = thrown instanceof ProblemError ? thrown.retryAfterSeconds : undefined;
  const waitSeconds = given ?? retryAfterSeconds(appErrorOf(thrown).error.code);
  if (waitSeconds !== undefined) res.setHeader('Retry-After', String(waitSeconds));
  if (problem.status === 401 && options.bearer) res.setHeader('WWW-Authenticate', challenge(thrown));
  const body = Buffer.from(JSON.stringify(problem));
  res.writeHead(problem.status, { 'Content-Type': 'application/problem+json', 'Content-Length': body.length });
  res.end(body);
  return problem;
}
