/**
 * The differences between the types of identity providers. All of them share one OpenID Connect client
 * (`../oidc.ts`), which asks here for scopes, parameters, hosts and the subject.
 */
import type { Claims } from '../../core/identity/types.ts';
import { authTimeParameters, type AuthTimeRequest } from '../fresh-sign-in.ts';

export interface Vendor {
  /** Hosts that its discovery may name, in addition to the issuer's. */
  readonly hosts: readonly string[];
  /** @param offered `scopes_supported`, which need not be complete (RFC 8414 §2) */
  scopes(offered: readonly string[]): readonly string[];
  /** False where no `auth_time` can be had: silent single sign-on cannot be told from a fresh sign-in. */
  readonly provesFreshness: boolean;
  /** False where the ID token has all there is, so that a request is saved. */
  readonly userInfo: boolean;
  /** The audience of a client assertion, where it is not the issuer. */
  readonly assertionAudience?: 'token_endpoint';
  /** Returns authorization parameters in addition to those of every sign-in. */
  parameters(request: {
    /** The user has to authenticate again. */
    readonly fresh: boolean;
    /** How the provider is to show it; of no use to one that proves nothing. */
    readonly authTime: AuthTimeRequest;
    readonly scopes: readonly string[];
  }): Readonly<Record<string, string>>;
  /**
   * Returns the account's immutable subject, from the claims of a verified ID token.
   * @throws AppError `sign_in_refused`
   */
  subjectOf(claims: Claims): string;
  /**
   * Adds claims that need another request.
   * @returns the claims with what was found, or unchanged
   * @throws AppError `sign_in_refused` (`groups_…`) where they cannot be had for this user, `provider_unavailable`
   *   where not now
   */
  complete?(claims: Claims, accessToken: string): Promise<Claims>;
}

/** `sub`, which openid-client has checked to be there (OpenID Connect Core §2). */
const subjectOf = ({ sub }: Claims): string => String(sub);

const BASIC = ['openid', 'profile', 'email'] as const;

/**
 * Some providers reject a sign-in for a scope that they do not know, so an uncommon scope is requested only where
 * it is listed.
 */
const listed = (offered: readonly string[], ...wanted: readonly string[]): readonly string[] =>
  wanted.filter((scope) => offered.includes(scope));

/** Any provider that keeps to the standard. */
export const OIDC: Vendor = {
  hosts: [],
  scopes: (offered) => [...BASIC, ...listed(offered, 'groups', 'offline_access')],
  provesFreshness: true,
  userInfo: true,
  // OpenID Connect Core §11: a refresh token is given for offline_access only together with consent.
  parameters: ({ authTime, scopes }) =>
    authTimeParameters(authTime, scopes.includes('offline_access') ? ['consent'] : []),
  subjectOf,
};

/**
 * Entra ID, Okta and Keycloak: a refresh token comes with the scope alone. A prompt for consent would show a page
 * that these users have never seen, or, where the client is a trusted one, an error.
 */
export const WITHOUT_CONSENT: Vendor = { ...OIDC, parameters: ({ authTime }) => authTimeParameters(authTime, []) };

/** Okta's own authorization server has a scope for groups; a custom one has only what the company has added. */
export const OKTA: Vendor = {
  ...WITHOUT_CONSENT,
  // "The audience claim for client_assertion must be the endpoint invoked for the request."
  assertionAudience: 'token_endpoint',
  scopes: (offered) => [...BASIC, 'offline_access', ...listed(offered, 'groups')],
};

/**
 * Groups and roles come by mappers of the client. The list is the realm's, and a scope that the client lacks is an
 * error.
 */
export const KEYCLOAK: Vendor = { ...WITHOUT_CONSENT, scopes: () => [...BASIC, 'offline_access'] };
