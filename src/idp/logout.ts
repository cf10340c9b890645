/**
 * The end of a session at an OpenID provider, in both directions: it notifies us (Back-Channel Logout 1.0), and we
 * send a user there who signs out here (RP-Initiated Logout 1.0).
 */
import * as oidc from 'openid-client';
import type { Clock } from '../contracts/clock.ts';
import type { Claims } from '../core/identity/types.ts';
import { AppError } from '../core/errors.ts';
import { textProblem } from '../core/identity/names.ts';
import type { ProviderLogout, ProviderSignIn } from './types.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import { verifyLogoutToken } from './logout-token.ts';
import { assertProviderUrl, reachOf, type Reach } from './outbound.ts';
import { DEFAULT_CLOCK_SKEW_SECONDS } from './provider-clock.ts';
import { defined } from '../core/defined.ts';

/** A token with many groups makes a URL that servers reject. Without it the provider asks the user to confirm. */
const MAX_HINT_LENGTH = 4096;
const MAX_SID_BYTES = 512;

/** Returns the parts of an ID token that are needed when the user's session ends, there or here. */
export function sessionThere(
  claims: Claims,
  idToken: string | undefined,
): Pick<ProviderSignIn, 'providerSid' | 'idToken'> {
  const { sid } = claims;
  return {
    ...(typeof sid === 'string' && textProblem(sid, MAX_SID_BYTES) === undefined ? { providerSid: sid } : {}),
    ...(idToken === undefined || idToken.length > MAX_HINT_LENGTH ? {} : { idToken }),
  };
}

export interface ProviderLogoutOptions extends Reach {
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly hosts: readonly string[];
  readonly reach: ProviderLogout['reach'];
  readonly clock: Clock;
  readonly clockSkew?: number;
  readonly configuration: () => Promise<oidc.Configuration>;
  readonly renewed: () => Promise<oidc.Configuration>;
}

export function createProviderLogout(options: ProviderLogoutOptions): ProviderLogout {
  const { name, issuer, clientId, hosts, reach, clock, configuration, renewed } = options;
  const { clockSkew = DEFAULT_CLOCK_SKEW_SECONDS } = options;
  const jwksUri = async (again: boolean): Promise<string> => {
    const { jwks_uri } = (await (again ? renewed : configuration)()).serverMetadata();
    if (jwks_uri === undefined) throw new AppError('provider_unavailable', `${name} publishes no keys.`);
    return jwks_uri;
  };
  const keys = createIssuerKeys({ issuer, hosts, ...reachOf(options), clock, jwksUri });
  return {
    reach,
    async readToken(token) {
      // The issuer as the provider spells it: its tokens have it exactly so, a slash at the end included.
      const named = (await configuration()).serverMetadata().issuer;
      return verifyLogoutToken(token, keys, { issuer: named, clientId, nowMs: clock.nowMs(), clockSkew });
    },
    async endSession({ idToken, returnTo, state }) {
      const config = await configuration();
      const endpoint = config.serverMetadata().end_session_endpoint;
      // Discovery is untrusted, and here it chooses where a browser is sent with a user's ID token. An attacker
      // who changes it would receive that token, so the endpoint must be on a host of this provider.
      if (endpoint === undefined || !isOwn(endpoint, { issuer: new URL(issuer), hosts })) return undefined;
      return oidc.buildEndSessionUrl(config, {
        post_logout_redirect_uri: returnTo,
        state,
        ...defined({ id_token_hint: idToken }),
      });
    },
  };
}

function isOwn(endpoint: string, provider: Parameters<typeof assertProviderUrl>[1]): boolean {
  try {
    assertProviderUrl(endpoint, provider);
    return true;
  } catch {
    return false;
  }
}
