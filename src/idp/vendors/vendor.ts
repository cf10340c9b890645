/**
 * What one type of identity provider does differently from the next. All of them are one OpenID Connect client (`../oidc.ts`), which asks
 * here: for what, from whom, and who it is that came back.
 */
import type { Claims } from '../../core/identity/types.ts';
import { authTimeParameters, type AuthTimeRequest } from '../fresh-sign-in.ts';

export interface Vendor {
  /** Hosts beside the issuer's that its discovery may name. */
  readonly hosts: readonly string[];
  /** @param offered `scopes_supported`, which need not be complete (RFC 8414 §2) */
  scopes(offered: readonly string[]): readonly string[];
  /** False where no `auth_time` can be had: silent single sign-on cannot be told from a fresh one. */
  readonly provesFreshness: boolean;
  /** False where the ID token has all there is, so that a request is saved. */
  readonly userInfo: boolean;
  /** Whom a client assertion is for, where it is not the issuer. */
  readonly assertionAudience?: 'token_endpoint';
  /** Authorization parameters beside those of every sign-in. */
  parameters(request: {
    /** The user has to authenticate again. */
    readonly fresh: boolean;
    /** How the provider is to show it; of no use to one that proves nothing. */
    readonly authTime: AuthTimeRequest;
    readonly scopes: readonly string[];
  }): Readonly<Record<string, string>>;
  /**
   * The account's immutable subject, from the claims of a verified ID token.
   * @throws AppError `sign_in_refused`
   */
  subjectOf(claims: Claims): string;
  /**
   * Claims that take another request.
   * @returns the claims with what was found, or as they were
   * @throws AppError `sign_in_refused` (`groups_…`) where they cannot be had for this person, `provider_unavailable` where not now
   */
  complete?(claims: Claims, accessToken: string): Promise<Claims>;
}

/** `sub`, which openid-client has checked to be there (OpenID Connect Core §2). */
const subjectOf = ({ sub }: Claims): string => String(sub);

const BASIC = ['openid', 'profile', 'email'] as const;

/** Some refuse a sign-in for a scope that they do not know, so what not everybody has is asked for where it is listed. */
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
 * Entra ID, Okta and Keycloak: a refresh token comes with the scope alone. A prompt for consent would show a page that these people have never seen,
 * or, where the client is a trusted one, an error.
 */
export const WITHOUT_CONSENT: Vendor = { ...OIDC, parameters: ({ authTime }) => authTimeParameters(authTime, []) };

/** Its own authorization server has a scope for groups; one that a company made has only what the company put there. */
export const OKTA: Vendor = {
  ...WITHOUT_CONSENT,
  // "The audience claim for client_assertion must be the endpoint invoked for the request."
  assertionAudience: 'token_endpoint',
  scopes: (offered) => [...BASIC, 'offline_access', ...listed(offered, 'groups')],
};

/** Groups and roles come by mappers of the client. What is listed is the realm's, and one that the client lacks is an error. */
export const KEYCLOAK: Vendor = { ...WITHOUT_CONSENT, scopes: () => [...BASIC, 'offline_access'] };
