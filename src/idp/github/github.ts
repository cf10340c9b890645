/**
 * GitHub, at github.com or an Enterprise host: OAuth without OpenID Connect.
 *
 * Owns: the redirect and the callback (code, PKCE, state), and from GitHub's API to claims. Must not know: our own
 * tokens, pages, sessions or Kubernetes.
 *
 * There is no ID token: the user's identity is what the API returns over TLS for a token that was issued for our
 * client and our code verifier. The subject is the numeric id: a login can be changed, and then be taken by
 * another user.
 */
import type { Clock } from '../../contracts/clock.ts';
import { knownAsOf } from '../../core/access/same-user.ts';
import { mapClaims } from '../../core/identity/claims.ts';
import { PROVIDERS } from '../../core/identity/provider-types.ts';
import { type ClaimsMapping } from '../../core/identity/types.ts';
import { accountOf } from '../../core/identity/identity.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import type { IdentityProvider, ProviderSignIn } from '../types.ts';
import { createUnstoredTokens } from '../unstored-tokens.ts';
import { createOutbound, reachOf, type OutboundOptions, type Reach } from '../outbound.ts';
import { createGithubApi } from './api.ts';
import { authorizationUrl, codeOf, newChallenge } from './callback.ts';
import { githubEndpoints } from './endpoints.ts';
import { refreshRejected, rejected } from './errors.ts';
import type { OrganizationName } from './organizations.ts';
import { createUserReader, type GithubUser } from './user.ts';
import { createTokenEndpoint, isExpiring, packTokens, unpackTokens, type GithubTokens } from './tokens.ts';
import { defined } from '../../core/defined.ts';

/** For all requests of one sign-in or re-check; shorter than a re-check's claim on its session (30 s). */
const DEADLINE_MS = 25_000;

export interface GithubProviderOptions extends Reach {
  readonly name: string;
  /** `github.com`, `SUBDOMAIN.ghe.com` or an Enterprise Server's host, with its port if it has one. */
  readonly host: string;
  readonly clientId: string;
  /** Called at each use, so that a rotated secret needs no restart. */
  readonly clientSecret: () => string;
  /** Organisations whose members may sign in, and whose teams count. Absent: any account there. */
  readonly organizations?: readonly OrganizationName[];
  /** Our public callback URL for this provider; one each, against mix-up (RFC 9700 §4.4). */
  readonly redirectUri: string;
  readonly mapping: ClaimsMapping;
  readonly clock: Clock;
  readonly log?: { info(fields: object, message: string): void };
  /** Called with each response, including those of the token endpoint. */
  readonly onResponse?: OutboundOptions['onResponse'];
}

export function createGithubProvider(options: GithubProviderOptions): IdentityProvider {
  const { name, redirectUri } = options;
  const endpoints = githubEndpoints(options.host);
  const outbound = createOutbound({
    issuer: endpoints.origin,
    hosts: [new URL(endpoints.api).hostname],
    ...reachOf(options),
    ...defined({ onResponse: options.onResponse }),
  });
  const api = createGithubApi({ provider: name, base: endpoints.api, outbound, clock: options.clock });
  const { mapping, organizations } = options;
  const reader = createUserReader({ provider: name, origin: endpoints.origin, mapping, organizations, api });
  const tokenEndpoint = createTokenEndpoint({ ...options, provider: name, url: endpoints.token, outbound });
  const newest = createUnstoredTokens();

  const signIn = ({ subject, claims }: GithubUser, tokens: GithubTokens): ProviderSignIn => {
    const mapped = mapClaims(mapping, claims, accountOf(name, subject));
    if (!mapped.ok) throw rejected(mapped.reason.reason, mapped.reason.message);
    const knownAs = knownAsOf(mapping, claims, mapped.value);
    return { subject, identity: mapped.value, knownAs, refreshToken: packTokens(tokens) };
  };

  /** @param keep called with the result of a refresh before anything else can fail: a refresh token may be used once */
  const current = async (packed: string, signal: AbortSignal, keep?: (packed: string) => Promise<void>) => {
    const tokens = unpackTokens(name, newest.of(packed));
    if (!isExpiring(tokens, options.clock.nowMs())) return tokens;
    if (tokens.refreshToken === undefined) throw refreshRejected(name);
    const renewed = await tokenEndpoint.refresh(tokens.refreshToken, signal);
    newest.remember(packed, packTokens(renewed));
    await newest.stored(packed, keep);
    return renewed;
  };
  const deadline = (): AbortSignal => timeoutSignal(DEADLINE_MS);

  return {
    name,
    provesFreshness: PROVIDERS.github.provesFreshness,

    async begin({ fresh = false } = {}) {
      const challenge = newChallenge();
      const { clientId } = options;
      const parameters = { authorize: endpoints.authorize, clientId, redirectUri, scopes: reader.scopes, fresh };
      return { challenge, url: authorizationUrl(challenge, parameters) };
    },

    async finish(callback, challenge) {
      const code = codeOf(callback, challenge, { provider: name, redirectUri, origin: endpoints.origin });
      const signal = deadline();
      const tokens = await tokenEndpoint.redeem(code, challenge.codeVerifier, signal);
      const user = await reader.read({ token: tokens.accessToken, signal });
      if (user.leftOut.length > 0) {
        const message = 'organisations with single sign-on were left out: this sign-in is not authorised for them';
        options.log?.info({ provider: name, subject: user.subject, organizations: user.leftOut }, message);
      }
      return signIn(user, tokens);
    },

    async recheck(subject, packed, keep) {
      const signal = deadline();
      const tokens = await current(packed, signal, keep);
      const user = await reader.read({ token: tokens.accessToken, signal });
      if (user.subject !== subject) {
        throw rejected('subject_changed', `${name} now returns another user. Sign in again.`);
      }
      return signIn(user, tokens);
    },
  };
}
