/**
 * Identity providers: outward, to where people sign in.
 *
 * Owns: the OpenID Connect client (discovery, PKCE, state, nonce, RFC 9207 `iss`), and from a provider's claims to an identity by
 * core's mapping. Must not know: our own tokens and OAuth endpoints, pages, sessions or Kubernetes.
 *
 * Everything a provider sends is hostile until verified. Two outcomes only: `AppError` `sign_in_refused` (the provider or a rule
 * said no; `reason` names the rule) and `provider_unavailable` (down, nonsense, unknown key). Nothing is half-created by either.
 */
import type { Identity } from '../core/identity.ts';

/** What must survive the person's trip to the provider; each value is used once. */
export interface SignInChallenge {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** Epoch seconds before which the person's proof does not count: the provider was asked to have them prove who they are anew. */
  readonly freshSince?: number | undefined;
}

export interface ProviderSignIn {
  /** The provider's immutable subject. */
  readonly subject: string;
  readonly identity: Identity;
  /** Absent where the provider gives none: the person cannot be re-checked then. */
  readonly refreshToken?: string;
  /** `auth_time`, epoch seconds, where the provider says. */
  readonly authTime?: number;
}

export interface IdentityProvider {
  readonly name: string;
  /** True where the provider says when the person proved who they are (`auth_time`), so that silent single sign-on can be told from a fresh one. */
  readonly provesFreshness: boolean;
  /**
   * Makes fresh random values and the provider's URL to send the browser to.
   * @param options.fresh the person has to prove anew who they are (`prompt=login`, `max_age=0`)
   */
  begin(options?: { readonly fresh?: boolean }): Promise<{ readonly challenge: SignInChallenge; readonly url: URL }>;
  /**
   * Redeems the callback. `callback` is our public callback URL with the query as it came.
   * @throws AppError `sign_in_refused` (`fresh_sign_in_needed`) where a fresh sign-in was asked for and the provider shows none
   */
  finish(callback: URL, challenge: SignInChallenge): Promise<ProviderSignIn>;
  /** Asks the provider whether this person is still who they were, by their refresh token. */
  recheck(subject: string, refreshToken: string): Promise<ProviderSignIn>;
}

export type IdentityProviders = ReadonlyMap<string, IdentityProvider>;
