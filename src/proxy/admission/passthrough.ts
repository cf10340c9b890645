/**
 * Service accounts that pass with their own token, if a cluster allows it (`serviceAccountPassthrough`).
 *
 * The cluster itself says whose token it is (TokenReview, for its own audience), and gets it unchanged: the proxy
 * adds no rights of its own. An attacker could present a token of the proxy's own account, which may impersonate
 * any user; or a user's token of another issuer that the cluster trusts, which would bypass every rule of the
 * proxy; or a flood of made-up tokens, each of which costs the cluster a review. All three are rejected here.
 */
import type { PassthroughRejection } from '../rejections.ts';
import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import { LRUCache } from 'lru-cache';
import { bucketOf } from '../../core/http/address.ts';
import { AppError } from '../../core/errors.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { serviceAccountOf } from '../../core/http/impersonation.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { isMembers } from './cluster-reviews.ts';
import type { ClusterReviews, Members } from './cluster-reviews.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import type { Clock } from '../../contracts/clock.ts';

/**
 * Seconds. A token that was invalidated at the cluster may be used through the proxy for as long; then the cluster
 * is asked again.
 */
const ACCEPTED_SECONDS = 60;
const REJECTED_SECONDS = 5;
const MAX_ACCEPTED = 5_000;
/** Kept apart from the accepted ones: made-up tokens must not evict those. */
const MAX_REJECTED = 1_000;
/** For one cluster at a time. */
const MAX_WAITING = 32;
/**
 * Of them from one address: an attacker's flood of made-up tokens must not keep out every service account that has
 * just got its token.
 */
const MAX_PER_ADDRESS = 8;
/** Those of Kubernetes are below two thousand. */
const MAX_TOKEN_CHARACTERS = 8_192;

/** The claims of a token that are read before it is verified, only to decide which issuer verifies it. */
interface UnverifiedClaims {
  readonly issuer: string;
  readonly bound: boolean;
  /** Epoch seconds. */
  readonly expiresAt: number | undefined;
}

function readUnverified(token: string): UnverifiedClaims | undefined {
  if (token.length > MAX_TOKEN_CHARACTERS) return undefined;
  try {
    const { iss, exp, cnf } = decodeJwt(token);
    return typeof iss === 'string' ? { issuer: iss, bound: cnf !== undefined, expiresAt: exp } : undefined;
  } catch {
    // Not a JWT. No service account has an opaque token.
    return undefined;
  }
}

/**
 * True for a JWT of another issuer. A token that names us as its issuer is verified by us alone, and never sent
 * anywhere.
 */
export function isForeign(token: string, ourIssuer: string): boolean {
  const claims = readUnverified(token);
  return claims !== undefined && claims.issuer !== ourIssuer;
}

interface CachedReview {
  /** Undefined: the cluster does not accept the token. */
  readonly identity: Identity | undefined;
  /** Epoch seconds. */
  readonly until: number;
}

export class Passthrough {
  readonly #reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>;
  readonly #clock: Clock;
  readonly #accepted = new LRUCache<string, CachedReview>({ max: MAX_ACCEPTED });
  readonly #rejected = new LRUCache<string, CachedReview>({ max: MAX_REJECTED });
  readonly #waiting = new Map<string, Promise<CachedReview>>();
  /** Reviews under way, by cluster, and by cluster and address. */
  readonly #load = new Map<string, number>();

  constructor(reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>, clock: Clock) {
    this.#reviews = reviews;
    this.#clock = clock;
  }

