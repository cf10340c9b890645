/** The shapes of this module. */
import type { Unproven } from '../core/identity/auth-time.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { Result } from '../core/result.ts';
import type { LogoutNotice, LogoutRejection } from './logout-token.ts';

/** The methods of asking for a fresh sign-in; the first uses all that the standard has. */
export const FRESH_SIGN_IN_METHODS = ['login_and_max_age', 'login', 'max_age'] as const;

export type FreshSignInMethod = (typeof FRESH_SIGN_IN_METHODS)[number];

/** The values that must survive the user's redirect to the provider; each is used once. */
export interface SignInChallenge {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /**
   * Epoch seconds before which the user's proof does not count: the provider was asked to have the user
   * authenticate again.
   */
  readonly freshSince?: number | undefined;
  /** The methods by which the provider was asked for that proof, the latest last. */
  readonly asked?: readonly FreshSignInMethod[] | undefined;
}

export interface ProviderSignIn {
  /** The provider's immutable subject. */
  readonly subject: string;
  readonly identity: Identity;
  /** Names by which the same user is known at any provider (`knownAsOf`). Never shown. */
  readonly knownAs?: readonly string[];
  /** Absent where the provider gives none: the user cannot be re-checked then. */
  readonly refreshToken?: string;
  /** `auth_time`, epoch seconds, where it is a moment that can be true. */
  readonly authTime?: number;
  /** What the provider says instead. */
  readonly unproven?: Unproven;
  /** The provider's id of the session there in which the user signed in (`sid`), where it has one. */
  readonly providerSid?: string;
  /** As received: the provider requires it when the user signs out (`id_token_hint`). */
  readonly idToken?: string;
}

/** The end of sessions at a provider, in both directions. */
export interface ProviderLogout {
  /**
   * What ends here when a user signs out there: what was opened in that session, everything of the account, or
   * nothing.
   */
  readonly reach: 'session' | 'account' | 'off';
  /**
   * Verifies a provider's logout token (OpenID Connect Back-Channel Logout 1.0 §2.6), except that it is new.
   * @throws AppError `provider_unavailable` where its keys cannot be read
   */
  readToken(token: string): Promise<Result<LogoutNotice, LogoutRejection>>;
  /**
   * Returns where a browser goes to sign out there too (OpenID Connect RP-Initiated Logout 1.0 §2).
   * @param options.returnTo our own page that it comes back to, with `state` in its query
   * @returns undefined where the provider has no such endpoint
   */
  endSession(options: {
    readonly idToken?: string | undefined;
    readonly returnTo: string;
    readonly state: string;
  }): Promise<URL | undefined>;
}

export interface IdentityProvider {
  readonly name: string;
  /**
   * True where the provider says when the user authenticated (`auth_time`), so that silent single sign-on can be
   * told from a fresh sign-in.
   */
  readonly provesFreshness: boolean;
  /**
   * Reads the provider's metadata, so that the first user need not wait for it and the log has an early warning of
   * what may not work. Absent where the provider publishes nothing of the kind.
   * @throws AppError `provider_unavailable`
   */
  prepare?(): Promise<void>;
  /**
   * Makes random values and the provider's URL to send the browser to.
   * @param options.fresh the user has to authenticate again at the provider
   * @param options.after the attempt before, in which the provider showed no proof: it is asked by another method
   */
  begin(options?: {
    readonly fresh?: boolean;
    readonly after?: SignInChallenge | undefined;
  }): Promise<{ readonly challenge: SignInChallenge; readonly url: URL }>;
  /**
   * Redeems the callback. `callback` is our public callback URL with the query as received.
   * @throws UnprovenSignIn `sign_in_refused` where a fresh sign-in was requested and the provider shows none
   * @throws FreshProofMissing the same, where the provider can be asked by another method
   */
  finish(callback: URL, challenge: SignInChallenge): Promise<ProviderSignIn>;
  /**
   * Asks the provider whether this user is still active and who they are, by their refresh token.
   * @param keep called with a new refresh token as soon as there is one, before anything else is requested or can
   *   fail: providers that rotate take a second use of the old one for theft
   */
  recheck(subject: string, refreshToken: string, keep?: (newest: string) => Promise<void>): Promise<ProviderSignIn>;
  /**
   * Returns, as the end of a sentence, why a fresh sign-in may not be proven: by the latest sign-ins here, and before the first
   * one by the provider's discovery document. Undefined where nothing speaks for that. Absent where none is ever proven.
   */
  freshSignInDoubt?(): string | undefined;
  /** Absent where the provider has nothing of the kind (GitHub). */
  readonly logout?: ProviderLogout;
}

export type IdentityProviders = ReadonlyMap<string, IdentityProvider>;
