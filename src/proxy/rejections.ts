/** Rejections of the data plane, each with its message, HTTP code and reason for the audit log. */
import type { BearerRejection } from '../core/credential/bearer-token.ts';
import type { ClusterRejection } from '../core/request/cluster-selection.ts';
import type { CredentialRejection } from '../core/credential/credential.ts';
import type { AppError, ErrorCode } from '../core/errors.ts';
import { impersonateDenial } from '../core/http/impersonation.ts';
import type { ImpersonateAttributes, ImpersonationRejection } from '../core/http/impersonation.ts';
import type { PathRejection } from '../core/request/request-path.ts';
import type { CutReason } from '../revocation/revocation.ts';
import type { Rejection, Retry, StatusReason } from './status.ts';

const refuse = (
  code: number,
  reason: StatusReason,
  message: string,
  auditReason: string,
  retry: Retry = 'no',
): Rejection => ({
  code,
  reason,
  message,
  auditReason,
  retry,
});

export interface Words {
  /** What `portcullis login --server` takes. */
  readonly publicUrl: string;
  /** What the user of a session is told that was ended because their provider or a rule refused them, where this process knows it. */
  readonly whyEnded?: ((session: string) => string | undefined) | undefined;
  /** Names of third-party clients by `client_id`, as the configuration has them. Their users may not have the command at all. */
  readonly thirdParties?: ReadonlyMap<string, string> | undefined;
}

/** What is known of whoever is refused. Each is from a token of ours whose signature was verified, and never from the request itself. */
export interface Holder {
  /** Of a user who has proven to hold it. */
  readonly session?: string;
  /** `client_id`. */
  readonly client?: string | undefined;
}

/** What the user does next, in the terms of the client that the token was issued to. */
function login({ publicUrl, thirdParties }: Words, client?: string): string {
  const command = `run \`portcullis login --server ${publicUrl}\``;
  if (thirdParties === undefined || thirdParties.size === 0) return command;
  if (client === undefined) return `${command}, or sign in again with the client that you use instead`;
  const name = thirdParties.get(client);
  if (name === undefined) return command;
  return `sign in again with ${name}: delete the token that it keeps (kubelogin: \`kubectl oidc-login clean\`), then run the command again`;
}

/** @returns what `portcullis login --server` takes; undefined where the token was issued to a third-party client */
export const loginAddress = ({ publicUrl, thirdParties }: Words, client: string | undefined): string | undefined =>
  client !== undefined && thirdParties?.has(client) === true ? undefined : publicUrl;

const noValidCredential = (auditReason: string, words: Words, client?: string): Rejection =>
  refuse(401, 'Unauthorized', `no valid credential for this cluster: ${login(words, client)}`, auditReason);

/** As a sentence of its own. */
const inSentence = (next: string): string =>
  next.startsWith('sign in again') ? `S${next.slice(1)}` : `To sign in again, ${next}`;

/**
 * For a session that was ended because the provider or a rule refused its user.
 * @param why as it was kept: whole sentences, or a rule's message
 */
export function endedWords(why: string, words: Words, client?: string): string {
  const said = why.replace(/\s*Sign in again\.$/, '');
  return `${said}${/[.!?]$/.test(said) ? '' : '.'} ${inSentence(login(words, client))}`;
}

/**
 * For a credential that is not good, or a gate that is shut for it.
 */
export function credentialRejection(
  reason: CredentialRejection | BearerRejection | CutReason,
  words: Words,
  { session, client }: Holder = {},
): Rejection {
  const next = login(words, client);
  const unauthorized = (message: string): Rejection => refuse(401, 'Unauthorized', message, reason);
  switch (reason) {
    case 'fenced':
      return fenced();
    case 'shutdown':
      return draining();
    case 'session_revoked': {
      const why = session === undefined ? undefined : words.whyEnded?.(session);
      if (why !== undefined) return unauthorized(endedWords(why, words, client));
      return unauthorized(`your session was ended by an administrator or by signing out: ${next}`);
    }
    case 'session_expired':
      return unauthorized(`your session is over: ${next}`);
    case 'recheck_overdue':
      return unauthorized(`your identity provider could not confirm for too long that you may go on: ${next}`);
    case 'identity_changed':
      return unauthorized('your groups or your name have changed at your identity provider: run the command again');
    case 'session_unknown':
    case 'epoch_changed':
      return unauthorized(`your session has ended: ${next}`);
    case 'certificate_missing':
      // Not to sign in again, which would help nobody: clients in other languages drop the certificate.
      return unauthorized(
        'this client did not present the certificate of its exec plugin; use `portcullis proxy`, or a client that presents it, such as kubectl',
      );
    case 'no_token':
    case 'malformed_token':
    case 'foreign_token':
    case 'token_expired':
    case 'wrong_audience':
    case 'certificate_mismatch':
    case 'token_unbound':
    case 'authorization_repeated':
    case 'authorization_not_bearer':
    case 'token_malformed':
    case 'token_in_two_places':
    case 'subprotocol_repeated':
    case 'subprotocol_alone':
      return noValidCredential(reason, words, client);
  }
}

