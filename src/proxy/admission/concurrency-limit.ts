/**
 * The concurrency limits: for one user, so that no runaway script takes the proxy from the others, and at one
 * cluster, so that a cluster that hangs cannot hold every connection there is. A request counts from the tick in
 * which the user is known until both sides are closed. A watch counts as any request does.
 */
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';

/** The default of `limits.inFlightPerPerson`. */
const IN_FLIGHT_PER_USER = 400;

/**
 * A fifth of `limits.connections` stays for the other clusters, and for sign-in and revocation, when one cluster
 * hangs.
 */
const SHARE_OF_A_CLUSTER = 0.8;

export const perUserLimit = (limits: { readonly inFlightPerPerson?: number }): number =>
  limits.inFlightPerPerson ?? IN_FLIGHT_PER_USER;

export class ConcurrencyLimit {
  readonly perUser: number;
  readonly perCluster: number;
  readonly #users = new Map<string, number>();
  readonly #clusters = new Map<string, number>();

  constructor(limits: { readonly connections: number; readonly inFlightPerPerson?: number }) {
    this.perUser = perUserLimit(limits);
    this.perCluster = Math.max(1, Math.floor(limits.connections * SHARE_OF_A_CLUSTER));
  }

  /**
   * Acquires a connection slot.
   * @param user an account, not a session: more sign-ins give no more slots
   * @returns a function that releases the slot, or the limit that is reached; a second call of the function does
   *   nothing
   */
  acquire(user: string, cluster: string): Result<() => void, 'user' | 'cluster'> {
    if ((this.#users.get(user) ?? 0) >= this.perUser) return no('user');
    if ((this.#clusters.get(cluster) ?? 0) >= this.perCluster) return no('cluster');
    add(this.#users, user, 1);
    add(this.#clusters, cluster, 1);
    let held = true;
    return ok(() => {
      if (!held) return;
      held = false;
      add(this.#users, user, -1);
      add(this.#clusters, cluster, -1);
    });
  }
}

/** A count of 0 is not kept, so the map is as large as what is in flight. */
function add(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
