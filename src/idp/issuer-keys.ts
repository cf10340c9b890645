/**
 * The public keys of an issuer whose tokens we verify without being its client: of workloads, which no user signs
 * in for.
 *
 * An attacker who reaches the token endpoint can send tokens of such an issuer with invented key ids, and each
 * would cost a request of ours. So keys are read again at most every half minute, and an issuer that fails is not
 * asked for a while.
 */
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose';
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import { isRecent } from '../core/time.ts';
import {
  assertProviderUrl,
  createOutbound,
  reachOf,
  type Outbound,
  type OutboundOptions,
  type Reach,
} from './outbound.ts';

/** How long the address of the keys is used before discovery is read again. */
const DISCOVERY_TTL_MS = 60 * 60 * 1000;
/** How often address and keys are read again because of a token that does not fit them. */
const COOLDOWN_MS = 30_000;
const BACKOFF_MS = 10_000;

export interface IssuerKeysOptions extends Reach {
  /** Exactly as tokens and the discovery document have it. */
  readonly issuer: string;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  /**
   * Returns where the keys are, where another part reads the discovery document.
   * @param again what is known of it does not fit a token
   */
  readonly jwksUri?: (again: boolean) => Promise<string>;
}

interface Known {
  readonly keys: Promise<JWTVerifyGetKey>;
  readonly since: number;
}

/**
 * Finds the key of a token's header (RFC 7517), by OpenID Connect Discovery.
 * @returns a function that throws `AppError` `provider_unavailable` where the issuer cannot be asked, and jose's
 *   error where it has no such key
 */
export function createIssuerKeys(options: IssuerKeysOptions): JWTVerifyGetKey {
  const outboundOptions: OutboundOptions = {
    issuer: new URL(options.issuer),
    hosts: options.hosts,
    ...reachOf(options),
  };
  const outbound = createOutbound(outboundOptions);
  let known: Known | undefined;
  let failure: { readonly since: number; readonly cause: unknown } | undefined;

  const isWithin = (ttlMs: number, since: number): boolean => isRecent(since, options.clock.nowMs(), ttlMs);

  const readKeys = (again: boolean): Promise<JWTVerifyGetKey> => {
    const keys = (options.jwksUri?.(again) ?? discover(options.issuer, outbound)).then((jwksUri) =>
      keysAt(jwksUri, outbound, outboundOptions),
    );
    known = { keys, since: options.clock.nowMs() };
    return keys;
  };

  let renewedMs: number | undefined;
  /**
   * Reads address and keys again: the issuer may have moved its keys, or have new ones. @returns undefined where that
   * was done a moment ago
   */
  const renewed = (before: Known): Promise<JWTVerifyGetKey> | undefined => {
    // Many tokens at once: another one has had them read meanwhile.
    if (known !== undefined && known !== before) return known.keys;
    if (renewedMs !== undefined && isWithin(COOLDOWN_MS, renewedMs)) return undefined;
    renewedMs = options.clock.nowMs();
    return readKeys(true);
  };
  const failed = (error: unknown): unknown => {
    if (isAboutToken(error)) return error;
    known = undefined;
    failure = { since: options.clock.nowMs(), cause: error };
    return unavailable(options.issuer, error);
  };

  return async (header, token) => {
    if (failure !== undefined && isWithin(BACKOFF_MS, failure.since)) throw unavailable(options.issuer, failure.cause);
    const kept = known !== undefined && isWithin(DISCOVERY_TTL_MS, known.since) ? known : undefined;
    try {
      return await (
        await (kept?.keys ?? readKeys(false))
      )(header, token);
    } catch (error) {
      const keys = kept === undefined ? undefined : renewed(kept);
      if (keys === undefined) throw failed(error);
      return keys
        .then((find) => find(header, token))
        .catch((later: unknown) => {
          if (!isAboutToken(error) || isAboutToken(later)) throw failed(later);
          // An attacker sends an invented key while discovery is unavailable: what is known stays for the others.
          known = kept;
          throw unavailable(options.issuer, later);
        });
    }
  };
}

async function discover(issuer: string, outbound: Outbound): Promise<string> {
  // OpenID Connect Discovery §4: the path is appended, so an issuer's own path stays.
  const response = await outbound(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    method: 'GET',
    headers: { accept: 'application/json' },
  });
  if (response.status !== 200) throw new Error(`discovery answered ${response.status}`);
  const document: unknown = await response.json();
  if (typeof document !== 'object' || document === null) throw new Error('discovery is no object');
  if (!('issuer' in document) || document.issuer !== issuer) throw new Error('discovery names another issuer');
  if (!('jwks_uri' in document) || typeof document.jwks_uri !== 'string') throw new Error('discovery has no jwks_uri');
  return document.jwks_uri;
}

const keysAt = (jwksUri: string, outbound: Outbound, options: OutboundOptions): JWTVerifyGetKey =>
  createRemoteJWKSet(assertProviderUrl(jwksUri, options), {
    // A token whose key is not among them has all read again, and no more often than that (`renewed`).
    cooldownDuration: Infinity,
    [customFetch]: (url, { method, headers, signal }) =>
      outbound(url, { method, headers: Object.fromEntries(headers), signal }),
  });

/** The issuer works, and the token is the cause. */
const isAboutToken = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWKSMultipleMatchingKeys ||
  error instanceof errors.JOSENotSupported;

const unavailable = (issuer: string, cause: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `The keys of ${issuer} cannot be read. Try again in a minute. If that does not help, tell your platform team.`,
    { reason: 'issuer_keys_unavailable', cause },
  );
