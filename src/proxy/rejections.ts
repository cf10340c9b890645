/** Rejections of the data plane, each with its message, HTTP code and reason for the audit log. */
import type { BearerRejection } from '../core/credential/bearer-token.ts';
import type { ClusterRejection } from '../core/request/cluster-selection.ts';
import type { CredentialRejection } from '../core/credential/credential.ts';
import { whomToAsk } from '../core/identity/whom-to-ask.ts';
import type { AppError, ErrorCode } from '../core/errors.ts';
import type { PendingLevel } from '../core/http/pending-requests.ts';
import type { PathRejection } from '../core/request/request-path.ts';
import type { CutReason } from '../revocation/revocation.ts';
import { AUDIT_BACKLOG } from '../core/audit/rejected-event.ts';
import type { Rejection, Retry, StatusReason } from './status.ts';

export const rejection = (
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

export interface MessageContext {
  /** The address that `portcullis login --server` takes. */
  readonly publicUrl: string;
  /**
   * Returns the message for the user of a session that was ended because their provider or a rule rejected them, if
   * this process knows it.
   */
  readonly whyEnded?: ((session: string) => string | undefined) | undefined;
  /**
   * Names of third-party clients by `client_id`, as in the configuration. Their users may not have the command at
   * all.
   */
  readonly thirdParties?: ReadonlyMap<string, string> | undefined;
}

/**
 * Facts about the client that is rejected. Each is from a token of ours whose signature was verified, and never
 * from the request itself.
 */
export interface Holder {
  /** Of a user who has proven to hold it. */
  readonly session?: string;
  /** `client_id`. */
  readonly client?: string | undefined;
  /** Of a delegated session: the sessions above it, and `actorText` of its actors. */
  readonly ancestors?: readonly string[] | undefined;
  readonly actor?: string | undefined;
}

/** An agent that is told to sign in would try to, and open a browser on its user's machine. */
const delegatedOver = (actor: string): string =>
  `the session${actor === '' ? '' : ` delegated to ${JSON.stringify(actor)}`} has ended: its user has to delegate again`;

/** Returns the user's next step, in the terms of the client that the token was issued to. */
function signInStep({ publicUrl, thirdParties }: MessageContext, { client, actor }: Holder): string {
  if (actor !== undefined) return `run the command again; if that does not help, ${delegatedOver(actor)}`;
  const command = `run \`portcullis login --server ${publicUrl}\``;
  if (thirdParties === undefined || thirdParties.size === 0) return command;
  if (client === undefined) return `${command}, or sign in again with the client that you use instead`;
  const name = thirdParties.get(client);
  if (name === undefined) return command;
  return `sign in again with ${name}: delete the token that it keeps (kubelogin: \`kubectl oidc-login clean\`), then run the command again`;
}

/**
 * @returns the address that `portcullis login --server` takes; undefined if the token was issued to a third-party
 *   client
 */
export const loginAddress = (
  { publicUrl, thirdParties }: MessageContext,
  client: string | undefined,
): string | undefined => (client !== undefined && thirdParties?.has(client) === true ? undefined : publicUrl);

const noValidCredential = (auditReason: string, context: MessageContext, holder: Holder = {}): Rejection =>
  rejection(401, 'Unauthorized', `no valid credential for this cluster: ${signInStep(context, holder)}`, auditReason);

/** Returns the next step as a sentence of its own. */
const asSentence = (next: string): string =>
  next.startsWith('sign in again') ? `S${next.slice(1)}` : `To sign in again, ${next}`;

/**
 * Returns the message for a session that was ended because the provider or a rule rejected its user, or with its account.
 * @param why as it was kept: whole sentences, or a rule's message
 */
export function sessionEndedMessage(why: string, context: MessageContext, holder: Holder = {}): string {
  if (whomToAsk(why) !== undefined) return why;
  const sentence = why.replace(/\s*Sign in again\.$/, '');
  const { actor } = holder;
  const next = actor === undefined ? asSentence(signInStep(context, holder)) : `So ${delegatedOver(actor)}`;
  return `${sentence}${/[.!?]$/.test(sentence) ? '' : '.'} ${next}`;
}

/** Returns the ids of the sessions whose end is that of this one: itself first. */
export const endedWith = ({ session, ancestors = [] }: Holder): readonly string[] =>
  session === undefined ? [] : [session, ...ancestors];

function grantEndedMessage(context: MessageContext, { client }: Holder): string {
  const again =
    loginAddress(context, client) === undefined ? `at ${context.publicUrl}/access` : '(`portcullis access request`)';
  return `what you were granted for a while has ended: run the command again without it, or ask again ${again}`;
}

/** Returns the rejection for a credential that is not good, or that the guard rejects. */
export function credentialRejection(
  reason: CredentialRejection | BearerRejection | CutReason,
  context: MessageContext,
  holder: Holder = {},
): Rejection {
  const next = signInStep(context, holder);
  const { actor } = holder;
  const over = (message: string): Rejection =>
    unauthorized(actor === undefined ? `${message}: ${next}` : delegatedOver(actor));
  const unauthorized = (message: string): Rejection => rejection(401, 'Unauthorized', message, reason);
  switch (reason) {
    case 'fenced':
      return fenced();
    case 'shutdown':
      return draining();
    case 'memory_short':
      return gaveWay();
    case 'session_revoked': {
      const why = endedWith(holder)
        .map((session) => context.whyEnded?.(session))
        .find((each) => each !== undefined);
      if (why !== undefined) return unauthorized(sessionEndedMessage(why, context, holder));
      return over('your session was ended by an administrator or by signing out');
    }
    case 'cut_by_admin':
      return rejection(403, 'Forbidden', 'an administrator has ended this request; your session goes on', reason);
    case 'session_expired':
      return over('your session is over');
    case 'recheck_overdue':
      return over('your identity provider could not confirm for too long that your session may continue');
    case 'identity_changed':
      return unauthorized('your groups or your name have changed at your identity provider: run the command again');
    case 'grant_ended':
      // Never 401: the session goes on, and client-go would throw its credential away.
      return rejection(403, 'Forbidden', grantEndedMessage(context, holder), reason);
    case 'session_unknown':
    case 'epoch_changed':
      return over('your session has ended');
    case 'certificate_missing':
      // Does not say to sign in again, which would not help: clients in other languages drop the certificate.
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
      return noValidCredential(reason, context, holder);
  }
}

export interface CutContext {
  /** The API server may have received the request, and executed it. */
  readonly mayHaveExecuted: boolean;
  readonly context: MessageContext;
  readonly holder: Holder | undefined;
}

/**
 * Returns the response to a request that is cut before it has any. A client that repeats a request by itself must not
 * repeat what the API server may have executed (`Retry`).
 */
export function cutRejection(reason: CutReason, { mayHaveExecuted, context, holder }: CutContext): Rejection {
  const rejected = credentialRejection(reason, context, holder);
  if (!mayHaveExecuted) return rejected;
  const why = REPLICA_CUTS.get(reason) ?? rejected.message;
  return {
    ...rejected,
    message: `${why}; the request may have been executed: check before you repeat it`,
    retry: 'no',
  };
}

const REPLICA_CUTS: ReadonlyMap<CutReason, string> = new Map([
  ['fenced', 'this replica cannot reach its store right now, so it has ended every request'],
  ['shutdown', 'this replica is shutting down, and has ended the request'],
  ['memory_short', 'this replica has hardly any memory left, and has ended the request'],
]);

export const fenced = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    'this replica cannot reach its store right now and rejects every request; try again',
    'fenced',
    'elsewhere',
  );

