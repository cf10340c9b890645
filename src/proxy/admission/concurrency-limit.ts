/**
 * The concurrency limits of requests to clusters: for one user, so that no runaway script takes the proxy from the
 * others, and at one cluster, so that a cluster that hangs cannot hold every connection there is. A request counts from
 * the tick in which the user is known until both sides are closed. A watch counts as any request does. By account and
 * not by session: more sign-ins give no more slots.
 */
import { ConcurrencyLimit } from '../../core/concurrency-limit.ts';

/** The default of `limits.inFlightPerPerson`. */
const IN_FLIGHT_PER_USER = 400;

/**
 * A fifth of `limits.connections` stays for the other clusters, and for sign-in and revocation, when one cluster
 * hangs.
 */
const SHARE_OF_A_CLUSTER = 0.8;

export const perUserLimit = (limits: { readonly inFlightPerPerson?: number }): number =>
  limits.inFlightPerPerson ?? IN_FLIGHT_PER_USER;

export const requestLimit = (limits: {
  readonly connections: number;
  readonly inFlightPerPerson?: number;
}): ConcurrencyLimit<'user' | 'cluster'> =>
  new ConcurrencyLimit({
    user: perUserLimit(limits),
    cluster: Math.max(1, Math.floor(limits.connections * SHARE_OF_A_CLUSTER)),
  });
