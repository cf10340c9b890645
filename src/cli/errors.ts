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
 * Returns the error about a revocation that is written and not proven by the time the command ends: a script must not
 * take it for done.
 * @param missing what has not confirmed it, as the server says
 */
export function notProven(missing: readonly string[], next: string): AppError {
  const names = plainText(missing.join(', ') || 'unknown', 1000);
  const what = `The revocation is written and being applied, but not proven yet. Missing: ${names}.`;
  return cliError('conflict', what, next, { reason: NOT_PROVEN });
}

const NOT_PROVEN = 'revocation_not_proven';

/**
 * The admin API's own codes for a target that does not exist. A proxy in front of the server responds with 404 as well,
 * some with a code such as `route_not_found`, and a script would take a live session for an ended one.
 */
const NO_TARGET: ReadonlySet<string> = new Set([
  'session_not_found',
  'username_not_found',
  'provider_not_found',
  'workload_not_found',
  'revocation_not_found',
  'lock_not_found',
  'stream_not_found',
  'cluster_not_found',
  'access_request_not_found',
  'request_not_found',
  'role_not_found',
]);

/**
 * Returns the exit code (docs/reference/cli.md#exit-codes): 1 failed, 2 wrong use or configuration, 3 rejected, 4 no
 * such target, 5 a revocation that is not proven yet.
 * @param error anything that was thrown
 */
export function exitCodeOf(error: unknown): 1 | 2 | 3 | 4 | 5 {
  if (lacksLibrary(error)) return 2;
  if (!(error instanceof AppError)) return 1;
  switch (error.code) {
    case 'bad_request':
      return 2;
    case 'forbidden':
    case 'sign_in_refused':
      return 3;
    case 'not_found':
      return NO_TARGET.has(error.reason) ? 4 : 1;
    case 'conflict':
      return error.reason === NOT_PROVEN ? 5 : 1;
    case 'unauthenticated':
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
  if (lacksLibrary(error))
    return 'The libraries of this command are not in the server’s image.\n  Next: run it where the command line is installed (docs/install-cli.md)';
  const what = plainText(error instanceof Error ? error.message : 'unknown error');
  return `${what}\n  Next: run it again with --verbose, and send the output to your platform team`;
}

/**
 * Returns whether a library is missing: the image, as `npm ci --omit=optional`, leaves out what only users' commands
 * load (docs/dependencies.md).
 */
const lacksLibrary = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';

/** Returns the code that `docs/troubleshooting.md` can be searched for; for `--verbose`. */
export function describeErrorCode(error: unknown): string {
  if (!(error instanceof AppError)) return 'no code: unexpected error';
  return error.reason === error.code
    ? `code ${error.code}`
    : `code ${error.code}, reason ${plainText(error.reason, 80)}`;
}
