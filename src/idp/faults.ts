/**
 * From a failed exchange with a provider to one of two outcomes: the person was refused, or the provider is not to be had.
 * The provider's own words go into `cause` for the log; the person sees ours, since theirs are input from outside.
 */
import * as oidc from 'openid-client';
import { AppError } from '../core/errors.ts';

/** RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6: answers that mean "not this person, not now". */
const PERSON_REFUSED = new Set([
  'access_denied',
  'account_selection_required',
  'consent_required',
  'interaction_required',
  'login_required',
]);

/**
 * The same at the token endpoint, for which no standard has them: Entra documents the first two there and its libraries know the third, Auth0 has
 * the fourth. Not `access_denied`, which is said there of a client too: a wrong secret of ours would sign everybody out.
 * @see https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors
 * @see https://learn.microsoft.com/en-us/javascript/api/@azure/msal-node/interactionrequiredautherrorcodes
 * @see https://auth0.com/docs/secure/tokens/refresh-tokens/use-refresh-tokens
 */
const PERSON_WANTED = new Set(['interaction_required', 'consent_required', 'login_required', 'mfa_required']);

/** Neither waiting nor asking again helps: the provider wants the person at its page. */
const wantsPerson = (error: unknown): boolean =>
  error instanceof oidc.ResponseBodyError && PERSON_WANTED.has(error.error);

const unavailable = (provider: string, reason: string, cause: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} cannot be reached or gave an answer that cannot be trusted. Try again in a minute; if it stays, tell your platform team.`,
    { reason, cause },
  );

/**
 * The ID token does not show that the person proved who they are on this trip: `auth_time` is older, or absent although it was asked for
 * (OpenID Connect Core §3.1.2.1). Both faults carry the claims that they are about.
 */
function isStaleProof(error: unknown): boolean {
  if (!(error instanceof oidc.ClientError) || !(error.cause instanceof Error)) return false;
  const facts: unknown = error.cause.cause;
  if (typeof facts !== 'object' || facts === null || !('claims' in facts)) return false;
  if ('claim' in facts) return facts.claim === 'auth_time';
  const { claims } = facts;
  return typeof claims === 'object' && claims !== null && !('auth_time' in claims) && 'sub' in claims;
}

/**
 * A fault of the redirect back to us, or of redeeming its code.
 * @param fresh the person was to prove anew who they are
 */
export function callbackFault(provider: string, error: unknown, fresh: boolean): AppError {
  if (error instanceof AppError) return error;
  const atPage = error instanceof oidc.AuthorizationResponseError ? error.error : undefined;
  if (wantsPerson(error) || PERSON_REFUSED.has(atPage ?? '')) {
    return new AppError('sign_in_refused', `${provider} did not sign you in. Ask its administrator, or try again.`, {
      reason: 'provider_refused',
      cause: error,
    });
  }
  if (atPage !== undefined) return unavailable(provider, 'provider_error', error);
  if (fresh && isStaleProof(error)) {
    const words = `${provider} let you in without asking again who you are. Sign out there, then start again.`;
    return new AppError('sign_in_refused', words, { reason: 'fresh_sign_in_needed', cause: error });
  }
  if (error instanceof oidc.ResponseBodyError && error.error === 'invalid_grant') {
    return new AppError('sign_in_expired', 'This sign-in is too old or was already used. Start again.', {
      reason: 'provider_code_refused',
      cause: error,
    });
  }
  return tokenFault(provider, error);
}

/** The connection broke while an answer was awaited: what was asked for may have been done. */
export function isLostAnswer(error: unknown): boolean {
  for (let fault = error; fault instanceof Error; fault = fault.cause) {
    if ('code' in fault && LOST.has(String(fault.code))) return true;
  }
  return false;
}

/** Not a timeout: to wait as long again would outlast the claim under which a session is re-checked. */
const LOST = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** A fault of a request from us to the provider. */
export function tokenFault(provider: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof oidc.ResponseBodyError) {
    if (error.error === 'invalid_grant' || wantsPerson(error)) {
      return new AppError('sign_in_refused', `${provider} no longer vouches for you. Sign in again.`, {
        reason: 'provider_refresh_refused',
        cause: error,
      });
    }
    return unavailable(
      provider,
      error.error === 'invalid_client' ? 'provider_client_refused' : 'provider_error',
      error,
    );
  }
  if (error instanceof oidc.ClientError) return unavailable(provider, 'provider_answer_invalid', error);
  return unavailable(provider, 'provider_unreachable', error);
}
