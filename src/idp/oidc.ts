/**
 * A generic OpenID Connect provider, by openid-client.
 *
 * What is checked here, with where it is asked for: PKCE S256 (RFC 7636), `state` (RFC 6749 §10.12), `nonce` and the ID token's
 * `iss`, `aud`, `exp` and signature (OpenID Connect Core §3.1.3.7), `iss` of the callback (RFC 9207), `auth_time` where a fresh sign-in
 * was asked for. The signature is verified although TLS would do for the code flow: a token signed by a key that the provider does not
 * publish is nonsense.
 */
import * as oidc from 'openid-client';
import { mapClaims, type Claims, type ClaimsMapping } from '../core/claims.ts';
import { AppError } from '../core/errors.ts';
import { accountOf } from '../core/identity.ts';
import type { IdentityProvider, ProviderSignIn, SignInChallenge } from './idp.ts';
import { assertProviderUrl, createOutbound, isLoopbackHost, type OutboundOptions } from './outbound.ts';
import { callbackFault, tokenFault } from './faults.ts';

/** Clocks of providers differ; a minute is what the field allows for (seconds). */
const CLOCK_TOLERANCE_SECONDS = 60;
/** How long a provider's metadata is believed before it is read again. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;

export interface OidcProviderOptions {
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  /** Called at each use, so that a rotated secret needs no restart; undefined: a public client. */
  readonly clientSecret?: () => string;
  readonly ca?: string;
  readonly hosts: readonly string[];
  /** As configured; absent: what the provider offers of what the gate can use. */
  readonly scopes?: readonly string[];
  /** Our public callback URL for this provider; one each, against mix-up (RFC 9700 §4.4). */
  readonly redirectUri: string;
  readonly mapping: ClaimsMapping;
  readonly now: () => number;
}

export function createOidcProvider(options: OidcProviderOptions): IdentityProvider {
  const configuration = cachedDiscovery(options);

  const identify = (subject: string, claims: Claims, refreshToken: string | undefined): ProviderSignIn => {
    const mapped = mapClaims(options.mapping, claims, accountOf(options.name, subject));
    if (!mapped.ok) throw new AppError('sign_in_refused', mapped.reason.message, { reason: mapped.reason.reason });
    return {
      subject,
      identity: mapped.value,
      ...(refreshToken === undefined ? {} : { refreshToken }),
      ...(typeof claims['auth_time'] === 'number' ? { authTime: claims['auth_time'] } : {}),
    };
  };

  return {
    name: options.name,
    provesFreshness: true,

    async begin({ fresh = false } = {}) {
      const config = await configuration();
      const challenge: SignInChallenge = {
        state: oidc.randomState(),
        nonce: oidc.randomNonce(),
        codeVerifier: oidc.randomPKCECodeVerifier(),
        ...(fresh ? { freshSince: Math.floor(options.now() / 1000) } : {}),
      };
      const scopes = options.scopes ?? offeredScopes(config);
      const url = oidc.buildAuthorizationUrl(config, {
        redirect_uri: options.redirectUri,
        scope: scopes.join(' '),
        state: challenge.state,
        nonce: challenge.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(challenge.codeVerifier),
        code_challenge_method: 'S256',
        ...prompts(fresh, scopes.includes('offline_access')),
      });
      return { challenge, url };
    },

    async finish(callback, challenge) {
      const config = await configuration();
      const tokens = await oidc
        .authorizationCodeGrant(config, callback, {
          expectedState: challenge.state,
          expectedNonce: challenge.nonce,
          pkceCodeVerifier: challenge.codeVerifier,
          idTokenExpected: true,
          ...oldestProof(challenge, options.now()),
        })
        .catch((error: unknown) => {
          throw callbackFault(options.name, error, challenge.freshSince !== undefined);
        });
      const idToken = tokens.claims();
      if (idToken === undefined) throw incomplete(options.name);
      const claims = { ...(await userInfo(options.name, config, tokens.access_token, idToken.sub)), ...idToken };
      return identify(idToken.sub, claims, tokens.refresh_token);
    },

    async recheck(subject, refreshToken) {
      const config = await configuration();
      const tokens = await oidc.refreshTokenGrant(config, refreshToken).catch((error: unknown) => {
        throw tokenFault(options.name, error);
      });
      const idToken = tokens.claims();
      // OpenID Connect Core §12.2: a refreshed ID token is about the same subject, or it is somebody else's.
      if (idToken !== undefined && idToken.sub !== subject) {
        throw new AppError('sign_in_refused', `${options.name} now answers for another person. Sign in again.`, {
          reason: 'subject_changed',
        });
      }
      const claims = { ...(await userInfo(options.name, config, tokens.access_token, subject)), ...idToken };
      if (Object.keys(claims).length === 0) throw incomplete(options.name);
      return identify(subject, claims, tokens.refresh_token);
    },
  };
}

