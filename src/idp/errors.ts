/**
 * Turns a failed request to a provider into one of two outcomes: the user was rejected, or the provider is
 * unavailable. The provider's own text goes into `cause` for the log; the user sees our message, since the
 * provider's text is untrusted input.
 */
import * as oidc from 'openid-client';
import { AppError } from '../core/errors.ts';
import { malformedMessage } from '../core/identity/fresh-sign-in.ts';
import { malformedAuthTimeIn, UnprovenSignIn } from './auth-time.ts';
import { failedCheck, type CheckedResponse } from './failed-check.ts';
import type { FreshSignInMethod } from './types.ts';
import { ProviderErrorResponse } from './provider-response.ts';
import { clockSkewError, clockSkewShownBy } from './provider-clock.ts';

/** Error codes at the callback that mean "not this user, not now" (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6). */
const USER_REJECTED = new Set([
  'access_denied',
  'account_selection_required',
  'consent_required',
  'interaction_required',
  'login_required',
]);

/**
 * The same at the token endpoint, where no standard defines them: Entra documents the first two there and its
 * libraries know the third, Auth0 has the fourth. Not `access_denied`, which is used there for a client too: a
 * wrong secret of ours would sign every user out.
 * @see
 *   https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors
 * @see https://learn.microsoft.com/en-us/javascript/api/@azure/msal-node/interactionrequiredautherrorcodes
 * @see https://auth0.com/docs/secure/tokens/refresh-tokens/use-refresh-tokens
 */
const USER_REQUIRED = new Set(['interaction_required', 'consent_required', 'login_required', 'mfa_required']);

/** Neither waiting nor asking again helps: the provider requires the user at its page. */
const requiresUser = ({ status, error = '' }: ProviderErrorResponse): boolean =>
  status !== undefined && USER_REQUIRED.has(error);

/** The client is rejected, for every user alike (RFC 6749 §5.2). */
const CLIENT_REJECTED = new Set(['invalid_client', 'unauthorized_client']);

/**
 * 401 at the token endpoint means that the client has not authenticated, with or without a challenge, and nothing
 * else.
 */
const rejectsClient = ({ status, error = '' }: ProviderErrorResponse): boolean =>
  status === 401 || CLIENT_REJECTED.has(error);

/**
 * Codes that are not about the token that was presented. `access_denied` is also used for a client (Auth0), and a
 * wrong secret of ours must not sign every user out; the others are about the provider, and each user would get
 * them.
 */
const NOT_ABOUT_TOKEN = new Set([
  ...CLIENT_REJECTED,
  'access_denied',
  'unsupported_grant_type',
  'server_error',
  'temporarily_unavailable',
  'slow_down',
]);

/** The cause is the client (401), a proxy in between (407), the connection (421) or the moment (408, 425, 429). */
const STATUS_NOT_ABOUT_TOKEN = new Set([401, 407, 408, 421, 425, 429]);
/** There is no such endpoint, unless an OAuth error code shows that there is. */
const STATUS_NO_ENDPOINT = new Set([404, 405]);

/**
 * The provider says, by the standard's code or by those of the large providers, that the token is no longer valid
 * or that it requires the user.
 */
export const isExplicitRejection = (error: unknown): boolean =>
  error instanceof ProviderErrorResponse && (error.error === 'invalid_grant' || requiresUser(error));

/**
 * Returns whether a response to a refresh may be a provider's own way to say that the token is no longer valid:
 * some send `invalid_request`, or a bare 400. It is not yet a rejection. The caller has to make sure that the
 * provider works at that moment, and to ask a second time.
 *
 * An HTML page is never one: a firewall or a captive portal that sends 403 to every request would sign every user
 * out.
 */
