/** What a provider says of itself (OpenID Connect Discovery), read again every hour, and the client that follows it. */
import * as oidc from 'openid-client';
import type { Clock } from '../contracts/clock.ts';
import { isRecent } from '../core/time.ts';
import {
  createClientAuthentication,
  type ClientAuthentication,
  type ClientAuthenticationOptions,
} from './client-authentication.ts';
import { assertProviderUrl, createOutbound, isLoopbackHost, type Outbound, type OutboundOptions } from './outbound.ts';
import { InvalidResponse, requestError } from './errors.ts';
import { readErrorResponse } from './provider-response.ts';
import { DEFAULT_CLOCK_SKEW_SECONDS } from './provider-clock.ts';
import { limitedToStep } from './step-limit.ts';

/** How long a provider's metadata is believed before it is read again. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;
/**
 * How long a provider's keys are believed. Within it a key that was taken away still counts, and one that is new does not; and whoever sends
 * tokens with key ids of their own making costs the provider no more than one request.
 */
const KEYS_TTL_MS = 30_000;

export interface DiscoveryOptions extends ClientAuthenticationOptions {
  readonly issuer: string;
  readonly ca?: () => string;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  /** `clockSkew`, seconds. Absent: a minute. */
  readonly clockSkew?: number;
  /** Is told of each response, those of the token endpoint included. */
  readonly onResponse?: OutboundOptions['onResponse'];
}

export interface Discovery {
  /**
   * The client that follows the provider's metadata.
   * @throws AppError `provider_unavailable` where there is no metadata that can be trusted
   */
  readonly configuration: () => Promise<oidc.Configuration>;
  /**
   * Reads discovery and the keys anew, whatever is remembered of them.
   * @throws AppError `provider_unavailable` where either is not there, or the token endpoint is not where we ask
   */
  readonly assertItself: () => Promise<void>;
}

/** @param overheard what the client asks goes through this */
export function cachedDiscovery(options: DiscoveryOptions, observed: (outbound: Outbound) => Outbound): Discovery {
  const outboundOptions: OutboundOptions = {
    issuer: new URL(options.issuer),
    hosts: options.hosts,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.onResponse === undefined ? {} : { onResponse: options.onResponse }),
  };
  const outbound = limitedToStep(createOutbound(outboundOptions));
  // One for as long as the provider is ours: it remembers how the provider takes the secret.
  const client = createClientAuthentication(options, outboundOptions);
  const read = (): Promise<oidc.ServerMetadata> => discover(options, outboundOptions, { outbound, client });
  const metadata = cached(DISCOVERY_TTL_MS, options.clock, read);
  return {
    // openid-client keeps keys for five minutes with the client that read them, so the client is what is made anew.
    configuration: cached(KEYS_TTL_MS, options.clock, async () => {
      const known = await metadata();
      return clientOf(options, known, { outbound: observed(client.proving(outbound, known)), client });
    }),
    async assertItself() {
      const [known, current] = [await metadata(), await read()];
      try {
        // Discovery is remembered for an hour: what answered may be the address at which the endpoint was before.
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

/** RFC 7517 §5. @throws where the answer is no key set */
async function assertKeys(jwksUri: string, outbound: Outbound): Promise<void> {
  const response = await outbound(jwksUri, { method: 'GET', headers: { accept: 'application/json' } });
  if (response.status !== 200) throw new InvalidResponse(`the keys were answered with ${response.status}`);
  const set: unknown = await response.json();
  if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys) || set.keys.length === 0)
    throw new InvalidResponse('the keys are no key set');
}

/** @returns what `make` made, for `ttlMs`. A failure is not remembered: the next person tries again. */
function cached<T>(ttlMs: number, clock: Clock, make: () => Promise<T>): () => Promise<T> {
  let held: { readonly promise: Promise<T>; readonly since: number } | undefined;
  return () => {
    if (held !== undefined && isRecent(held.since, clock.now(), ttlMs)) return held.promise;
    const promise = make();
    const entry = { promise, since: clock.now() };
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
    // Threat: openid-client lets Microsoft's hosts name another issuer, which would be another tenant (Discovery §4.3 has them the same).
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