export const draining = (): Rejection =>
  rejection(503, 'ServiceUnavailable', 'this replica is shutting down; try again', 'shutdown', 'elsewhere');

const gaveWay = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    'this replica has hardly any memory left, and you have more open at it than others; close some and try again',
    'memory_short',
    'elsewhere',
  );

export const auditBlocked = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    'the audit log cannot be written, so no request is served; try again later',
    'audit_unavailable',
    'elsewhere',
  );

export function pathRejection(reason: PathRejection): Rejection {
  return rejection(
    400,
    'BadRequest',
    `the request target is not allowed here (${reason.replaceAll('_', ' ')})`,
    reason,
  );
}

export function clusterRejection(reason: ClusterRejection): Rejection {
  if (reason !== 'cluster_unknown') return rejection(400, 'BadRequest', 'the Host of the request is not valid', reason);
  const message = 'no cluster of this proxy has that name; run `portcullis kubeconfig` to get the right addresses';
  return rejection(404, 'NotFound', message, reason);
}

export function malformed(message: string, auditReason: string, code = 400): Rejection {
  return rejection(code, 'BadRequest', message, auditReason);
}

const tooMany = (message: string, auditReason: string): Rejection =>
  rejection(429, 'TooManyRequests', message, auditReason);

export const tooManyReviews = (): Rejection =>
  tooMany('too many of your requests with --as are being checked at the same time; try again', 'reviews_in_flight');