export function mayBeRejection(error: unknown): boolean {
  if (!(error instanceof ProviderErrorResponse) || error.isPage) return false;
  if (isExplicitRejection(error)) return true;
  const { status = 0, error: code } = error;
  if (status < 400 || status >= 500 || STATUS_NOT_ABOUT_TOKEN.has(status)) return false;
  return code === undefined ? !STATUS_NO_ENDPOINT.has(status) : !NOT_ABOUT_TOKEN.has(code);
}

/** The provider rejected the refresh token. */
export const refreshRejected = (provider: string, cause: unknown): AppError =>
  new AppError(
    'sign_in_refused',
    `Your identity provider no longer confirms your sign-in (${provider}). Sign in again.`,
    {
      reason: 'provider_refresh_refused',
      cause,
    },
  );

const unavailable = (provider: string, reason: string, cause: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} cannot be reached, or its response cannot be trusted. Try again in a minute. If that does not help, tell your platform team.`,
    { reason, cause },
  );

/**
 * The error that only an operator can fix: a setting at the provider and one of ours do not fit together. One
 * message for all of them, because an attacker who brings another sign-in's response must not learn which check
 * was in the way.
 */
export const misconfigured = (provider: string, reason: string, cause: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} and this server do not agree, so your sign-in cannot be verified. Waiting does not help: only your platform team can fix it.`,
    { reason, cause, needsOperator: true },
  );

/** The metadata or the keys that a provider publishes are invalid. */
export class InvalidResponse extends Error {}

/** The provider rejects the authorization request, whatever user it is (RFC 6749 §4.1.2.1). */
const REQUEST_REJECTED = new Set([
  'invalid_request',
  'invalid_scope',
  'unauthorized_client',
  'unsupported_response_type',
]);

/** Sent where a user declines at the provider's consent page: the second by LemonLDAP::NG. */
const DECLINED = new Set(['access_denied', 'consent_required']);

/** RFC 6749 §4.1.2.1: "the resource owner or authorization server denied the request", with one code for both. */
const accessDenied = (provider: string): string =>
  `You declined at ${provider}, or ${provider} does not let you use this application. If you declined, start again and allow it there; if not, ask its administrator.`;

const callbackCode = (error: unknown): string | undefined =>
  error instanceof ProviderErrorResponse && error.status === undefined ? (error.error ?? '') : undefined;

/**
 * Returns whether the provider rejected the parameters of the request, so that another method of asking for a fresh
 * sign-in may succeed.
 * @param error as `readErrorResponse` returns it
 */
export const rejectsParameters = (error: unknown): boolean => callbackCode(error) === 'invalid_request';

/** Tells a reader of the log how to find the setting that helps. */
const REQUESTED_BY: Record<FreshSignInMethod, string> = {
  login_and_max_age: ' It was asked for prompt=login and max_age.',
  login: ' It was asked for prompt=login.',
  max_age: ' It was asked for max_age.',
};

/**
 * The error of a callback, or of redeeming its code.
 * @param error as `readErrorResponse` returns it
 * @param method the user had to authenticate again, and the provider was asked for it in this way
 */
export function callbackError(provider: string, error: unknown, method: FreshSignInMethod | undefined): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof ProviderErrorResponse) {
    const code = callbackCode(error);
    if (requiresUser(error) || USER_REJECTED.has(code ?? '')) {
      const message = DECLINED.has(code ?? '')
        ? accessDenied(provider)
        : `${provider} did not sign you in. Ask its administrator, or try again.`;
      return new AppError('sign_in_refused', message, { reason: 'provider_refused', cause: error });
    }
    if (code !== undefined && REQUEST_REJECTED.has(code)) {
      // The code is one of four; the provider's description is untrusted input, and is in the log alone.
      const message = `${provider} rejected the request for this sign-in, not your user (${code}).${method === undefined ? '' : REQUESTED_BY[method]} Tell your platform team: the log has what the provider said.`;
      return new AppError('provider_unavailable', message, {
        reason: 'provider_request_refused',
        cause: error,
        needsOperator: true,
      });
    }
    if (code !== undefined) return unavailable(provider, 'provider_error', error);
    if (error.error === 'invalid_grant') {
      return new AppError('sign_in_expired', 'This sign-in is too old or was already used. Start again.', {
        reason: 'provider_code_refused',
        cause: error,
      });
    }
  }
  const malformed = malformedAuthTimeIn(error);
  if (malformed !== undefined) return new UnprovenSignIn(provider, malformed);
  return tokenEndpointError(provider, error);
}

