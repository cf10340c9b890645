/**
 * One error class for every room. Callers branch on `code`, never on the message; three mappers at the edges (HTML page,
 * OAuth JSON, Kubernetes Status) alone know HTTP numbers. The message is for the person and says what to do next; `cause`
 * and `reason` are for the log and the audit record and never reach the wire.
 */
export type ErrorCode =
  | 'bad_request' // malformed beyond doubt
  | 'not_found'
  | 'unauthenticated' // no credential, or one that is not good
  | 'forbidden'
  | 'conflict'
  | 'sign_in_refused' // the provider or a rule said no to this person
  | 'sign_in_expired' // a state, interaction or code that is unknown, used or too old
  | 'provider_unavailable' // the identity provider cannot be reached or answers nonsense
  | 'store_unavailable' // Redis away or too slow: never an allowed request
  | 'fenced' // this replica's lease has lapsed: it refuses everything
  | 'audit_unavailable' // the record cannot be written and `audit.onFailure` is `block`
  | 'upstream_unavailable' // the API server cannot be reached
  | 'upstream_timeout'
  | 'internal';

export class AppError extends Error {
  readonly code: ErrorCode;
  /** Precise reason for the audit record, in snake_case; never shown to the caller. */
  readonly reason: string;

  constructor(code: ErrorCode, message: string, options: { reason?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.reason = options.reason ?? code;
  }
}
