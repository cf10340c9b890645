/**
 * One error class for every module. Callers branch on `code`, never on the message; only three mappers at the
 * edges (HTML page, OAuth JSON, Kubernetes Status) know HTTP numbers. The message is for the user and says what to
 * do next; `cause` and `reason` are for the log and the audit log and are never sent.
 */
export const ERROR_CODES = [
  'bad_request', // malformed beyond doubt
  'not_found',
  'unauthenticated', // no credential, or an invalid one
  'forbidden',
  'conflict',
  'sign_in_refused', // the provider or a rule rejected this user
  'sign_in_expired', // a state, interaction or code that is unknown, used or too old
  'provider_unavailable', // the identity provider is unreachable or its response is invalid
  'store_unavailable', // Redis is unavailable or too slow: never an allowed request
  'fenced', // this replica's lease has lapsed: it rejects all requests
  'audit_unavailable', // the audit log cannot be written and `audit.onFailure` is `block`
  'upstream_unavailable', // the API server is unreachable
  'upstream_timeout',
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class AppError extends Error {
  readonly code: ErrorCode;
  /** Precise reason for the audit log, in snake_case; never shown to the caller. */
  readonly reason: string;

  constructor(code: ErrorCode, message: string, options: { reason?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.reason = options.reason ?? code;
  }
}
