/**
 * The messages and codes of a rejection, as Kubernetes spells them: a `Status` object, its `reason` and its HTTP
 * code.
 *
 * There are two readers. The user is told what to do next. An attacker learns nothing: every token that we have not
 * signed gets the same response. A token that we have signed gets the name of the client that it was for, also when
 * it has expired, and only a proven session learns why it ended.
 */
import { STATUS_CODES } from 'node:http';

/** `reason` of a Kubernetes Status (metav1.StatusReason). */
export type StatusReason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'Conflict'
  | 'InternalError'
  | 'ServiceUnavailable'
  | 'Timeout'
  | 'TooManyRequests'
  | 'RequestEntityTooLarge';

export interface Rejection {
  readonly code: number;
  readonly reason: StatusReason;
  readonly message: string;
  /** Precise, in snake_case, for the audit log and the metrics only. */
  readonly auditReason: string;
  readonly retry: Retry;
}

/**
 * Whether the client may repeat the request, of whatever method: client-go does so ten times for every 5xx and 429
 * with `Retry-After`, also a POST. So never for a request that the API server may have executed.
 *
 * `elsewhere`: another replica can serve it. `Retry-After: 1`, and the connection is closed, because client-go
 * would otherwise try ten times on this one. `later`: no replica can serve it now; `Retry-After: 3`, on the same
 * connection.
 */
export type Retry = 'no' | 'elsewhere' | 'later';

/** Seconds. client-go waits ten times as long, and the restart of an API server takes fifteen seconds or so. */
const LATER_SECONDS = 3;

/** Codes where a user may have to ask another what happened. With lower codes the request itself is wrong. */
const QUOTABLE: ReadonlySet<number> = new Set([401, 403, 429, 500, 502, 503, 504]);

/**
 * Returns the JSON body.
 * @param auditId by which the audit log is searched; in the message too, because kubectl shows that and no header
 * @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
 */
export function statusBody(
  rejection: Pick<Rejection, 'code' | 'reason' | 'message'>,
  auditId?: string,
): Record<string, unknown> {
  const { code, reason } = rejection;
  const quoted = auditId !== undefined && QUOTABLE.has(code);
  const message = quoted ? `${rejection.message} (audit id ${auditId})` : rejection.message;
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

/** Returns the headers of the response, without those of the body: flat name, value, … */
export function rejectionHeaders(rejection: Rejection): string[] {
  const headers = ['Cache-Control', 'no-cache, private', 'X-Content-Type-Options', 'nosniff'];
  if (rejection.code === 401) headers.push('WWW-Authenticate', 'Bearer');
  if (rejection.retry === 'elsewhere') headers.push('Retry-After', '1', 'Connection', 'close');
  else if (rejection.retry === 'later') headers.push('Retry-After', String(LATER_SECONDS));
  // Nothing was dialled, and another connection would not help: the limit is the user's, or the cluster's.
  else if (rejection.code === 429) headers.push('Retry-After', '1');
  return headers;
}

/**
 * Returns the body of a rejection in the shape that clients of its path read: a Status, and of our own endpoints a
 * problem document (RFC 9457) or an OAuth error (RFC 6749 §5.2).
 * @param target of the request
 */
export function rejectionBody(
  target: string,
  rejection: Rejection,
  auditId: string,
): { readonly type: string; readonly body: Buffer } {
  const json = (type: string, value: Record<string, unknown>): ReturnType<typeof rejectionBody> => ({
    type,
    body: Buffer.from(`${JSON.stringify(value)}\n`),
  });
  if (!target.startsWith('/-/')) return json('application/json', statusBody(rejection, auditId));
  const { code: status, message } = rejection;
  const passes = status === 429 || status === 503;
  if (target.startsWith('/-/oauth/')) {
    const error = passes ? 'temporarily_unavailable' : 'invalid_request';
    return json('application/json', { error, error_description: message });
  }
  return json('application/problem+json', {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Rejected',
    status,
    detail: message,
    code: passes ? 'too_many_requests' : 'bad_request',
    requestId: auditId,
  });
}
