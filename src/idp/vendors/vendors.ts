/** From a provider's type to a provider: the vendor's differences, over the one OpenID Connect client. */
import type { IdentityProvider } from '../types.ts';
import { createOidcProvider, type OidcProviderOptions } from '../oidc.ts';
import { VENDOR_HOSTS, type ProviderType } from '../../core/identity/provider-types.ts';
import { reachOf } from '../outbound.ts';
import { createEntra } from './entra.ts';
import { standardVendor, type Vendor } from './vendor.ts';
import { createDirectory, type DirectoryOptions } from './directory.ts';

interface Common extends Omit<OidcProviderOptions, 'vendor'> {
  /** The mapping reads `claims.groups`. */
  readonly wantsGroups: boolean;
  readonly maxGroups: number;
}

export type VendorProviderOptions = Common &
  (
    | { readonly type: Exclude<ProviderType, 'entra' | 'google' | 'github'> }
    | { readonly type: 'entra'; readonly tenant: string; readonly groupsAs: 'id' | 'name' }
    | {
        readonly type: 'google';
        readonly directory?: { readonly serviceAccount: () => string; readonly admin: string };
      }
  );

/**
 * The addresses of the vendors' own APIs. No configuration changes them: users' tokens would go to the configured
 * address.
 */
export interface VendorEndpoints {
  readonly graph: string;
  readonly googleApi: string;
  readonly googleToken: string;
}

const ENDPOINTS: VendorEndpoints = {
  graph: `https://${VENDOR_HOSTS.graph}`,
  googleApi: `https://${VENDOR_HOSTS.googleApi}`,
  googleToken: `https://${VENDOR_HOSTS.googleToken}/token`,
};

/** @throws Error where an option cannot be used at all */
export function createVendorProvider(options: VendorProviderOptions, endpoints = ENDPOINTS): IdentityProvider {
  return createOidcProvider({ ...options, vendor: vendorOf(options, endpoints) });
}

/** Hosts beside the issuer's that the discovery of such a provider may name. */
export const providerHosts = (options: VendorProviderOptions): readonly string[] => [
  ...options.hosts,
  ...vendorOf(options, ENDPOINTS).hosts,
];

/** Returns the audience of client assertions, where it is not the issuer. */
export const assertionAudienceOf = (options: VendorProviderOptions): Vendor['assertionAudience'] =>
  vendorOf(options, ENDPOINTS).assertionAudience;

function vendorOf(options: VendorProviderOptions, endpoints: VendorEndpoints): Vendor {
  const { name, maxGroups, wantsGroups, clock } = options;
  const reach = reachOf(options);
  if (options.type === 'entra') {
    const { tenant, groupsAs } = options;
    return createEntra({ name, tenant, groupsAs, wantsGroups, maxGroups, ...reach, graph: endpoints.graph });
  }
  if (options.type !== 'google') return standardVendor(options.type);
  const { directory } = options;
  const { googleApi: api, googleToken: tokenEndpoint } = endpoints;
  return createGoogle(
    directory === undefined || !wantsGroups
      ? undefined
      : { name, ...directory, maxGroups, ...reach, api, tokenEndpoint, clock },
  );
}

/**
 * Google: one issuer for the whole world, so a rule over `hd` decides whose users are admitted; no groups in its
 * tokens.
 *
 * @see https://developers.google.com/identity/openid-connect/openid-connect
 */

/** @param directory absent: no user has groups */
function createGoogle(directory: DirectoryOptions | undefined): Vendor {
  const groupsOf = directory === undefined ? undefined : createDirectory(directory);
  return {
    ...standardVendor('google'),
    parameters: ({ fresh }) => ({
      // Google has no offline_access, and after the first time gives a refresh token only with consent.
      access_type: 'offline',
      prompt: fresh ? 'select_account consent' : 'consent',
    }),
    ...(groupsOf === undefined
      ? {}
      : { complete: async (claims) => ({ ...claims, groups: await groupsOf(String(claims['sub'])) }) }),
  };
}