/** For a connection that counts as several, or where memory is short (`listener/connection-limit.ts`). */
export const tooManyConnections = (): Rejection =>
  tooMany(
    'you have as many connections open as one user may have at this moment, and large client certificates count as several; close some and try again',
    'connections_of_user',
  );

/** @param limit of `limits.inFlightPerUser` */
export const tooManyForUser = (limit: number): Rejection =>
  tooMany(
    `you have ${limit} requests and watches open, which is the limit for one user; close some and try again`,
    'person_in_flight',
  );

/** Of a user whose requests make the audit log wait (`AuditTrail.backlogged`). */
export const tooMuchToAudit = (): Rejection =>
  tooMany(
    'the audit log has not been written as fast as you send requests, and the others have their share of it; try again',
    AUDIT_BACKLOG,
  );

export const tooManyAtCluster = (limit: number): Rejection =>
  tooMany(
    `${limit} requests and watches are open at this cluster through this replica, which is the limit; try again`,
    'cluster_in_flight',
  );

/** Returns the rejection for a request to one of our own endpoints while others of the same client are unfinished. */
export function tooManyPending(level: PendingLevel): Rejection {
  const open = 'requests to the endpoints under /-/ are open';
  switch (level) {
    case 'connection':
      return tooMany(`too many ${open} on this connection; finish some and try again`, 'connection_pending');
    case 'address':
      return tooMany(`too many ${open} from this address; try again`, 'address_pending');
    case 'all':
      return rejection(
        503,
        'ServiceUnavailable',
        `too many ${open} at this replica; try again`,
        'replica_pending',
        'elsewhere',
      );
  }
}

export const bodyTooSlow = (): Rejection =>
  malformed('the body of the request did not come in time', 'request_too_slow', 408);

/** @param most bytes */
export const bodyTooLarge = (most: number): Rejection =>
  rejection(
    413,
    'RequestEntityTooLarge',
    `the body of a request to this endpoint may have ${most} bytes at most`,
    'body_too_large',
  );

/**
 * Returns the rejection for a service account's own token. A client without a good one gets the response to every
 * bad token.
 */
export function passthroughRejection(
  reason: PassthroughRejection | 'passthrough_impersonation',
  context: MessageContext,
): Rejection {
  switch (reason) {
    case 'passthrough_busy':
      return tooMany('too many tokens are being checked at this cluster; try again', reason);
    case 'passthrough_impersonation':
      return rejection(
        403,
        'Forbidden',
        'a service account that passes with its own token cannot impersonate other users: leave out --as, --as-group and --as-uid',
        reason,
      );
    case 'passthrough_own_account':
    case 'passthrough_not_accepted':
    case 'passthrough_not_service_account':
    case 'passthrough_bound_token':
      return noValidCredential(reason, context);
  }
}

/**
 * The one map from our codes to Kubernetes' numbers. The message of an `AppError` is made for the user; its reason
 * is not.
 */
export function errorRejection(error: AppError): Rejection {
  const [code, reason, retry] = CODES[error.code];
  return rejection(code, reason, error.message, error.reason, retry);
}

export const internalError = (): Rejection =>
  rejection(
    500,
    'InternalError',
    'the proxy failed; tell your platform team the Audit-Id of this response',
    'internal',
  );

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
  // Thrown before anything is dialled. Failures of a dialled request are no `AppError`.
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
