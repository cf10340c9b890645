/** Errors of the admin API and of the admin pages, with a stable code to branch on (core/api/admin-problems.ts). */
import { ADMIN_PROBLEMS } from '../../core/api/admin-problems.ts';
import { ADMIN_TEXTS, rejectionText, type AdminProblem, type AdminRejection } from '../../core/api/rejections.ts';
import { ProblemError, type ProblemErrorOptions } from '../../http/problem.ts';

export class AdminError extends ProblemError {
  declare readonly problem: AdminProblem;

  constructor(rejection: AdminRejection, options: ProblemErrorOptions = {}) {
    const { reason: problem } = rejection;
    super({ problem, status: ADMIN_PROBLEMS[problem].status }, rejectionText(ADMIN_TEXTS, rejection), options);
  }
}
