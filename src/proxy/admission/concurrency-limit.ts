/**
 * The concurrency limits of requests to clusters: for one user, so that no runaway script takes the proxy from the
 * others, and at one cluster, so that a cluster that hangs cannot hold every connection there is. A request counts from
 * the tick in which the user is known until both sides are closed. A watch counts as any request does. By account and
 * not by session: more sign-ins give no more slots.
 */
import { ConcurrencyLimit } from '../../core/concurrency-limit.ts';
import type { Result } from '../../core/result.ts';

/** The default of `limits.inFlightPerUser`. */
const IN_FLIGHT_PER_USER = 400;

/**
 * A fifth of `limits.connections` stays for the other clusters, and for sign-in and revocation, when one cluster
 * hangs.
 */
const SHARE_OF_A_CLUSTER = 0.8;

export const perUserLimit = (limits: { readonly inFlightPerUser?: number }): number =>
  limits.inFlightPerUser ?? IN_FLIGHT_PER_USER;

/**
 * Twenty accounts with 400 watches each are at one cluster what it may have, so no other account would get a request
 * there. So a tenth of that is kept for the first eight requests of each account.
 */
const FIRST_OF_AN_ACCOUNT = 8;
const SHARE_BEYOND_THE_FIRST = 0.9;

type Slots = 'user' | 'cluster' | 'beyond';

export class RequestLimit {
  readonly most: Readonly<Record<Slots, number>>;
  readonly #limit: ConcurrencyLimit<Slots>;

  constructor(most: Readonly<Record<'user' | 'cluster', number>>) {
    const beyond = Math.max(1, Math.floor(most.cluster * SHARE_BEYOND_THE_FIRST));
    this.#limit = new ConcurrencyLimit({ ...most, beyond });
    this.most = this.#limit.most;
  }

  /**
   * Acquires a slot of the user and one at the cluster, or none at all.
   * @returns a function that releases them, or what is full: `beyond`, what all accounts together may have at the cluster
   *   beyond their first requests
   */
  acquire({ user, cluster }: { readonly user: string; readonly cluster: string }): Result<() => void, Slots> {
    const isFirst = this.#limit.openOf('user', user) < FIRST_OF_AN_ACCOUNT;
    return this.#limit.acquire({ user, cluster, beyond: isFirst ? undefined : cluster });
  }
}

export const requestLimit = (limits: {
  readonly connections: number;
  readonly inFlightPerUser?: number;
}): RequestLimit =>
  new RequestLimit({
    user: perUserLimit(limits),
    cluster: Math.max(1, Math.floor(limits.connections * SHARE_OF_A_CLUSTER)),
  });
