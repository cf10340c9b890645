/**
 * The web room's one table from error codes to HTTP status, and from anything thrown to an `AppError`. The HTML page and the
 * problem document both read it; nothing else here knows the numbers.
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

/** Seconds after which asking again makes sense, for the codes that pass by themselves. */
export function retryAfterSeconds(code: ErrorCode): number | undefined {
  return code === 'store_unavailable' || code === 'fenced' || code === 'audit_unavailable' ? 1 : undefined;
}

/** body-parser and the router throw errors with a `status`; only those below 500 are the caller's doing. */
function clientStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined;
  const { status } = error;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/**
 * What was thrown, as an `AppError` and the HTTP status to answer with. Words of a foreign error are never passed on: they can
 * quote the request.
 */
export function appErrorOf(thrown: unknown): { readonly error: AppError; readonly status: number } {
  if (thrown instanceof AppError) return { error: thrown, status: statusOfCode[thrown.code] };
  const status = clientStatus(thrown);
  if (status === undefined) {
    const words =
      'Something went wrong on our side. Try again; if it stays, give the request id to your platform team.';
    return { error: new AppError('internal', words, { cause: thrown }), status: 500 };
  }
  const words = status === 413 ? 'The request is too large.' : 'The request could not be read.';
  return { error: new AppError('bad_request', words, { reason: 'unreadable_request', cause: thrown }), status };
}

/** This replica's lease has lapsed, so it cannot tell whether a credential was revoked. */
export const fencedError = (): AppError =>
  new AppError('fenced', 'This replica cannot vouch for anybody right now. Try again in a moment.');
