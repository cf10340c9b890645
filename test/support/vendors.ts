/** A provider of one type at a local stand-in, and a user's sign-in there. */
import { compileMapping } from '../../src/core/identity/claims.ts';
import { type ClaimsProvider } from '../../src/core/identity/types.ts';
import type { Clock } from '../../src/contracts/clock.ts';
import type { AppError } from '../../src/core/errors.ts';
import { PROVIDERS } from '../../src/core/identity/provider-types.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { readsGroups } from '../../src/idp/vendors/groups.ts';
import {
  createVendorProvider,
  type VendorEndpoints,
  type VendorProviderOptions,
} from '../../src/idp/vendors/vendors.ts';
import { CALLBACK, CLIENT, type VendorIdp } from './vendor-idp.ts';

type Particular = VendorProviderOptions extends infer T
  ? T extends VendorProviderOptions
    ? Pick<T, Exclude<keyof T, Shared>> & { readonly ca?: () => string; readonly scopes?: readonly string[] }
    : never
  : never;
type Shared =
  | 'name'
  | 'issuer'
  | 'clientId'
  | 'clientSecret'
  | 'ca'
  | 'scopes'
  | 'hosts'
  | 'redirectUri'
  | 'mapping'
  | 'clock'
  | 'clockSkew'
  | 'wantsGroups'
  | 'maxGroups';

/** As a configuration with nothing but what is needed would have it; groups in `claims.groups`. */
export function vendor(
  issuer: string,
  particular: Particular,
  options: {
    readonly maxGroups?: number;
    readonly mapping?: Partial<ClaimsProvider>;
    readonly clock?: Clock;
    readonly clockSkew?: number;
  } = {},
  endpoints?: VendorEndpoints,
): IdentityProvider {
  const { maxGroups = 1000 } = options;
  const claims: ClaimsProvider = {
    name: 'corp',
    usernamePrefix: 'corp:',
    groupsPrefix: 'corp:',
    username: PROVIDERS[particular.type].username,
    groups: 'claims.groups',
    extra: {},
    emailVerified: 'claim',
    rules: [],
    userRules: [],
    maxGroups,
    ...options.mapping,
  };
  const mapping = compileMapping(claims);
  if (!mapping.ok) throw new Error(JSON.stringify(mapping.reason));
  return createVendorProvider(
    {
      ...particular,
      name: 'corp',
      issuer,
      clientId: CLIENT.id,
      clientSecret: () => CLIENT.secret,
      hosts: [],
      redirectUri: CALLBACK,
      mapping: mapping.value,
      clock: options.clock ?? { nowMs: Date.now },
      ...(options.clockSkew === undefined ? {} : { clockSkew: options.clockSkew }),
      wantsGroups: readsGroups(claims),
      maxGroups,
    },
    endpoints,
  );
}

export async function signIn(idp: VendorIdp, provider: IdentityProvider): Promise<ProviderSignIn> {
  const { url, challenge } = await provider.begin();
  return provider.finish(await idp.visit(url), challenge);
}

export const rejection = (promise: Promise<unknown>): Promise<AppError> =>
  promise.then(
    () => {
      throw new Error('nothing was refused');
    },
    (error: AppError) => error,
  );