  /**
   * @param from the client's address
   * @returns the identity that the cluster knows
   * @throws AppError `upstream_unavailable` if the cluster could not be asked, about the token or about the proxy's
   *   own account
   */
  async judge(
    cluster: Pick<UpstreamCluster, 'name' | 'token'>,
    token: string,
    from: string,
  ): Promise<Result<Identity, PassthroughRejection>> {
    // An attacker who holds a stolen bound token does not hold its key, and the cluster would not check the
    // binding.
    if (readUnverified(token)?.bound !== false) return no('passthrough_bound_token');
    const cached = this.#cached(keyOf(cluster.name, token));
    const source = `${cluster.name} ${bucketOf(from)}`;
    const busy = this.#loadOf(cluster.name) >= MAX_WAITING || this.#loadOf(source) >= MAX_PER_ADDRESS;
    if (cached === undefined && busy) return no('passthrough_busy');
    const { identity } = cached ?? (await this.#review(cluster.name, token, source));
    if (identity === undefined) return no('passthrough_not_accepted');
    if (serviceAccountOf(identity.username) === undefined) return no('passthrough_not_service_account');
    const proxyAccount = await this.#proxyAccountName(cluster);
    return identity.username === proxyAccount ? no('passthrough_own_account') : ok(identity);
  }

  /**
   * Returns the name of the proxy's own account. Asked in the same way as for every token, so that it needs no
   * further right; and asked again whenever the token is rotated.
   */
  async #proxyAccountName({ name, token }: Pick<UpstreamCluster, 'name' | 'token'>): Promise<string> {
    const proxyAccount = await token();
    const { identity } = this.#cached(keyOf(name, proxyAccount)) ?? (await this.#review(name, proxyAccount));
    if (identity !== undefined) return identity.username;
    throw new AppError(
      'upstream_unavailable',
      "the proxy's own account at this cluster is not known, so no service account is admitted; tell your platform team",
      { reason: 'own_account_unknown' },
    );
  }

  #cached(key: string): CachedReview | undefined {
    const known = this.#accepted.get(key) ?? this.#rejected.get(key);
    return known !== undefined && known.until > this.#nowSeconds() ? known : undefined;
  }

  /** @param source whose reviews are counted as well; absent: the proxy's own */
  #review(cluster: string, token: string, source?: string): Promise<CachedReview> {
    const key = keyOf(cluster, token);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting;
    const counted = source === undefined ? [cluster] : [cluster, source];
    for (const each of counted) this.#load.set(each, this.#loadOf(each) + 1);
    const review = this.#sendReview(cluster, token).finally(() => {
      this.#waiting.delete(key);
      for (const each of counted) this.#responded(each);
    });
    this.#waiting.set(key, review);
    return review;
  }

  #loadOf(counted: string): number {
    return this.#load.get(counted) ?? 0;
  }

  /** A count of 0 is not kept: an attacker can come from many addresses. */
  #responded(counted: string): void {
    const left = this.#loadOf(counted) - 1;
    if (left > 0) this.#load.set(counted, left);
    else this.#load.delete(counted);
  }

  async #sendReview(cluster: string, token: string): Promise<CachedReview> {
    // Without `audiences` it is reviewed for the API server's own: a token made for another service is not
    // accepted.
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    const status = await this.#reviews(cluster).ask(path, 'TokenReview', { token });
    const identity = reviewed(status);
    const nowSeconds = this.#nowSeconds();
    const expiresAt = readUnverified(token)?.expiresAt ?? Number.POSITIVE_INFINITY;
    const until =
      identity === undefined ? nowSeconds + REJECTED_SECONDS : Math.min(nowSeconds + ACCEPTED_SECONDS, expiresAt);
    const known = { identity, until };
    (identity === undefined ? this.#rejected : this.#accepted).set(keyOf(cluster, token), known);
    return known;
  }

  #nowSeconds(): number {
    return this.#clock.nowMs() / 1000;
  }
}

/** Not the token itself: the cache must be of no use to an attacker who reads the memory of this process. */
const keyOf = (cluster: string, token: string): string =>
  createHash('sha256').update(`${cluster}\n${token}`).digest('base64url');

/** Reads `status` of a TokenReview. Only the boolean `true` means authenticated. */
function reviewed(status: Members): Identity | undefined {
  const { user } = status;
  if (status['authenticated'] !== true || !isMembers(user)) return undefined;
  const { username, uid, groups } = user;
  if (typeof username !== 'string' || username === '') return undefined;
  return {
    username,
    uid: typeof uid === 'string' ? uid : '',
    groups: Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [],
    extra: {},
  };
}
