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
  /** Waiting and trying again do not help: only an operator can fix the cause. */
  readonly needsOperator: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { reason?: string; cause?: unknown; needsOperator?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.reason = options.reason ?? code;
    this.needsOperator = options.needsOperator ?? false;
  }
}

/** Returns, as a field of the log, what an operator has to fix; nothing for an error that may pass by itself. */
export const causeField = ({ needsOperator, cause }: AppError): { readonly cause?: string } =>
  needsOperator && cause instanceof Error ? { cause: cause.message } : {};

/**
 * Returns an error's message for a program whose user no page can tell whom to ask. The command line splits it again
 * (`cli/session/rejection.ts`).
 */
export const programMessage = (
  { message }: AppError,
  { contact, requestId }: { readonly contact: string; readonly requestId: string },
): string => `${message} Whom to ask: ${contact} Request id: ${requestId}`;
