/**
 * Service accounts that pass with their own token, where a cluster allows it (`serviceAccountPassthrough`).
 *
 * The cluster itself says whose token it is (TokenReview, for its own audience), and gets it unchanged: the gate lends it nothing. Threats: a
 * token of the gate's own account, which may impersonate anybody; a person's token of some other issuer that the cluster trusts, which
 * would go past every rule of the gate; and a flood of made-up tokens, each of which costs the cluster a review.
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

/** Seconds. A token that was taken back at the cluster may be used through the gate for as long; then the cluster is asked again. */
const GOOD_SECONDS = 60;
const BAD_SECONDS = 5;
const MOST_GOOD = 5_000;
/** Kept apart from the good ones: made-up tokens must not push those out. */
const MOST_BAD = 1_000;
/** Of one cluster, at one time. */
const MOST_WAITING = 32;
/** Of them from one address: a stranger's flood of made-up tokens must not keep every service account out that has just got its token. */
const MOST_OF_AN_ADDRESS = 8;
/** Characters. Kubernetes' own are below two thousand. */
const LONGEST_TOKEN = 8_192;

/** The parts of a token that are read before anybody has verified it: only to decide who is asked. */
interface Peeked {
  readonly issuer: string;
  readonly bound: boolean;
  /** Epoch seconds. */
  readonly expiresAt: number | undefined;
}

function peek(token: string): Peeked | undefined {
  if (token.length > LONGEST_TOKEN) return undefined;
  try {
    const { iss, exp, cnf } = decodeJwt(token);
    return typeof iss === 'string' ? { issuer: iss, bound: cnf !== undefined, expiresAt: exp } : undefined;
  } catch {
    // No JWT: an opaque token is nothing that a service account has.
    return undefined;
  }
}

/** True for a JWT of somebody else's. One that names us as its issuer is judged by us alone, and never sent anywhere. */
export function isForeign(token: string, ourIssuer: string): boolean {
  const peeked = peek(token);
  return peeked !== undefined && peeked.issuer !== ourIssuer;
}

interface Known {
  /** Undefined: the cluster does not accept the token. */
  readonly identity: Identity | undefined;
  /** Epoch seconds. */
  readonly until: number;
}

export class Passthrough {
  readonly #reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>;
  readonly #clock: Clock;
  readonly #good = new LRUCache<string, Known>({ max: MOST_GOOD });
  readonly #bad = new LRUCache<string, Known>({ max: MOST_BAD });
  readonly #waiting = new Map<string, Promise<Known>>();
  /** Questions under way, by cluster, and by cluster and address. */
  readonly #load = new Map<string, number>();

  constructor(reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>, clock: Clock) {
    this.#reviews = reviews;
    this.#clock = clock;
  }

  /**
   * @param from the client's address
   * @returns who it is to the cluster
   * @throws AppError `upstream_unavailable` where the cluster, or who the gate itself is there, could not be asked
   */
  async judge(
    cluster: Pick<UpstreamCluster, 'name' | 'token'>,
    token: string,
    from: string,
  ): Promise<Result<Identity, PassthroughRejection>> {
    // Who holds a stolen token of that kind does not hold its key; here nobody would check.
    if (peek(token)?.bound !== false) return no('passthrough_bound_token');
    const remembered = this.#remembered(keyOf(cluster.name, token));
    const place = `${cluster.name} ${bucketOf(from)}`;
    const busy = this.#loadOf(cluster.name) >= MOST_WAITING || this.#loadOf(place) >= MOST_OF_AN_ADDRESS;
    if (remembered === undefined && busy) return no('passthrough_busy');
    const { identity } = remembered ?? (await this.#review(cluster.name, token, place));
    if (identity === undefined) return no('passthrough_not_accepted');
    if (serviceAccountOf(identity.username) === undefined) return no('passthrough_not_service_account');
    const own = await this.#ownName(cluster);
    return identity.username === own ? no('passthrough_own_account') : ok(identity);
  }

  /** Asked in the same way as everybody's, so that no further right is needed for it; and again whenever the token is rotated. */
  async #ownName({ name, token }: Pick<UpstreamCluster, 'name' | 'token'>): Promise<string> {
    const own = await token();
    const { identity } = this.#remembered(keyOf(name, own)) ?? (await this.#review(name, own));
    if (identity !== undefined) return identity.username;
    throw new AppError(
      'upstream_unavailable',
      "the gate's own account at this cluster is not known, so no service account is let in; tell your platform team",
      { reason: 'own_account_unknown' },
    );
  }

  #remembered(key: string): Known | undefined {
    const known = this.#good.get(key) ?? this.#bad.get(key);
    return known !== undefined && known.until > this.#now() ? known : undefined;
  }

  /** @param place whose questions are counted as well; absent: the server's own */
  #review(cluster: string, token: string, place?: string): Promise<Known> {
    const key = keyOf(cluster, token);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting;
    const counted = place === undefined ? [cluster] : [cluster, place];
    for (const each of counted) this.#load.set(each, this.#loadOf(each) + 1);
    const asked = this.#ask(cluster, token).finally(() => {
      this.#waiting.delete(key);
      for (const each of counted) this.#answered(each);
    });
    this.#waiting.set(key, asked);
    return asked;
  }

  #loadOf(counted: string): number {
    return this.#load.get(counted) ?? 0;
  }

  /** A count of nothing is not kept: anybody can come from many addresses. */
  #answered(counted: string): void {
    const left = this.#loadOf(counted) - 1;
    if (left > 0) this.#load.set(counted, left);
    else this.#load.delete(counted);
  }

  async #ask(cluster: string, token: string): Promise<Known> {
    // Without `audiences` it is reviewed for the API server's own: a token made for another service is not accepted.
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    const status = await this.#reviews(cluster).ask(path, 'TokenReview', { token });
    const identity = reviewed(status);
    const now = this.#now();
    const expiresAt = peek(token)?.expiresAt ?? Number.POSITIVE_INFINITY;
    const until = identity === undefined ? now + BAD_SECONDS : Math.min(now + GOOD_SECONDS, expiresAt);
    const known = { identity, until };
    (identity === undefined ? this.#bad : this.#good).set(keyOf(cluster, token), known);
    return known;
  }

  #now(): number {
    return this.#clock.now() / 1000;
  }
}

/** Not the token itself: what is remembered must be of no use to whoever reads this process' memory. */
const keyOf = (cluster: string, token: string): string =>
  createHash('sha256').update(`${cluster}\n${token}`).digest('base64url');

/** `status` of a TokenReview. Authenticated by the boolean `true` and by nothing else. */
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
