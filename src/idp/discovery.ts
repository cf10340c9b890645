/** A provider's metadata (OpenID Connect Discovery), and the client that follows it as it changes. */
import { setTimeout as delay } from 'node:timers/promises';
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
import { InvalidResponse, isAboutClaims, isGone, requestError } from './errors.ts';
import { FailedCheck } from './failed-check.ts';
import { keepingResponse, keptResponses, type KeptResponse } from './kept-response.ts';
import { readErrorResponse } from './provider-response.ts';
import { DEFAULT_CLOCK_SKEW_SECONDS } from './provider-clock.ts';
import { limitedToStep } from './step-limit.ts';
import { defined } from '../core/defined.ts';

/** For how long metadata that cannot be read again is used. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;
/**
 * How old a provider's metadata and keys may be. A removed key counts no longer than that. The request that
 * finds it too old waits for the reading, and not for long: a provider whose discovery hangs keeps no one out who needs
 * nothing new.
 */
const FRESH_MS = 30_000;
/** How long the request that finds it too old waits for the reading. Milliseconds. */
const READING_MS = 1_000;
/**
 * How often metadata and keys are read again because of a token that does not fit them. An attacker who sends logout
 * tokens with invented key ids causes no more than one reading in that time.
 */
const COOLDOWN_MS = 30_000;

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
  /** The same, after metadata and keys were read again, unless that was done a moment ago. */
  readonly renewed: () => Promise<oidc.Configuration>;
  /**
   * Makes one request, and verifies its response. A provider changes its algorithm, keys or endpoints from one moment to
   * the next: where the response does not fit what is known of it, all is read again, and the same response is
   * verified by that. Where the endpoint is gone, it is asked at its new address.
   *
   * An attacker gains nothing by a token that does not fit: it has to fit what the provider publishes, by a signature
   * with a private key.
   * @param ask rejects with the result of `readErrorResponse`; called twice at most
   */
  readonly following: <T>(ask: (config: oidc.Configuration) => Promise<T>) => Promise<T>;
  /**
   * Reads discovery and the keys again, whatever is cached of them.
   * @throws AppError `provider_unavailable` where either cannot be read, or the token endpoint is not where `asked` was
   */
  readonly assertItself: (asked: oidc.Configuration) => Promise<void>;
}

/** @param observed wraps the client's requests */
export function cachedDiscovery(options: DiscoveryOptions, observed: (outbound: Outbound) => Outbound): Discovery {
  const { clock } = options;
  const outboundOptions: OutboundOptions = {
    issuer: new URL(options.issuer),
    hosts: options.hosts,
    ...reachOf(options),
    ...defined({ onResponse: options.onResponse }),
  };
  const outbound = limitedToStep(createOutbound(outboundOptions));
  // One for the lifetime of the provider: it remembers how the provider takes the secret.
  const client = createClientAuthentication(options, outboundOptions);
  const metadata = keptMetadata(clock, () => discover(options, outboundOptions, { outbound, client }));

  let held:
    | { readonly config: oidc.Configuration; readonly of: oidc.ServerMetadata; readonly since: number }
    | undefined;
  const configuration = async (): Promise<oidc.Configuration> => {
    const known = await metadata.current();
    // openid-client keeps keys for five minutes with the client that read them, so the client is created again.
    if (held?.of !== known || !isRecent(held.since, clock.nowMs(), FRESH_MS)) {
      const asking = keptResponses(observed(client.proving(outbound, known)), known.jwks_uri);
      held = { config: clientOf(options, known, { outbound: asking, client }), of: known, since: clock.nowMs() };
    }
    return held.config;
  };

  let renewal: { readonly done: Promise<void>; readonly since: number } | undefined;
  const renewed = async (): Promise<oidc.Configuration> => {
    if (renewal === undefined || !isRecent(renewal.since, clock.nowMs(), COOLDOWN_MS)) {
      // The keys may be new although discovery cannot be read.
      const done = metadata.read().then(dropClient, dropClient);
      renewal = { done, since: clock.nowMs() };
    }
    await renewal.done;
    return configuration();
  };
  const dropClient = (): void => void (held = undefined);

  return {
    configuration,
    renewed,
    async following(ask) {
      const used = await configuration();
      const kept: KeptResponse = {};
      return keepingResponse(kept, async () => {
        try {
          return await ask(used);
        } catch (error) {
          const isUnverified = kept.response !== undefined && !isAboutClaims(error);
          if (!isUnverified && !isGone(error)) throw error;
          const now = await renewed().catch(() => used);
          if (now === used || (!isUnverified && isAtSameEndpoints(now, used))) throw error;
          return ask(now);
        }
      });
    },
    async assertItself(asked) {
      const current = await metadata.read();
      try {
        // The response may have come from the endpoint's old address.
        if (current.token_endpoint !== asked.serverMetadata().token_endpoint)
          throw new InvalidResponse('discovery names another token endpoint');
        await assertKeys(current.jwks_uri ?? '', outbound);
      } catch (error) {
        throw requestError(options.name, error);
      }
    },
  };
}

