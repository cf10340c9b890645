/**
 * The defaults of each type of identity provider: its issuer, scopes, and the claims that identify a user; and the
 * settings that belong to it alone.
 */
import { checkGithub, GITHUB, GITHUB_GROUPS } from './github.ts';
import { isMapping, items, textAt, valueAt, type ValidationErrors, type Path } from './document.ts';

export const PROVIDER_TYPES = ['oidc', 'google', 'entra', 'okta', 'keycloak', 'github'] as const;

export type ProviderType = (typeof PROVIDER_TYPES)[number];

interface TypeTraits {
  /** The issuer where the type fixes it; undefined: it has to be set. */
  readonly issuer: ((provider: unknown) => string) | undefined;
  /** Settings that no other type has. */
  readonly own: readonly string[];
  /** Of `own`, those that the type requires. */
  readonly needed: readonly string[];
  /** CEL over claims. */
  readonly username: string;
  /**
   * Its ID tokens say when the user authenticated (`auth_time`), so that its users can be admins who need that
   * proof.
   */
  readonly provesFreshness: boolean;
}

const TYPES: Record<ProviderType, TypeTraits> = {
  oidc: { issuer: undefined, own: [], needed: [], username: 'claims.email', provesFreshness: true },
  google: {
    issuer: () => 'https://accounts.google.com',
    own: ['serviceAccountFile', 'impersonatedAdmin'],
    needed: [],
    username: 'claims.email',
    provesFreshness: false,
  },
  entra: {
    // The tenant's own issuer, never `common`: with that one every tenant in the world could sign in.
    issuer: (provider) => `https://login.microsoftonline.com/${textAt(provider, 'tenant') ?? ''}/v2.0`,
    own: ['tenant', 'groupsAs'],
    needed: ['tenant'],
    // Not the e-mail address: there is no email_verified, and a user's own tenant may set any.
    username: 'claims.preferred_username',
    provesFreshness: true,
  },
  okta: { issuer: undefined, own: [], needed: [], username: 'claims.preferred_username', provesFreshness: true },
  keycloak: { issuer: undefined, own: [], needed: [], username: 'claims.preferred_username', provesFreshness: true },
  github: {
    issuer: (provider) => `https://${textAt(provider, 'host') ?? GITHUB}`,
    own: ['organizations', 'host'],
    // GitHub has no public clients.
    needed: ['clientSecretFile'],
    username: 'claims.login',
    provesFreshness: false,
  },
};

/** Settings in a pair: one without the other has no effect. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['serviceAccountFile', 'impersonatedAdmin'],
  ['impersonatedAdmin', 'serviceAccountFile'],
];

/** Types that send logout tokens (OpenID Connect Back-Channel Logout). Those of other types are not accepted. */
const LOGOUT_TOKEN_TYPES: ReadonlySet<ProviderType> = new Set(['oidc', 'okta', 'keycloak']);

export const defaultLogout = (type: ProviderType): 'session' | 'off' =>
  LOGOUT_TOKEN_TYPES.has(type) ? 'session' : 'off';

export const FRESHNESS_SETTINGS = ['auto', 'login', 'max_age', 'none'] as const;

/** @param freshness as set; a type that proves nothing does so whatever is set */
export const provesFreshness = (type: ProviderType, freshness?: string): boolean =>
  TYPES[type].provesFreshness && freshness !== 'none';

export const defaultUsername = (type: ProviderType): string => TYPES[type].username;

/** @returns the issuer as set, or the one that the type fixes; empty where neither is there, which `checkProviderType` reports */
export const issuerOf = (provider: { readonly type: ProviderType; readonly issuer?: string | undefined }): string =>
  provider.issuer ?? TYPES[provider.type].issuer?.(provider) ?? '';

/** Google's groups come from the Directory API or not at all. With `oidc` it is unknown how the provider calls them. */
export function defaultGroups(provider: {
  readonly type: ProviderType;
  readonly serviceAccountFile?: string | undefined;
}): string | undefined {
  if (provider.type === 'oidc') return undefined;
  if (provider.type === 'google' && provider.serviceAccountFile === undefined) return undefined;
  if (provider.type === 'github') return GITHUB_GROUPS;
  return 'claims.groups';
}

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
export function checkProviderType(provider: unknown, base: Path, errors: ValidationErrors): void {
  if (!isMapping(provider)) return;
  const named = provider['type'] ?? 'oidc';
  const type = PROVIDER_TYPES.find((known) => known === named);
  if (type === undefined) return;
  const traits = TYPES[type];
  const issuer = valueAt(provider, ['issuer']);
  if (traits.issuer === undefined && issuer === undefined) {
    errors.add([...base, 'issuer'], 'the issuer’s https URL, exactly as its discovery document says it');
  }
  // An attacker who may choose the issuer under a vendor's name would make that vendor's checks worthless, so the
  // issuer is fixed.
  if (traits.issuer !== undefined && issuer !== undefined) {
    errors.add([...base, 'issuer'], `nothing: type ${type} has its own`);
  }
  if (traits.issuer !== undefined && items(provider, 'hosts').length > 0) {
    errors.add([...base, 'hosts'], `nothing: the hosts of type ${type} are fixed`);
  }
  for (const key of traits.needed) {
    if (provider[key] === undefined) errors.add([...base, key], `a value, because type is ${type}`);
  }
  for (const other of PROVIDER_TYPES) {
    const foreign = TYPES[other].own.filter((key) => !traits.own.includes(key) && provider[key] !== undefined);
    for (const key of foreign) errors.add([...base, key], `nothing: it is for type ${other}, and this one is ${type}`);
  }
  if (!LOGOUT_TOKEN_TYPES.has(type) && (provider['backchannelLogout'] ?? 'off') !== 'off') {
    errors.add([...base, 'backchannelLogout'], `off, because type ${type} does not say when a user signs out there`);
  }
  if (!traits.provesFreshness && (provider['freshness'] ?? 'none') !== 'none') {
    errors.add([...base, 'freshness'], `none, or nothing: type ${type} does not say when a user signed in`);
  }
  if (type === 'github') checkGithub(provider, base, errors);
  for (const [key, partner] of PAIRS) {
    if (provider[key] !== undefined && provider[partner] === undefined && traits.own.includes(partner)) {
      errors.add([...base, partner], `a value, because ${key} is set`);
    }
  }
}
