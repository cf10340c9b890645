/**
 * Faults as people see them: what happened and why, then the next command. One `AppError` for the whole room; this file alone
 * knows exit codes.
 */
import { AppError, type ErrorCode } from '../core/errors.ts';
import { plainLines, plainText } from './terminal/plain-text.ts';

/**
 * @param what what happened and why, in one or two sentences; must hold no token
 * @param next the command to type, or what else to do
 */
export function cliError(
  code: ErrorCode,
  what: string,
  next?: string,
  options: { reason?: string; cause?: unknown } = {},
): AppError {
  return new AppError(code, next === undefined ? what : `${what}\n  Next: ${next}`, options);
}

/**
 * Exit codes (docs/reference/cli.md#exit-codes): 0 done, 1 failed, 2 wrong use or configuration, 3 refused.
 * @param error anything that was thrown
 */
export function exitCodeOf(error: unknown): 1 | 2 | 3 {
  if (!(error instanceof AppError)) return 1;
  switch (error.code) {
    case 'bad_request':
      return 2;
    case 'forbidden':
    case 'sign_in_refused':
      return 3;
    case 'not_found':
    case 'unauthenticated':
    case 'conflict':
    case 'sign_in_expired':
    case 'provider_unavailable':
    case 'store_unavailable':
    case 'fenced':
    case 'audit_unavailable':
    case 'upstream_unavailable':
    case 'upstream_timeout':
    case 'internal':
      return 1;
  }
}

/**
 * The words for stderr. Whoever built the message has made a server's words plain already; a terminal is not the place to find
 * out that one forgot. A fault nobody foresaw shows its message on one line, never a stack or a value that it carried.
 */
export function errorMessage(error: unknown): string {
  if (error instanceof AppError) return plainLines(error.message);
  const what = plainText(error instanceof Error ? error.message : 'unknown fault');
  return `${what}\n  Next: run it again with --verbose, and give your platform team what it says`;
}

/** What `docs/troubleshooting.md` can be searched for; for `--verbose`. */
export function describeErrorCode(error: unknown): string {
  if (!(error instanceof AppError)) return 'no code: nobody foresaw this fault';
  return error.reason === error.code
    ? `code ${error.code}`
    : `code ${error.code}, reason ${plainText(error.reason, 80)}`;
}