/**
 * OpenID Connect Core §3.1.2.1. Threat: these pass through the person's browser, which may strip them; what counts is the `auth_time`
 * that comes back in the ID token.
 */
function prompts(fresh: boolean, offline: boolean): { readonly prompt?: string; readonly max_age?: string } {
  // Section 11: a refresh token is given for offline_access only together with consent.
  const prompt = [...(fresh ? ['login'] : []), ...(offline ? ['consent'] : [])].join(' ');
  return { ...(prompt === '' ? {} : { prompt }), ...(fresh ? { max_age: '0' } : {}) };
}

/**
 * A person may take minutes from their password to the last page, so the proof must be younger than this trip, not than this moment.
 * @param now epoch milliseconds
 */
function oldestProof({ freshSince }: SignInChallenge, now: number): { readonly maxAge?: number } {
  return freshSince === undefined ? {} : { maxAge: Math.max(0, Math.floor(now / 1000) - freshSince) };
}

/** `groups` and `offline_access` are refused by providers that do not know them (Google, for one), so they are asked for where listed. */
function offeredScopes(config: oidc.Configuration): readonly string[] {
  const offered = config.serverMetadata().scopes_supported ?? [];
  return ['openid', 'profile', 'email', ...['groups', 'offline_access'].filter((scope) => offered.includes(scope))];
}

/**
 * Claims that the provider gives at its UserInfo endpoint only (groups, at several). The subject must be the ID token's
 * (OpenID Connect Core §5.3.2), else another person's claims could be substituted.
 */
async function userInfo(
  name: string,
  config: oidc.Configuration,
  accessToken: string,
  subject: string,
): Promise<Claims> {
  if (config.serverMetadata().userinfo_endpoint === undefined) return {};
  return oidc.fetchUserInfo(config, accessToken, subject).catch((error: unknown) => {
    throw tokenFault(name, error);
  });
}

const incomplete = (name: string): AppError =>
  new AppError('provider_unavailable', `${name} did not say who signed in. Try again, or tell your platform team.`, {
    reason: 'provider_answer_incomplete',
  });

function cachedDiscovery(options: OidcProviderOptions): () => Promise<oidc.Configuration> {
  let cached: { readonly promise: Promise<oidc.Configuration>; readonly until: number } | undefined;
  return () => {
    if (cached !== undefined && options.now() < cached.until) return cached.promise;
    const promise = discover(options);
    const entry = { promise, until: options.now() + DISCOVERY_TTL_MS };
    cached = entry;
    // A failure is not remembered: the next person tries again.
    promise.catch(() => {
      if (cached === entry) cached = undefined;
    });
    return promise;
  };
}

async function discover(options: OidcProviderOptions): Promise<oidc.Configuration> {
  const issuer = new URL(options.issuer);
  const outboundOptions: OutboundOptions = {
    issuer,
    hosts: options.hosts,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  };
  const outbound = createOutbound(outboundOptions);
  const plain = issuer.protocol === 'http:' && isLoopbackHost(issuer.hostname);
  try {
    const config = await oidc.discovery(
      issuer,
      options.clientId,
      { [oidc.clockTolerance]: CLOCK_TOLERANCE_SECONDS },
      clientAuthentication(options.clientSecret),
      {
        [oidc.customFetch]: outbound,
        execute: [oidc.enableNonRepudiationChecks, ...(plain ? [oidc.allowInsecureRequests] : [])],
      },
    );
    const metadata = config.serverMetadata();
    const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = metadata;
    if (authorization_endpoint === undefined || token_endpoint === undefined || jwks_uri === undefined) {
      throw new Error('discovery lacks authorization_endpoint, token_endpoint or jwks_uri');
    }
    for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint]) {
      if (endpoint !== undefined) assertProviderUrl(endpoint, outboundOptions);
    }
    return config;
  } catch (error) {
    throw tokenFault(options.name, error);
  }
}

/** `client_secret_basic` is the default of RFC 8414 §2 where a provider does not say; `client_secret_post` where it lacks basic. */
function clientAuthentication(secret: (() => string) | undefined): oidc.ClientAuth {
  if (secret === undefined) return oidc.None();
  return (as, client, body, headers) => {
    const methods = as.token_endpoint_auth_methods_supported;
    const post =
      methods !== undefined && !methods.includes('client_secret_basic') && methods.includes('client_secret_post');
    const method = post ? oidc.ClientSecretPost(secret()) : oidc.ClientSecretBasic(secret());
    method(as, client, body, headers);
  };
}
