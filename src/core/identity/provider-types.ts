/**
 * The types of identity providers, and what is known of each before one is asked: the configuration takes defaults and
 * checks from here, the OpenID Connect client (`idp`) hosts, scopes and parameters. What a type needs code for is in
 * `idp/vendors/` and `idp/github/`.
 */

/** Hosts of vendors that are the same for all their customers. They are here, and in no configuration. */
export const VENDOR_HOSTS = {
  /** The hosts in Google's discovery document, in addition to accounts.google.com. */
  google: ['oauth2.googleapis.com', 'www.googleapis.com', 'openidconnect.googleapis.com'],
  googleApi: 'admin.googleapis.com',
  googleToken: 'oauth2.googleapis.com',
  /** Entra's UserInfo endpoint is at Graph. */
  entra: ['graph.microsoft.com'],
  graph: 'graph.microsoft.com',
  github: 'github.com',
} as const;

/** Settings of a provider that some facts are decided by. */
interface Given {
  readonly tenant?: string | undefined;
  readonly host?: string | undefined;
  readonly serviceAccountFile?: string | undefined;
}

export interface ProviderFacts {
  /** The issuer where the type fixes it; absent: it has to be set. */
  readonly issuer?: (provider: Given) => string;
  /** Settings that no other type has. */
  readonly own: readonly string[];
  /** Settings that the type requires. */
  readonly needed: readonly string[];
  /** CEL over claims, where `username` is not set. */
  readonly username: string;
  /** CEL over claims, where `groups` is not set; undefined: no user has groups. */
  readonly groups: (provider: Given) => string | undefined;
  /** Hosts that its discovery may name, in addition to the issuer's. */
  readonly hosts: readonly string[];
  /** @param offered `scopes_supported`, which need not be complete (RFC 8414 §2) */
  readonly scopes: (offered: readonly string[]) => readonly string[];
  /** It has to be asked for consent before it gives a refresh token. */
  readonly asksConsent: boolean;
  /**
   * Its ID tokens say when the user authenticated (`auth_time`), so that its users can be admins who need that proof,
   * and silent single sign-on can be told from a fresh sign-in.
   */
  readonly provesFreshness: boolean;
  /** It sends logout tokens (OpenID Connect Back-Channel Logout). Those of other types are not accepted. */
  readonly sendsLogoutTokens: boolean;
  /** False where the ID token has all there is, so that a request is saved. */
  readonly userInfo: boolean;
  /** The audience of a client assertion, where it is not the issuer. */
  readonly assertionAudience?: 'token_endpoint';
}

const BASIC = ['openid', 'profile', 'email'] as const;

/**
 * Some providers reject a sign-in for a scope that they do not know, so an uncommon scope is requested only where
 * it is listed.
 */
const listed = (offered: readonly string[], ...wanted: readonly string[]): readonly string[] =>
  wanted.filter((scope) => offered.includes(scope));

/** Any provider that keeps to the standard. It is unknown how it calls groups. */
const OIDC: ProviderFacts = {
  own: [],
  needed: [],
  username: 'claims.email',
  groups: () => undefined,
  hosts: [],
  scopes: (offered) => [...BASIC, ...listed(offered, 'groups', 'offline_access')],
  // OpenID Connect Core §11: a refresh token is given for offline_access only together with consent.
  asksConsent: true,
  provesFreshness: true,
  sendsLogoutTokens: true,
  userInfo: true,
};

/**
 * Entra ID, Okta and Keycloak: a refresh token comes with the scope alone. A prompt for consent would show a page
 * that these users have never seen, or, where the client is a trusted one, an error.
 */
const WITHOUT_CONSENT: ProviderFacts = {
  ...OIDC,
  username: 'claims.preferred_username',
  groups: () => 'claims.groups',
  scopes: () => [...BASIC, 'offline_access'],
  asksConsent: false,
};

const TYPES = {
  oidc: OIDC,
  google: {
    ...OIDC,
    issuer: () => 'https://accounts.google.com',
    own: ['serviceAccountFile', 'impersonatedAdmin'],
    // They come from the Directory API or not at all.
    groups: ({ serviceAccountFile }) => (serviceAccountFile === undefined ? undefined : 'claims.groups'),
    hosts: VENDOR_HOSTS.google,
    scopes: () => BASIC,
    // Google does not say when a user authenticated, unless it has reviewed the application.
    provesFreshness: false,
    sendsLogoutTokens: false,
  },
  entra: {
    // Not the e-mail address as username: there is no email_verified, and a user's own tenant may set any.
    ...WITHOUT_CONSENT,
    // The tenant's own issuer, never `common`: with that one every tenant in the world could sign in.
    issuer: ({ tenant = '' }) => `https://login.microsoftonline.com/${tenant}/v2.0`,
    own: ['tenant', 'groupsAs'],
    needed: ['tenant'],
    hosts: VENDOR_HOSTS.entra,
    sendsLogoutTokens: false,
    // Its UserInfo endpoint has less than the ID token.
    userInfo: false,
    // https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
    assertionAudience: 'token_endpoint',
  },
  okta: {
    ...WITHOUT_CONSENT,
    // Its own authorization server has a scope for groups; a custom one has only what the company has added.
    scopes: (offered) => [...BASIC, 'offline_access', ...listed(offered, 'groups')],
    // "The audience claim for client_assertion must be the endpoint invoked for the request."
    assertionAudience: 'token_endpoint',
  },
  // Groups and roles come by mappers of the client. The list of scopes is the realm's, and one that the client lacks is
  // an error.
  keycloak: WITHOUT_CONSENT,
  github: {
    ...OIDC,
    issuer: ({ host = VENDOR_HOSTS.github }) => `https://${host}`,
    own: ['organizations', 'host'],
    // GitHub has no public clients.
    needed: ['clientSecretFile'],
    username: 'claims.login',
    // With the organisation's login, since anyone can give their own team any name.
    groups: () => 'claims.teams.map(t, t.organization + "/" + t.slug)',
    provesFreshness: false,
    sendsLogoutTokens: false,
  },
} satisfies Record<string, ProviderFacts>;

export type ProviderType = keyof typeof TYPES;

export const PROVIDERS: Readonly<Record<ProviderType, ProviderFacts>> = TYPES;

export const PROVIDER_TYPES = Object.keys(TYPES) as ProviderType[];