function isAtSameEndpoints(left: oidc.Configuration, right: oidc.Configuration): boolean {
  const [now, before] = [left.serverMetadata(), right.serverMetadata()];
  return now.token_endpoint === before.token_endpoint && now.userinfo_endpoint === before.userinfo_endpoint;
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

interface KeptMetadata {
  /** Returns what is known, read again where it is too old and can be read soon. @throws as `read` */
  current(): Promise<oidc.ServerMetadata>;
  /** Reads it now. A failure leaves what is known as it is. */
  read(): Promise<oidc.ServerMetadata>;
}

function keptMetadata(clock: Clock, discovered: () => Promise<oidc.ServerMetadata>): KeptMetadata {
  let known: { readonly metadata: oidc.ServerMetadata; readonly since: number; readonly count: number } | undefined;
  let latest = { since: 0, count: 0 };
  /** Where nothing is known, all wait for one reading. A failure is not cached: the next user tries again. */
  let first: Promise<oidc.ServerMetadata> | undefined;

  const read = async (): Promise<oidc.ServerMetadata> => {
    const own = (latest = { since: clock.nowMs(), count: latest.count + 1 });
    const metadata = await discovered();
    // A slow response, which is older, came after this one.
    if (known !== undefined && known.count > own.count) return known.metadata;
    // The same object where it says the same, so that the keys are not read again with it.
    const before = known?.metadata;
    const current = before !== undefined && JSON.stringify(before) === JSON.stringify(metadata) ? before : metadata;
    known = { metadata: current, ...own };
    return current;
  };
  return {
    read,
    async current() {
      const nowMs = clock.nowMs();
      if (known === undefined || !isRecent(known.since, nowMs, DISCOVERY_TTL_MS)) {
        first ??= read().finally(() => (first = undefined));
        return first;
      }
      if (!isRecent(latest.since, nowMs, FRESH_MS)) {
        const reading = read().then(
          () => undefined,
          () => undefined,
        );
        await Promise.race([reading, delay(READING_MS, undefined, { ref: false })]);
      }
      return known.metadata;
    },
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
      throw new FailedCheck('discovery_issuer', 'discovery names another issuer');
    const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = metadata;
    if (authorization_endpoint === undefined || token_endpoint === undefined || jwks_uri === undefined) {
      const lacks = 'discovery lacks authorization_endpoint, token_endpoint or jwks_uri';
      throw new FailedCheck('discovery_incomplete', lacks);
    }
    for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint]) {
      if (endpoint !== undefined) assertOwn(endpoint, outboundOptions);
    }
    return metadata;
  } catch (error) {
    throw requestError(options.name, await readErrorResponse(error, []));
  }
}

/** @throws FailedCheck where a URL of discovery is not of this provider: `hosts` is wrong, or discovery is */
function assertOwn(endpoint: string, options: OutboundOptions): void {
  try {
    assertProviderUrl(endpoint, options);
  } catch (cause) {
    throw new FailedCheck('discovery_host', cause instanceof Error ? cause.message : 'no URL', { cause });
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
