/** What a provider says of itself (OpenID Connect Discovery), read again every hour, and the client that follows it. */
import * as oidc from 'openid-client';
import { isYoung } from './age.ts';
import { assertProviderUrl, createOutbound, isLoopbackHost, type Outbound, type OutboundOptions } from './outbound.ts';
import { tokenFault } from './faults.ts';

/** Clocks of providers differ; a minute is what the field allows for (seconds). */
const CLOCK_TOLERANCE_SECONDS = 60;
/** How long a provider's metadata is believed before it is read again. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;
/**
 * How long a provider's keys are believed. Within it a key that was taken away still counts, and one that is new does not; and whoever sends
 * tokens with key ids of their own making costs the provider no more than one request.
 */
const KEYS_TTL_MS = 30_000;

export interface DiscoveryOptions {
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  /** Called at each use, so that a rotated secret needs no restart; undefined: a public client. */
  readonly clientSecret?: () => string;
  readonly ca?: () => string;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * @param overheard what the client asks goes through this
 * @returns a function that throws `AppError` `provider_unavailable` where there is no metadata that can be trusted
 */
export function cachedDiscovery(
  options: DiscoveryOptions,
  overheard: (outbound: Outbound) => Outbound,
): () => Promise<oidc.Configuration> {
  const place: OutboundOptions = {
    issuer: new URL(options.issuer),
    hosts: options.hosts,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  };
  const outbound = createOutbound(place);
  const metadata = remembered(DISCOVERY_TTL_MS, options.now, () => discover(options, place, outbound));
  // openid-client keeps keys for five minutes with the client that read them, so the client is what is made anew.
  return remembered(KEYS_TTL_MS, options.now, async () => clientOf(options, await metadata(), overheard(outbound)));
}

/** @returns what `make` made, for `ttlMs`. A failure is not remembered: the next person tries again. */
function remembered<T>(ttlMs: number, now: () => number, make: () => Promise<T>): () => Promise<T> {
  let held: { readonly promise: Promise<T>; readonly since: number } | undefined;
  return () => {
    if (held !== undefined && isYoung(ttlMs, { since: held.since, now: now() })) return held.promise;
    const promise = make();
    const entry = { promise, since: now() };
    held = entry;
    promise.catch(() => {
      if (held === entry) held = undefined;
    });
    return promise;
  };
}

async function discover(
  options: DiscoveryOptions,
  place: OutboundOptions,
  outbound: Outbound,
): Promise<oidc.ServerMetadata> {
  try {
    const config = await oidc.discovery(place.issuer, options.clientId, undefined, oidc.None(), {
      [oidc.customFetch]: outbound,
      execute: isPlain(place.issuer) ? [oidc.allowInsecureRequests] : [],
    });
    const metadata = config.serverMetadata();
    // Threat: openid-client lets Microsoft's hosts name another issuer, which would be another tenant (Discovery §4.3 has them the same).
    if (URL.parse(metadata.issuer)?.href !== place.issuer.href) throw new Error('discovery names another issuer');
    const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = metadata;
    if (authorization_endpoint === undefined || token_endpoint === undefined || jwks_uri === undefined) {
      throw new Error('discovery lacks authorization_endpoint, token_endpoint or jwks_uri');
    }
    for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint]) {
      if (endpoint !== undefined) assertProviderUrl(endpoint, place);
    }
    return metadata;
  } catch (error) {
    throw tokenFault(options.name, error);
  }
}

function clientOf(
  { clientId, clientSecret, issuer }: DiscoveryOptions,
  metadata: oidc.ServerMetadata,
  outbound: Outbound,
): oidc.Configuration {
  const tolerance = { [oidc.clockTolerance]: CLOCK_TOLERANCE_SECONDS };
  const config = new oidc.Configuration(metadata, clientId, tolerance, clientAuthentication(clientSecret));
  config[oidc.customFetch] = outbound;
  oidc.enableNonRepudiationChecks(config);
  if (isPlain(new URL(issuer))) oidc.allowInsecureRequests(config);
  return config;
}

const isPlain = ({ protocol, hostname }: URL): boolean => protocol === 'http:' && isLoopbackHost(hostname);

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
