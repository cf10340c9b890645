/**
 * Errors as users see them: what happened and why, then the next command. The whole module uses `AppError`; only
 * this file knows exit codes.
 */
import { AppError, type ErrorCode } from '../core/errors.ts';
import { plainLines, plainText } from './terminal/plain-text.ts';

/**
 * Creates an error with the next step in its message.
 * @param message what happened and why, in one or two sentences; must hold no token
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
 * Returns the exit code (docs/reference/cli.md#exit-codes): 1 failed, 2 wrong use or configuration, 3 rejected.
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
 * Returns the message for stderr. The author of a message has already made a server's text plain, but a terminal is
 * not the place to find out that one did not. An unforeseen error shows its message on one line, never a stack or a
 * value that it carried.
 */
export function errorMessage(error: unknown): string {
  if (error instanceof AppError) return plainLines(error.message);
  const what = plainText(error instanceof Error ? error.message : 'unknown error');
  return `${what}\n  Next: run it again with --verbose, and send the output to your platform team`;
}

/** Returns the code that `docs/troubleshooting.md` can be searched for; for `--verbose`. */
export function describeErrorCode(error: unknown): string {
  if (!(error instanceof AppError)) return 'no code: unexpected error';
  return error.reason === error.code
    ? `code ${error.code}`
    : `code ${error.code}, reason ${plainText(error.reason, 80)}`;
}
