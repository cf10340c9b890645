/** Errors of the admin API and of the admin pages, with a stable code to branch on (core/api/admin-problems.ts). */
import { ADMIN_PROBLEMS, type AdminProblemCode } from '../../core/api/admin-problems.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { ProblemError, type ProblemErrorOptions } from '../../http/problem.ts';

/** The codes that only these have. Each is more precise than the error code that it comes with. */
export type AdminProblem = Exclude<AdminProblemCode, ErrorCode> | 'provider_unavailable';

export class AdminError extends ProblemError {
  declare readonly problem: AdminProblem;

  constructor(problem: AdminProblem, code: ErrorCode, message: string, options: ProblemErrorOptions = {}) {
    super({ problem, status: ADMIN_PROBLEMS[problem].status, code }, message, options);
  }
}