/** Returns whether the connection broke before a response came: the provider may have done what it was asked. */
export const isLostResponse = (error: unknown): boolean => hasCode(error, CONNECTION_LOST);

function hasCode(error: unknown, codes: ReadonlySet<string>): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ('code' in each && codes.has(String(each.code))) return true;
  }
  return false;
}

/** Not a timeout: waiting as long again would outlast the claim under which a session is re-checked. */
const CONNECTION_LOST = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/**
 * The error of a request to the token endpoint.
 * @param error as `readErrorResponse` returns it
 */
export function tokenEndpointError(provider: string, error: unknown): AppError {
  if (error instanceof ProviderErrorResponse) {
    if (isExplicitRejection(error)) return refreshRejected(provider, error);
    if (rejectsClient(error)) return misconfigured(provider, 'provider_client_refused', error);
  }
  return requestError(provider, error);
}

/**
 * The error of any other request to the provider: discovery, or UserInfo, where 401 is about the access token (RFC
 * 6750 §3.1) and not the client.
 * @param error as `readErrorResponse` returns it
 */
export function requestError(provider: string, error: unknown, of: CheckedResponse = 'sign-in'): AppError {
  if (error instanceof AppError) return error;
  const skew = clockSkewShownBy(error);
  if (skew !== undefined) return clockSkewError(provider, skew);
  const malformed = malformedAuthTimeIn(error);
  // At a re-check: one response does not end a session, so it is no rejection of the user.
  if (malformed !== undefined) {
    const message = malformedMessage(provider, malformed.seen);
    return new AppError('provider_unavailable', message, { reason: 'auth_time_malformed' });
  }
  const check = failedCheck(error, of);
  if (check !== undefined) return (check.mayPass ? unavailable : misconfigured)(provider, check.reason, check);
  if (error instanceof ProviderErrorResponse && error.error !== undefined)
    return unavailable(provider, 'provider_error', error);
  const isResponse =
    error instanceof ProviderErrorResponse ||
    error instanceof InvalidResponse ||
    (error instanceof oidc.ClientError && !TIMED_OUT.has(error.code ?? ''));
  return unavailable(provider, isResponse ? 'provider_answer_invalid' : 'provider_unreachable', error);
}

/** Said at an address where an endpoint is no longer. */
const STATUS_GONE = new Set([...STATUS_NO_ENDPOINT, 410]);
const NOT_LISTENING = new Set(['ECONNREFUSED', 'ENOTFOUND']);

/**
 * Returns whether there is no endpoint at the address that was asked: nothing was done there, so that the same may be
 * asked elsewhere.
 * @param error as `readErrorResponse` returns it
 */
export function isGone(error: unknown): boolean {
  if (error instanceof ProviderErrorResponse) return error.error === undefined && STATUS_GONE.has(error.status ?? 0);
  return hasCode(error, NOT_LISTENING);
}

/** openid-client's codes for claims that are not as they should be, whatever key has signed them. */
const CLAIM_CODES = new Set([
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
  'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED',
]);

/** Returns whether a response was rejected for what it says: no other key or algorithm would make it better. */
export const isAboutClaims = (error: unknown): boolean =>
  error instanceof oidc.ClientError && CLAIM_CODES.has(error.code ?? '');

/** openid-client's own codes for a request that took too long. */
const TIMED_OUT = new Set(['OAUTH_TIMEOUT', 'OAUTH_ABORT']);
