/** The shapes of this module. */
import type { Identity } from '../core/identity/identity.ts';
import type { Result } from '../core/result.ts';
import type { LogoutNotice, LogoutRejection } from './logout-token.ts';

/** Each is one way to ask; the first names all that the standard has. */
export const FRESH_SIGN_IN_METHODS = ['login_and_max_age', 'login', 'max_age'] as const;

export type FreshSignInMethod = (typeof FRESH_SIGN_IN_METHODS)[number];

/** What must survive the person's trip to the provider; each value is used once. */
export interface SignInChallenge {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** Epoch seconds before which the person's proof does not count: the provider was asked to have them prove who they are anew. */
  readonly freshSince?: number | undefined;
  /** The ways in which the provider was asked for that proof, the last one on this trip. */
  readonly asked?: readonly FreshSignInMethod[] | undefined;
}

export interface ProviderSignIn {
  /** The provider's immutable subject. */
  readonly subject: string;
  readonly identity: Identity;
  /** Absent where the provider gives none: the person cannot be re-checked then. */
  readonly refreshToken?: string;
  /** `auth_time`, epoch seconds, where the provider says. */
  readonly authTime?: number;
  /** The provider's name for the session there in which the person signed in (`sid`), where it says one. */
  readonly providerSid?: string;
  /** As it came: what the provider wants to see again when the person signs out (`id_token_hint`). */
  readonly idToken?: string;
}

/** The end of sessions at a provider, in both directions. */
export interface ProviderLogout {
  /** What ends here when somebody signs out there: what was opened in that session, everything of the account, or nothing. */
  readonly reach: 'session' | 'account' | 'off';
  /**
   * Verifies what the provider says of an end (OpenID Connect Back-Channel Logout 1.0 §2.6), but that it has not come before.
   * @throws AppError `provider_unavailable` where its keys cannot be read
   */
  readToken(token: string): Promise<Result<LogoutNotice, LogoutRejection>>;
  /**
   * Where a browser goes to sign out there too (OpenID Connect RP-Initiated Logout 1.0 §2).
   * @param options.returnTo our own page that it comes back to, with `state` in its query
   * @returns undefined where the provider has no such place
   */
  endSession(options: {
    readonly idToken?: string | undefined;
    readonly returnTo: string;
    readonly state: string;
  }): Promise<URL | undefined>;
}

export interface IdentityProvider {
  readonly name: string;
  /** True where the provider says when the person proved who they are (`auth_time`), so that silent single sign-on can be told from a fresh one. */
  readonly provesFreshness: boolean;
  /**
   * Reads what the provider publishes, so that the first user need not wait for it and the log says early what may not work. Absent where
   * the provider publishes nothing of the kind.
   * @throws AppError `provider_unavailable`
   */
  prepare?(): Promise<void>;
  /**
   * Makes random values and the provider's URL to send the browser to.
   * @param options.fresh the user has to authenticate again at the provider
   * @param options.after the trip before, on which the provider showed no proof: it is asked in another way
   */
  begin(options?: {
    readonly fresh?: boolean;
    readonly after?: SignInChallenge | undefined;
  }): Promise<{ readonly challenge: SignInChallenge; readonly url: URL }>;
  /**
   * Redeems the callback. `callback` is our public callback URL with the query as it came.
   * @throws AppError `sign_in_refused` (`fresh_sign_in_needed`) where a fresh sign-in was asked for and the provider shows none
   * @throws FreshProofMissing the same, where the provider can be asked in another way
   */
  finish(callback: URL, challenge: SignInChallenge): Promise<ProviderSignIn>;
  /**
   * Asks the provider whether this person is still who they were, by their refresh token.
   * @param keep given a new refresh token as soon as there is one, before anything else is asked or can fail: providers that rotate take a
   *   second use of the old one for theft
   */
  recheck(subject: string, refreshToken: string, keep?: (newest: string) => Promise<void>): Promise<ProviderSignIn>;
  /** Absent where the provider knows nothing of the kind (GitHub). */
  readonly logout?: ProviderLogout;
}

export type IdentityProviders = ReadonlyMap<string, IdentityProvider>;
