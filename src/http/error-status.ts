/**
 * The one table from error codes to HTTP status of pages and the admin API, and the one mapper from anything thrown
 * to an `AppError`. The HTML page and the problem document both use it; no other file knows the numbers.
 */
import { AppError, type ErrorCode } from '../core/errors.ts';

export const statusOfCode: Readonly<Record<ErrorCode, number>> = {
  bad_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  sign_in_refused: 403,
  sign_in_expired: 400,
  not_found: 404,
  conflict: 409,
  internal: 500,
  provider_unavailable: 502,
  upstream_unavailable: 502,
  store_unavailable: 503,
  fenced: 503,
  audit_unavailable: 503,
  upstream_timeout: 504,
};

/** Returns after how many seconds a client should try again, for the codes of errors that pass by themselves. */
export function retryAfterSeconds(code: ErrorCode): number | undefined {
  return code === 'store_unavailable' || code === 'fenced' || code === 'audit_unavailable' ? 1 : undefined;
}

/**
 * Returns the `status` that body-parser and the router give their errors; only one below 500 is the caller's error.
 */
function clientStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined;
  const { status } = error;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/**
 * Returns anything thrown as an `AppError`, with the HTTP status to respond with. The message of a foreign error is
 * never passed on, because it can quote the request.
 */
export function appErrorOf(thrown: unknown): { readonly error: AppError; readonly status: number } {
  if (thrown instanceof AppError) return { error: thrown, status: statusOfCode[thrown.code] };
  const status = clientStatus(thrown);
  if (status === undefined) {
    const message =
      'Something went wrong on our side. Try again; if it stays, give the request id to your platform team.';
    return { error: new AppError('internal', message, { cause: thrown }), status: 500 };
  }
  const message = status === 413 ? 'The request is too large.' : 'The request could not be read.';
  return { error: new AppError('bad_request', message, { reason: 'unreadable_request', cause: thrown }), status };
}

/** Returns the error of a replica whose lease has lapsed, so that it cannot know whether a credential was revoked. */
export const fencedError = (): AppError =>
  new AppError(
    'fenced',
    'This replica cannot verify that credentials are not revoked right now. Try again in a moment.',
  );
