/**
 * Errors of the admin API: `application/problem+json` (RFC 9457) with a stable `code` to branch on.
 */
import type { ServerResponse } from 'node:http';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import { faultOf, retryAfterSeconds } from '../page/error-status.ts';

/** Codes that only the admin API has, each finer than the error code it comes with. */
export type AdminProblem =
  | 'session_not_found'
  | 'provider_not_found'
  | 'workload_not_found'
  | 'cluster_not_found'
  | 'revocation_not_found'
  | 'lock_not_found'
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
  | 'csrf_failed';

interface AdminErrorOptions {
  readonly cause?: unknown;
  /** Extension members of the problem document (RFC 9457 §3.2). */
  readonly members?: Readonly<Record<string, string>>;
  /** True where it stands in the record already, in words of its own. */
  readonly recorded?: boolean;
}

export class AdminError extends AppError {
  readonly problem: AdminProblem;
  readonly members: Readonly<Record<string, string>>;
  readonly recorded: boolean;

  constructor(problem: AdminProblem, code: ErrorCode, message: string, options: AdminErrorOptions = {}) {
    super(code, message, { reason: problem, ...(options.cause === undefined ? {} : { cause: options.cause }) });
    this.problem = problem;
    this.members = options.members ?? {};
    this.recorded = options.recorded ?? false;
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

/** Where the status is another one than the error code's. */
const statuses: { readonly [P in AdminProblem]?: number } = { method_not_allowed: 405, too_many_tails: 429 };

/** The one mapper from anything thrown to a problem document. */
export function problemOf(thrown: unknown, requestId: string): Problem {
  const { error, status } = faultOf(thrown);
  const { problem: finer, members } = error instanceof AdminError ? error : {};
  return {
    ...members,
    type: 'about:blank',
    title: titles[error.code],
    status: (finer && statuses[finer]) ?? status,
    detail: error.message,
    code: finer ?? error.code,
    requestId,
  };
}

/** Sends the problem. `WWW-Authenticate` (RFC 9110 §11.6.1) only where a Bearer token would help. */
export function sendProblem(
  res: ServerResponse,
  thrown: unknown,
  options: { readonly requestId: string; readonly bearer: boolean },
): Problem {
  const problem = problemOf(thrown, options.requestId);
  const wait = retryAfterSeconds(faultOf(thrown).error.code);
  if (wait !== undefined) res.setHeader('Retry-After', String(wait));
  if (problem.status === 401 && options.bearer) res.setHeader('WWW-Authenticate', 'Bearer');
  const body = Buffer.from(JSON.stringify(problem));
  res.writeHead(problem.status, { 'Content-Type': 'application/problem+json', 'Content-Length': body.length });
  res.end(body);
  return problem;
}
