/**
 * An OpenID Connect provider of any type, by openid-client; `vendors/` has the differences of each vendor.
 *
 * The checks here, with their standards: PKCE S256 (RFC 7636), `state` (RFC 6749 §10.12), `nonce` and the ID
 * token's `iss`, `aud`, `exp`, `iat` and signature (OpenID Connect Core §3.1.3.7), `iss` of the callback (RFC
 * 9207), `auth_time` where a fresh sign-in was requested. The signature is verified although TLS would do for the
 * code flow: a token that is signed by a key that the provider does not publish is invalid.
 */
import * as oidc from 'openid-client';
import { knownAsOf } from '../core/access/same-user.ts';
import { mapClaims } from '../core/identity/claims.ts';
import { groupsInOneText } from '../core/identity/claims-parts.ts';
import type { Claims, ClaimsMapping } from '../core/identity/types.ts';
import { AppError } from '../core/errors.ts';
import { accountOf, type Identity } from '../core/identity/identity.ts';
import { createProofRecord, malformedAuthTimeIn, proofIn, UnprovenSignIn } from './auth-time.ts';
import { cachedDiscovery, type Discovery, type DiscoveryOptions } from './discovery.ts';
import { callbackError, rejectsParameters, requestError } from './errors.ts';
import {
  createFreshSignInMethods,
  freshSignInDoubt,
  FreshProofMissing,
  mayProveOtherwise,
  type FreshnessSetting,
} from './fresh-sign-in.ts';
import {
  FRESH_SIGN_IN_METHODS,
  type IdentityProvider,
  type ProviderLogout,
  type ProviderSignIn,
  type SignInChallenge,
} from './types.ts';
import { createProviderLogout, sessionThere } from './logout.ts';
import { createUnstoredTokens } from './unstored-tokens.ts';
import { readErrorResponse } from './provider-response.ts';
import { assertNotFromFuture } from './provider-clock.ts';
import { refreshTokens, rejectionStreak } from './refresh.ts';
import { inOneStep } from './step-limit.ts';
import { OIDC, type Vendor } from './vendors/vendor.ts';
import { defined } from '../core/defined.ts';
import type { Outbound, OutboundRequest } from './outbound.ts';

export interface OidcProviderOptions extends DiscoveryOptions {
  /** As configured; absent: the vendor's. */
  readonly scopes?: readonly string[];
  /** Our public callback URL for this provider; one each, against mix-up (RFC 9700 §4.4). */
  readonly redirectUri: string;
  readonly mapping: ClaimsMapping;
  /** Absent: a provider that keeps to the standard. */
  readonly vendor?: Vendor;
  /** How the provider is asked to have a user authenticate again. Absent: by every method, one after the other. */
  readonly freshness?: FreshnessSetting;
  readonly log?: { info(facts: object, message: string): void; warn(facts: object, message: string): void };
  /** What ends here when a user signs out there. Absent: nothing. */
  readonly backchannelLogout?: ProviderLogout['reach'];
}