export const fenced = (): Rejection =>
  refuse(
    503,
    'ServiceUnavailable',
    'this gate cannot reach its store right now and refuses everything; try again',
    'fenced',
    'elsewhere',
  );

export const draining = (): Rejection =>
  refuse(503, 'ServiceUnavailable', 'this gate is shutting down; try again', 'shutdown', 'elsewhere');

export const auditBlocked = (): Rejection =>
  refuse(
    503,
    'ServiceUnavailable',
    'the audit record cannot be written, so nothing is served; try again later',
    'audit_unavailable',
    'elsewhere',
  );

export function pathRejection(reason: PathRejection): Rejection {
  return refuse(400, 'BadRequest', `the request target is not allowed here (${reason.replaceAll('_', ' ')})`, reason);
}

export function clusterRejection(reason: ClusterRejection): Rejection {
  if (reason !== 'cluster_unknown') return refuse(400, 'BadRequest', 'the Host of the request is not valid', reason);
  const message = 'no cluster of this gate has that name; run `portcullis kubeconfig` to get the right addresses';
  return refuse(404, 'NotFound', message, reason);
}

export function malformed(message: string, auditReason: string, code = 400): Rejection {
  return refuse(code, 'BadRequest', message, auditReason);
}

/** For `Impersonate-*` headers that cannot be read as one identity. */
export function impersonationRejection(reason: ImpersonationRejection): Rejection {
  const bad = (message: string): Rejection => refuse(400, 'BadRequest', message, reason);
  switch (reason) {
    case 'impersonation_header_unknown':
      return bad('one of the Impersonate- headers is not known; this gate knows -User, -Group, -Uid and -Extra-KEY');
    case 'impersonation_without_user':
      return bad('groups, uid or extra were requested without impersonating a user: add --as');
    case 'impersonation_repeated':
      return bad('Impersonate-User and Impersonate-Uid may be given once');
    case 'impersonation_malformed':
      return bad(
        'a name to impersonate is empty, too long, not UTF-8, or has characters that no name may have: correct --as, --as-group, --as-uid or --as-user-extra',
      );
    case 'impersonation_reserved_extra': {
      const message = 'extra keys under portcullis.dev/ are set by this gate and by nobody else: leave them out';
      return refuse(403, 'Forbidden', message, reason);
    }
  }
}

/** As the API server words it. @param username of the person who asked */
export function delegationDenied(username: string, attributes: ImpersonateAttributes): Rejection {
  return refuse(403, 'Forbidden', impersonateDenial(username, attributes), 'impersonation_denied');
}

export function delegationOverLimit({
  kind,
  name,
}: {
  readonly kind: 'group' | 'extra';
  readonly name: string;
}): Rejection {
  const what = kind === 'group' ? 'the group' : 'the extra key';
  const message = `${what} ${JSON.stringify(name)} cannot be impersonated through this gate: leave it out, or ask your platform team to add it to clusters[].impersonate`;
  return refuse(403, 'Forbidden', message, 'impersonation_not_configured');
}

export function delegationTooLarge(count: number, most: number): Rejection {
  const message = `acting as somebody else with ${count} attributes (user, uid, groups and extra values) needs as many reviews; at most ${most} are made: leave out some of --as-group and --as-user-extra`;
  return refuse(403, 'Forbidden', message, 'impersonation_too_large');
}

const tooMany = (message: string, auditReason: string): Rejection =>
  refuse(429, 'TooManyRequests', message, auditReason);

export const tooManyReviews = (): Rejection =>
  tooMany('too many requests of yours with --as are being checked at once; try again', 'reviews_in_flight');

/** @param most of `limits.inFlightPerPerson` */
export const tooManyOfPerson = (most: number): Rejection =>
  tooMany(
    `you have ${most} requests and watches open at once, which is the most that one person may have; close some and try again`,
    'person_in_flight',
  );

export const tooManyAtCluster = (most: number): Rejection =>
  tooMany(
    `${most} requests and watches are open at this cluster through this gate, which is the most there may be; try again`,
    'cluster_in_flight',
  );

/** For a service account's own token. To whoever has no good one the answer is that of every bad token. */
export function passthroughRejection(
  reason: PassthroughRejection | 'passthrough_impersonation',
  words: Words,
): Rejection {
  switch (reason) {
    case 'passthrough_busy':
      return tooMany('too many tokens are being checked at this cluster; try again', reason);
    case 'passthrough_impersonation':
      return refuse(
        403,
        'Forbidden',
        'a service account that passes with its own token cannot impersonate anybody: leave out --as, --as-group and --as-uid',
        reason,
      );
    case 'passthrough_own_account':
    case 'passthrough_not_accepted':
    case 'passthrough_not_service_account':
    case 'passthrough_bound_token':
      return noValidCredential(reason, words);
  }
}

