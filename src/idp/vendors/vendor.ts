/**
 * The differences between the types of identity providers. All of them share one OpenID Connect client
 * (`../oidc.ts`), which asks here for scopes, parameters, hosts and the subject.
 */
import { PROVIDERS, type ProviderFacts, type ProviderType } from '../../core/identity/provider-types.ts';
import type { Claims } from '../../core/identity/types.ts';
import { authTimeParameters, type AuthTimeRequest } from '../fresh-sign-in.ts';

type Facts = Pick<ProviderFacts, 'hosts' | 'scopes' | 'provesFreshness' | 'userInfo' | 'assertionAudience'>;

export interface Vendor extends Facts {
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

/** A type that needs no code of its own. */
export const standardVendor = (type: ProviderType): Vendor => {
  const { asksConsent, ...facts } = PROVIDERS[type];
  return {
    ...facts,
    parameters: ({ authTime, scopes }) =>
      authTimeParameters(authTime, asksConsent && scopes.includes('offline_access') ? ['consent'] : []),
    subjectOf,
  };
};

/** Any provider that keeps to the standard. */
export const OIDC: Vendor = standardVendor('oidc');