export function createOidcProvider(options: OidcProviderOptions): IdentityProvider {
  const { name, vendor = OIDC } = options;
  const { assertionAudience = 'issuer' as const } = vendor;
  const connection = { ...options, hosts: [...options.hosts, ...vendor.hosts], assertionAudience };
  const unstored = createUnstoredTokens();
  const observer = createRefreshObserver();
  const streak = rejectionStreak();
  const discovery = cachedDiscovery(connection, (outbound) => observer.observed(outbound));
  const { configuration, following } = discovery;
  const deps: SignInDeps = { ...options, following, noteGroups: groupsNoted(options) };

  const freshSignIn = createFreshSignInMethods(vendor.provesFreshness ? (options.freshness ?? 'auto') : 'none');

  const begin: IdentityProvider['begin'] = async ({ fresh = false, after } = {}) => {
    const config = await configuration();
    const method = fresh ? freshSignIn.next(after?.asked ?? []) : undefined;
    // The setting differs between the replicas of the two requests.
    if (fresh && freshSignIn.proves && method === undefined) {
      const message = `How ${name} is asked for a fresh sign-in has just changed here. Start again.`;
      throw new AppError('sign_in_expired', message, { reason: 'fresh_sign_in_needed' });
    }
    const challenge: SignInChallenge = {
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
      codeVerifier: oidc.randomPKCECodeVerifier(),
      ...(method === undefined
        ? {}
        : {
            freshSince: Math.floor(options.clock.nowMs() / 1000),
            asked: [...(after?.asked ?? []), method],
          }),
    };
    const scopes = options.scopes ?? vendor.scopes(config.serverMetadata().scopes_supported ?? []);
    // All of this passes through the user's browser, where an attacker may remove it; only the ID token counts.
    const url = oidc.buildAuthorizationUrl(config, {
      ...vendor.parameters({ fresh, authTime: method ?? freshSignIn.ordinary, scopes }),
      redirect_uri: options.redirectUri,
      scope: scopes.join(' '),
      state: challenge.state,
      nonce: challenge.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(challenge.codeVerifier),
      code_challenge_method: 'S256',
    });
    return { challenge, url };
  };

  let advertised: string | undefined;
  const proofs = createProofRecord(() => advertised);

  const prepare = async (): Promise<void> => {
    const metadata = (await configuration()).serverMetadata();
    const found = freshSignIn.proves ? freshSignInDoubt(metadata) : undefined;
    advertised = found?.doubt;
    if (found === undefined) return;
    const facts = { provider: name, ...found, setting: 'providers[].freshness' };
    options.log?.warn(facts, 'identity provider may not prove a fresh sign-in, which is needed after a revocation');
  };

  const finish: IdentityProvider['finish'] = async (callback, challenge) => {
    const { state, nonce, codeVerifier, freshSince } = challenge;
    const tried = methodsTried(challenge);
    const method = tried?.at(-1);
    const rejected = (rejection: AppError, mayTryAnother: boolean): AppError =>
      mayTryAnother && tried !== undefined && freshSignIn.next(tried) !== undefined
        ? new FreshProofMissing(rejection, { ...challenge, asked: tried })
        : rejection;
    // Not `maxAge` of openid-client: `proofIn` compares `auth_time`, with the same moment.
    const redeem = (config: oidc.Configuration): Promise<Tokens> =>
      oidc
        .authorizationCodeGrant(config, callback, {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: codeVerifier,
          idTokenExpected: true,
        })
        .catch(async (thrown: unknown) => {
          const sent = ['code', 'state'].flatMap((parameter) => callback.searchParams.getAll(parameter));
          throw await readErrorResponse(thrown, [...sent, state, nonce, codeVerifier, options.clientSecret?.()]);
        });
    const tokens = await following(redeem).catch((error: unknown) => {
      const malformed = malformedAuthTimeIn(error);
      if (malformed !== undefined) proofs.add(malformed, freshSince !== undefined);
      throw rejected(callbackError(name, error, method), rejectsParameters(error));
    });
    streak.reset();
    const idToken = tokens.claims();
    if (idToken === undefined) throw incomplete(name);
    const at = { nowMs: options.clock.nowMs(), clockSkew: options.clockSkew };
    assertNotFromFuture(name, idToken, at);
    const proof = proofIn(name, idToken, { ...at, freshSince });
    if (freshSince !== undefined || freshSignIn.ordinary === 'any_age') proofs.add(proof, freshSince !== undefined);
    const subject = vendor.subjectOf(idToken);
    if (typeof proof !== 'number' && freshSince !== undefined) {
      throw rejected(new UnprovenSignIn(name, proof, { subject }), mayProveOtherwise(proof, method));
    }
    const signIn = await signInOf(deps, { tokens, idToken, subject });
    const proven = typeof proof === 'number' ? { authTime: proof } : { unproven: proof };
    return { ...signIn, ...proven, ...sessionThere(idToken, tokens.id_token) };
  };

  const recheck: IdentityProvider['recheck'] = async (subject, refreshToken, keep) => {
    let asked = await configuration();
    const refresh = (config: oidc.Configuration): Promise<Tokens> => {
      asked = config;
      const token = unstored.of(refreshToken);
      const onNewToken = (came: string): void => unstored.remember(refreshToken, came);
      return observer
        .observe(token, onNewToken, () => oidc.refreshTokenGrant(config, token))
        .catch(async (thrown: unknown) => {
          throw await readErrorResponse(thrown, [token, options.clientSecret?.()]);
        });
    };
    const ask = (): Promise<Tokens> => following(refresh);
    const assertItself = (): Promise<void> => discovery.assertItself(asked);
    const tokens = await refreshTokens({ provider: name, ask, assertItself, streak }).catch(async (error: AppError) => {
      // A new refresh token may have come all the same, with an ID token that cannot be verified now.
      if (error.code !== 'sign_in_refused') await unstored.stored(refreshToken, keep);
      throw error;
    });
    const idToken = tokens.claims();
    // OpenID Connect Core §12.2: a refreshed ID token is about the same subject, or it is another user's.
    if (idToken !== undefined && vendor.subjectOf(idToken) !== subject) throw subjectChanged(name);
    const stored = await unstored.stored(refreshToken, keep);
    if (idToken !== undefined)
      assertNotFromFuture(name, idToken, { nowMs: options.clock.nowMs(), clockSkew: options.clockSkew });
    return { ...(await signInOf(deps, { tokens, idToken, subject })), refreshToken: stored };
  };

  return {
    name,
    provesFreshness: freshSignIn.proves,
    ...(freshSignIn.proves ? { freshSignInDoubt: () => proofs.doubt() } : {}),
    logout: createProviderLogout({ ...connection, reach: options.backchannelLogout ?? 'off', ...discovery }),
    prepare: () => inOneStep(prepare),
    begin: (wanted) => inOneStep(() => begin(wanted)),
    finish: (callback, challenge) => inOneStep(() => finish(callback, challenge)),
    recheck: (subject, refreshToken, keep) => inOneStep(() => recheck(subject, refreshToken, keep)),
  };
}

type Tokens = oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers;

interface SignInDeps extends OidcProviderOptions, Pick<Discovery, 'following'> {
  readonly noteGroups: (claims: Claims, identity: Identity) => void;
}

