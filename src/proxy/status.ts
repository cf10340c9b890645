/**
 * The words and numbers of a refusal, as Kubernetes spells them: a `Status` object, its `reason` and its HTTP code.
 *
 * Two readers. The person is told what to do next. An attacker is told nothing: every token that is not a good one of ours gets the same
 * answer, and only who has proved to hold a session of ours hears what became of it.
 */
import type { BearerRefusal } from '../core/bearer-token.ts';
import type { ClusterRefusal } from '../core/cluster-selection.ts';
import type { CredentialRefusal } from '../core/credential.ts';
import type { AppError, ErrorCode } from '../core/errors.ts';
import type { PathRefusal } from '../core/request-path.ts';
import type { CutReason } from '../revocation/revocation.ts';

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
  | 'RequestEntityTooLarge';

export interface Refusal {
  readonly code: number;
  readonly reason: StatusReason;
  readonly message: string;
  /** Precise, in snake_case, for the record and the metrics only. */
  readonly auditReason: string;
  /**
   * The client may repeat the request elsewhere: `Retry-After: 1`, and the connection is closed, because client-go would otherwise try
   * ten times on this one. Never on a request that was dialled: client-go would repeat a POST.
   */
  readonly retry: boolean;
}

const refuse = (code: number, reason: StatusReason, message: string, auditReason: string, retry = false): Refusal => ({
  code,
  reason,
  message,
  auditReason,
  retry,
});

/** The JSON body. @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export function statusBody(refusal: Pick<Refusal, 'code' | 'reason' | 'message'>): Record<string, unknown> {
  const { code, reason, message } = refusal;
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

/** Headers of the answer beside the body's own: flat name, value, … */
export function refusalHeaders(refusal: Refusal): string[] {
  const headers = ['Cache-Control', 'no-cache, private', 'X-Content-Type-Options', 'nosniff'];
  if (refusal.code === 401) headers.push('WWW-Authenticate', 'Bearer');
  if (refusal.retry) headers.push('Retry-After', '1', 'Connection', 'close');
  return headers;
}

export interface Words {
  /** What `portcullis login --server` takes. */
  readonly publicUrl: string;
}

const login = (words: Words): string => `run \`portcullis login --server ${words.publicUrl}\``;

/** For a credential that is not good, or a gate that is shut for it. */
export function credentialRefusal(reason: CredentialRefusal | BearerRefusal | CutReason, words: Words): Refusal {
  const unauthorized = (message: string): Refusal => refuse(401, 'Unauthorized', message, reason);
  switch (reason) {
    case 'fenced':
      return fenced();
    case 'shutdown':
      return draining();
    case 'session_revoked':
      return unauthorized(`your session was ended by an administrator or by signing out: ${login(words)}`);
    case 'session_expired':
      return unauthorized(`your session is over: ${login(words)}`);
    case 'session_unknown':
    case 'epoch_changed':
      return unauthorized(`your session has ended: ${login(words)}`);
    case 'no_token':
    case 'malformed_token':
    case 'foreign_token':
    case 'token_expired':
    case 'wrong_audience':
    case 'certificate_missing':
    case 'certificate_mismatch':
    case 'token_unbound':
    case 'authorization_repeated':
    case 'authorization_not_bearer':
    case 'token_malformed':
    case 'token_in_two_places':
    case 'subprotocol_repeated':
    case 'subprotocol_alone':
      return unauthorized(`no valid credential for this cluster: ${login(words)}`);
  }
}

export const fenced = (): Refusal =>
  refuse(
    503,
    'ServiceUnavailable',
    'this gate cannot reach its store right now and refuses everything; try again',
    'fenced',
    true,
  );

export const draining = (): Refusal =>
  refuse(503, 'ServiceUnavailable', 'this gate is shutting down; try again', 'shutdown', true);

export const auditBlocked = (): Refusal =>
  refuse(
    503,
    'ServiceUnavailable',
    'the audit record cannot be written, so nothing is served; try again later',
    'audit_unavailable',
    true,
  );

export function pathRefusal(reason: PathRefusal): Refusal {
  return refuse(400, 'BadRequest', `the request target is not allowed here (${reason.replaceAll('_', ' ')})`, reason);
}

export function clusterRefusal(reason: ClusterRefusal): Refusal {
  if (reason !== 'cluster_unknown') return refuse(400, 'BadRequest', 'the Host of the request is not valid', reason);
  const message = 'no cluster of this gate has that name; run `portcullis kubeconfig` to get the right addresses';
  return refuse(404, 'NotFound', message, reason);
}

export function malformed(message: string, auditReason: string, code = 400): Refusal {
  return refuse(code, 'BadRequest', message, auditReason);
}

/** @param username of the person who asked */
export function impersonationRefusal(username: string): Refusal {
  const message = `User "${username}" cannot impersonate anybody through this gate: leave out --as, --as-group and --as-uid`;
  return refuse(403, 'Forbidden', message, 'impersonation_refused');
}

export function redirectRefusal(): Refusal {
  const message = 'the API server redirected to another place, which is not followed; ask your platform team';
  return refuse(502, 'ServiceUnavailable', message, 'foreign_redirect');
}

/** The one map from our codes to Kubernetes' numbers. The message of an `AppError` is made for the person; its reason is not. */
export function errorRefusal(error: AppError): Refusal {
  const [code, reason, retry] = CODES[error.code];
  return refuse(code, reason, error.message, error.reason, retry);
}

export const internalError = (): Refusal =>
  refuse(500, 'InternalError', 'the gate failed; tell your platform team the Audit-Id of this answer', 'internal');

const CODES: Readonly<Record<ErrorCode, readonly [code: number, reason: StatusReason, retry: boolean]>> = {
  bad_request: [400, 'BadRequest', false],
  not_found: [404, 'NotFound', false],
  unauthenticated: [401, 'Unauthorized', false],
  forbidden: [403, 'Forbidden', false],
  conflict: [409, 'Conflict', false],
  sign_in_refused: [403, 'Forbidden', false],
  sign_in_expired: [401, 'Unauthorized', false],
  provider_unavailable: [503, 'ServiceUnavailable', true],
  store_unavailable: [503, 'ServiceUnavailable', true],
  fenced: [503, 'ServiceUnavailable', true],
  audit_unavailable: [503, 'ServiceUnavailable', true],
  upstream_unavailable: [502, 'ServiceUnavailable', false],
  upstream_timeout: [504, 'Timeout', false],
  internal: [500, 'InternalError', false],
};
