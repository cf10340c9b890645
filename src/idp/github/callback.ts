/** The redirect to GitHub and the callback: the parameters for the browser, and the checks of its return. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import type { SignInChallenge } from '../types.ts';
import { misconfigured } from '../errors.ts';
import { rejected, unavailable } from './errors.ts';

/** 256 bits; as a PKCE verifier 43 characters, the least that RFC 7636 §4.1 allows. */
const random = (): string => randomBytes(32).toString('base64url');

export const newChallenge = (): SignInChallenge => ({ state: random(), nonce: random(), codeVerifier: random() });

export interface AuthorizationParameters {
  readonly authorize: string;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly scopes: readonly string[];
  /** Lets the user choose the account again. GitHub cannot be made to ask for the password. */
  readonly fresh: boolean;
}

/** @see https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#1-request-a-users-github-identity */
export function authorizationUrl({ state, codeVerifier }: SignInChallenge, parameters: AuthorizationParameters): URL {
  const url = new URL(parameters.authorize);
  url.search = new URLSearchParams({
    client_id: parameters.clientId,
    redirect_uri: parameters.redirectUri,
    scope: parameters.scopes.join(' '),
    state,
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    allow_signup: 'false',
    ...(parameters.fresh ? { prompt: 'select_account' } : {}),
  }).toString();
  return url;
}

/**
 * Returns the code of a callback that belongs to this sign-in.
 * @throws AppError `sign_in_expired` where it belongs to another sign-in or another provider, `sign_in_refused`
 *   where the user declined there, `provider_unavailable` where GitHub would not do it
 */
export function codeOf(
  callback: URL,
  { state }: SignInChallenge,
  { provider, redirectUri, origin }: { readonly provider: string; readonly redirectUri: string; readonly origin: URL },
): string {
  const mismatch = (reason: string): AppError =>
    new AppError('sign_in_expired', 'This sign-in does not belong to the page that you started from. Start again.', {
      reason,
    });
  // Mix-up (RFC 9700 §4.4): each provider has its own callback, and accepts only what was sent there.
  if (callback.origin + callback.pathname !== redirectUri) throw mismatch('callback_foreign');
  if (!equal(only(callback, 'state'), state)) throw mismatch('state_mismatch');
  const issuers = callback.searchParams.getAll('iss');
  // RFC 9207: not every GitHub sends it; if one does, it must be the one that was asked.
  if (issuers.some((iss) => !URL.canParse(iss) || new URL(iss).origin !== origin.origin))
    throw mismatch('issuer_foreign');
  const error = callback.searchParams.get('error');
  if (error === 'access_denied') {
    throw rejected('provider_refused', `You declined at ${provider}. Start again and agree to what is asked there.`);
  }
  if (error !== null) {
    const cause = new Error(`the callback says ${error.slice(0, 60)}`);
    throw (APP_REJECTED.has(error) ? misconfigured : unavailable)(provider, 'provider_error', cause);
  }
  const code = only(callback, 'code');
  if (code === undefined || code === '') throw unavailable(provider, 'provider_answer_invalid');
  return code;
}

/**
 * About the app, for any user.
 * @see https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors
 */
const APP_REJECTED: ReadonlySet<string> = new Set(['application_suspended', 'redirect_uri_mismatch']);

/** Returns a parameter that occurs exactly once (RFC 6749 §3.1). */
function only(url: URL, name: string): string | undefined {
  const values = url.searchParams.getAll(name);
  return values.length === 1 ? values[0] : undefined;
}

function equal(given: string | undefined, expected: string): boolean {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(expected)];
  return expected !== '' && a.length === b.length && timingSafeEqual(a, b);
}