interface TokenResult {
  readonly tokens: Tokens;
  readonly idToken: (Claims & { readonly sub: string }) | undefined;
  readonly subject: string;
}

/**
 * Maps tokens to an identity. A refresh may come without an ID token (OpenID Connect Core §12.2): then UserInfo
 * has to have the claims.
 */
async function signInOf(deps: SignInDeps, { tokens, idToken, subject }: TokenResult): Promise<ProviderSignIn> {
  const { name, mapping, following, vendor = OIDC } = deps;
  const more = vendor.userInfo ? await userInfo(name, following, tokens.access_token, idToken?.sub ?? subject) : {};
  const verified: Claims = { ...more, ...idToken };
  if (Object.keys(verified).length === 0) throw incomplete(name);
  const claims = (await vendor.complete?.(verified, tokens.access_token)) ?? verified;
  const mapped = mapClaims(mapping, claims, accountOf(name, subject));
  if (!mapped.ok) throw new AppError('sign_in_refused', mapped.reason.message, { reason: mapped.reason.reason });
  deps.noteGroups(claims, mapped.value);
  return {
    subject,
    identity: mapped.value,
    knownAs: knownAsOf(mapping, claims, mapped.value),
    ...defined({ refreshToken: tokens.refresh_token }),
  };
}

/** Logs once that groups came as one text, which counts as one group. */
function groupsNoted({ name, mapping, log }: OidcProviderOptions): SignInDeps['noteGroups'] {
  let logged = false;
  return (claims, identity) => {
    const claim = logged ? undefined : groupsInOneText(mapping, claims, identity);
    if (claim === undefined) return;
    logged = true;
    const facts = { provider: name, claim, setting: 'providers[].groups' };
    log?.warn(facts, 'groups came as one text and count as one group; if they are several, split them');
  };
}

/**
 * Reads claims that the provider returns at its UserInfo endpoint only (groups, at several). The subject must be
 * the ID token's (OpenID Connect Core §5.3.2), else an attacker could substitute another user's claims.
 */
async function userInfo(
  name: string,
  following: Discovery['following'],
  accessToken: string,
  subject: string,
): Promise<Claims> {
  const ask = async (config: oidc.Configuration): Promise<Claims> => {
    if (config.serverMetadata().userinfo_endpoint === undefined) return {};
    return oidc.fetchUserInfo(config, accessToken, subject).catch(async (thrown: unknown) => {
      throw await readErrorResponse(thrown, [accessToken]);
    });
  };
  return following(ask).catch((error: unknown) => {
    throw requestError(name, error, 'userinfo');
  });
}

/** Returns the methods that were tried. A login transaction from a version without steps was asked by the first one. */
const methodsTried = ({ asked, freshSince }: SignInChallenge): SignInChallenge['asked'] =>
  asked ?? (freshSince === undefined ? undefined : FRESH_SIGN_IN_METHODS.slice(0, 1));

const incomplete = (name: string): AppError =>
  new AppError('provider_unavailable', `${name} did not say who signed in. Try again, or tell your platform team.`, {
    reason: 'provider_answer_incomplete',
  });

const subjectChanged = (name: string): AppError =>
  new AppError('sign_in_refused', `${name} now returns another user. Sign in again.`, {
    reason: 'subject_changed',
  });

/**
 * Observes refresh responses, for new refresh tokens.
 *
 * openid-client returns the response to a refresh only after it has verified the ID token in it, for which the
 * provider's keys may have to be read. If that fails, the new refresh token is lost, and the old one is used: a
 * provider takes its second use for theft.
 */
interface RefreshObserver {
  /** Returns the same requests, observed. */
  observed(outbound: Outbound): Outbound;
  /**
   * @param onNewToken called with the new refresh token that comes for `presented`, if one does, before anything
   *   else in the response is checked
   */
  observe<T>(presented: string, onNewToken: (newest: string) => void, ask: () => Promise<T>): Promise<T>;
}

function createRefreshObserver(): RefreshObserver {
  const awaited = new Map<string, (newest: string) => void>();
  return {
    observed: (outbound) => async (url, request) => {
      const response = await outbound(url, request);
      const onNewToken = awaited.get(presentedIn(request));
      if (onNewToken !== undefined && response.status === 200) {
        const newest = await newestIn(response.clone());
        if (newest !== undefined) onNewToken(newest);
      }
      return response;
    },
    async observe(presented, onNewToken, ask) {
      awaited.set(presented, onNewToken);
      try {
        return await ask();
      } finally {
        awaited.delete(presented);
      }
    },
  };
}

/** RFC 6749 §6. */
const presentedIn = ({ body }: OutboundRequest): string =>
  (body instanceof URLSearchParams ? body.get('refresh_token') : undefined) ?? '';

/** RFC 6749 §5.1. */
async function newestIn(response: Response): Promise<string | undefined> {
  const body: unknown = await response.json().catch(() => undefined);
  if (typeof body !== 'object' || body === null || !('refresh_token' in body)) return undefined;
  return typeof body.refresh_token === 'string' && body.refresh_token !== '' ? body.refresh_token : undefined;
}
