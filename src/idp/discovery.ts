/** A provider's metadata (OpenID Connect Discovery), read again every hour, and the client that follows it. */
import * as oidc from 'openid-client';
import type { Clock } from '../contracts/clock.ts';
import { isRecent } from '../core/time.ts';
import {
  createClientAuthentication,
  type ClientAuthentication,
  type ClientAuthenticationOptions,
} from './client-authentication.ts';
import {
  assertProviderUrl,
  createOutbound,
  isLoopbackHost,
  reachOf,
  type Outbound,
  type OutboundOptions,
  type Reach,
} from './outbound.ts';
import { InvalidResponse, requestError } from './errors.ts';
import { readErrorResponse } from './provider-response.ts';
import { DEFAULT_CLOCK_SKEW_SECONDS } from './provider-clock.ts';
import { limitedToStep } from './step-limit.ts';

/** How long a provider's metadata is used before it is read again. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;
/**
 * How long a provider's keys are used. Within it a removed key still counts, and a new one does not. An attacker
 * who sends tokens with invented key ids causes no more than one request to the provider in that time.
 */
const KEYS_TTL_MS = 30_000;

export interface DiscoveryOptions extends ClientAuthenticationOptions, Reach {
  readonly issuer: string;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  /** `clockSkew`, seconds. Absent: a minute. */
  readonly clockSkew?: number;
  /** Called with each response, including those of the token endpoint. */
  readonly onResponse?: OutboundOptions['onResponse'];
}

export interface Discovery {
  /** Returns the client that follows the provider's metadata. */
  readonly configuration: () => Promise<oidc.Configuration>;
  /**
   * Reads discovery and the keys again, whatever is cached of them.
   * @throws AppError `provider_unavailable` where either cannot be read, or the token endpoint is not where we ask
   */
  readonly assertItself: () => Promise<void>;
}

/** @param observed wraps the client's requests */
export function cachedDiscovery(options: DiscoveryOptions, observed: (outbound: Outbound) => Outbound): Discovery {
  const outboundOptions: OutboundOptions = {
    issuer: new URL(options.issuer),
    hosts: options.hosts,
    ...reachOf(options),
    ...(options.onResponse === undefined ? {} : { onResponse: options.onResponse }),
  };
  const outbound = limitedToStep(createOutbound(outboundOptions));
  // One for the lifetime of the provider: it remembers how the provider takes the secret.
  const client = createClientAuthentication(options, outboundOptions);
  const read = (): Promise<oidc.ServerMetadata> => discover(options, outboundOptions, { outbound, client });
  const metadata = cached(DISCOVERY_TTL_MS, options.clock, read);
  return {
    // openid-client keeps keys for five minutes with the client that read them, so the client is created again.
    configuration: cached(KEYS_TTL_MS, options.clock, async () => {
      const known = await metadata();
      return clientOf(options, known, { outbound: observed(client.proving(outbound, known)), client });
    }),
    async assertItself() {
      const [known, current] = [await metadata(), await read()];
      try {
        // Discovery is cached for an hour: the response may have come from the endpoint's old address.
        if (current.token_endpoint !== known.token_endpoint)
          throw new InvalidResponse('discovery names another token endpoint');
        await assertKeys(current.jwks_uri ?? '', outbound);
      } catch (error) {
        throw requestError(options.name, error);
      }
    },
  };
}

interface ClientContext {
  readonly outbound: Outbound;
  readonly client: ClientAuthentication;
}

/** Checks that the provider's keys can be read (RFC 7517 §5). @throws where the response is no key set */
async function assertKeys(jwksUri: string, outbound: Outbound): Promise<void> {
  const response = await outbound(jwksUri, { method: 'GET', headers: { accept: 'application/json' } });
  if (response.status !== 200) throw new InvalidResponse(`the keys were answered with ${response.status}`);
  const set: unknown = await response.json();
  if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys) || set.keys.length === 0)
    throw new InvalidResponse('the keys are not a key set');
}

/** @returns the result of `make`, for `ttlMs`. A failure is not cached: the next user tries again. */
function cached<T>(ttlMs: number, clock: Clock, make: () => Promise<T>): () => Promise<T> {
  let held: { readonly promise: Promise<T>; readonly since: number } | undefined;
  return () => {
    if (held !== undefined && isRecent(held.since, clock.nowMs(), ttlMs)) return held.promise;
    const promise = make();
    const entry = { promise, since: clock.nowMs() };
    held = entry;
    promise.catch(() => {
      if (held === entry) held = undefined;
    });
    return promise;
  };
}

async function discover(
  options: DiscoveryOptions,
  outboundOptions: OutboundOptions,
  { outbound, client }: ClientContext,
): Promise<oidc.ServerMetadata> {
  try {
    const config = await oidc.discovery(outboundOptions.issuer, options.clientId, undefined, oidc.None(), {
      [oidc.customFetch]: outbound,
      execute: isPlain(outboundOptions.issuer) ? [oidc.allowInsecureRequests] : [],
    });
    const metadata = client.at(config.serverMetadata());
    // openid-client lets Microsoft's hosts name another issuer. An attacker with another tenant could use that, so
    // both must be the same (Discovery §4.3).
    if (URL.parse(metadata.issuer)?.href !== outboundOptions.issuer.href)
      throw new InvalidResponse('discovery names another issuer');
    const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = metadata;
    if (authorization_endpoint === undefined || token_endpoint === undefined || jwks_uri === undefined) {
      throw new InvalidResponse('discovery lacks authorization_endpoint, token_endpoint or jwks_uri');
    }
    for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint]) {
      if (endpoint !== undefined) assertProviderUrl(endpoint, outboundOptions);
    }
    return metadata;
  } catch (error) {
    throw requestError(options.name, await readErrorResponse(error, []));
  }
}

function clientOf(
  { clientId, issuer, clockSkew = DEFAULT_CLOCK_SKEW_SECONDS }: DiscoveryOptions,
  metadata: oidc.ServerMetadata,
  { outbound, client }: ClientContext,
): oidc.Configuration {
  const tolerance = { [oidc.clockTolerance]: clockSkew };
  const config = new oidc.Configuration(metadata, clientId, tolerance, client.method);
  config[oidc.customFetch] = outbound;
  oidc.enableNonRepudiationChecks(config);
  if (isPlain(new URL(issuer))) oidc.allowInsecureRequests(config);
  return config;
}

const isPlain = ({ protocol, hostname }: URL): boolean => protocol === 'http:' && isLoopbackHost(hostname);