export function redirectRejection(): Rejection {
  const message = 'the API server redirected to another place, which is not followed; ask your platform team';
  return refuse(502, 'ServiceUnavailable', message, 'foreign_redirect');
}

export function ownTokenRejection(): Rejection {
  const message = "the cluster does not accept the gate's own credential; yours is good: ask your platform team";
  return refuse(502, 'ServiceUnavailable', message, 'own_token_refused');
}

/**
 * For a 403 of the API server about the proxy's own account: its impersonation check, which comes before anything is carried out.
 * @param resource what the account may not impersonate (`users`, `serviceaccounts`, `groups`, …); undefined where that is not said
 */
export function ownAccountRejection(resource: string | undefined): Rejection {
  const what = resource ?? 'you';
  const message = `the proxy's own account at this cluster may not impersonate ${what}, so nothing was carried out; your own rights are not the reason: ask your platform team`;
  // Every request needs to impersonate a user: an API server that denies that may have started just now, and not know its roles yet. One that
  // denies more than that knows them, so another try would only keep the user waiting.
  return resource === undefined || resource === 'users'
    ? refuse(503, 'ServiceUnavailable', message, 'own_account_refused', 'later')
    : refuse(502, 'ServiceUnavailable', message, 'own_account_refused');
}

/** The API server cannot be reached: not a byte of the request has been sent. */
export const upstreamUnavailable = (): Rejection =>
  refuse(
    503,
    'ServiceUnavailable',
    "the cluster's API server cannot be reached; try again, and ask your platform team if it stays so",
    'upstream_unavailable',
    'later',
  );

/** What answers at the API server's address does not prove that it is the API server. */
export const upstreamUntrusted = (): Rejection =>
  refuse(
    502,
    'ServiceUnavailable',
    "what answers at the address of the cluster's API server does not prove that it is the API server; ask your platform team",
    'upstream_untrusted',
  );

/** @param repeatable the request changes nothing, whether it was carried out or not */
export const upstreamLost = (repeatable: boolean): Rejection =>
  repeatable
    ? upstreamUnavailable()
    : refuse(
        502,
        'ServiceUnavailable',
        "the connection to the cluster's API server was lost before it answered, so the request may have been carried out: look before you repeat it",
        'upstream_lost',
      );

export const upstreamInvalid = (): Rejection =>
  refuse(
    502,
    'ServiceUnavailable',
    "the cluster's API server gave an answer that is no HTTP; ask your platform team",
    'upstream_invalid',
  );

export const upstreamTimeout = (): Rejection =>
  refuse(504, 'Timeout', "the cluster's API server did not answer in time; try again", 'upstream_timeout');

/** The one map from our codes to Kubernetes' numbers. The message of an `AppError` is made for the person; its reason is not. */
export function errorRejection(error: AppError): Rejection {
  const [code, reason, retry] = CODES[error.code];
  return refuse(code, reason, error.message, error.reason, retry);
}

export const internalError = (): Rejection =>
  refuse(500, 'InternalError', 'the gate failed; tell your platform team the Audit-Id of this answer', 'internal');

const CODES: Readonly<Record<ErrorCode, readonly [code: number, reason: StatusReason, retry: Retry]>> = {
  bad_request: [400, 'BadRequest', 'no'],
  not_found: [404, 'NotFound', 'no'],
  unauthenticated: [401, 'Unauthorized', 'no'],
  forbidden: [403, 'Forbidden', 'no'],
  conflict: [409, 'Conflict', 'no'],
  sign_in_refused: [403, 'Forbidden', 'no'],
  sign_in_expired: [401, 'Unauthorized', 'no'],
  provider_unavailable: [503, 'ServiceUnavailable', 'elsewhere'],
  store_unavailable: [503, 'ServiceUnavailable', 'elsewhere'],
  fenced: [503, 'ServiceUnavailable', 'elsewhere'],
  audit_unavailable: [503, 'ServiceUnavailable', 'elsewhere'],
  // Thrown before anything is dialled; what is learnt of a request that was is no AppError.
  upstream_unavailable: [503, 'ServiceUnavailable', 'later'],
  upstream_timeout: [504, 'Timeout', 'no'],
  internal: [500, 'InternalError', 'no'],
};

export type PassthroughRejection =
  | 'passthrough_not_accepted' // the cluster does not know it
  | 'passthrough_not_service_account'
  | 'passthrough_own_account'
  | 'passthrough_bound_token' // tied to a key that the cluster would not see
  | 'passthrough_busy';
