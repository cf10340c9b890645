/**
 * How long leases last, and how long others wait for one to have run out. Milliseconds throughout.
 *
 * L is `revocation.staleness` of the replica that holds the lease. Replicas may run with different ones: while the setting is changed, two
 * of them serve side by side. So each registers its own, and nobody may conclude anything about a lease from the setting of another replica.
 */

/**
 * L of a replica that registers none: the largest `revocation.staleness` that a version without registration (0.1.0) can have been given.
 * It stays as it is when the configuration allows more, because every version that reads that configuration registers its L.
 */
export const UNREGISTERED_LEASE_MS = 30_000;

/** L of a replica, by its entry in the registry. */
export const leaseOf = ({ leaseMs = UNREGISTERED_LEASE_MS }: { readonly leaseMs?: number }): number => leaseMs;

/**
 * W: a lease of length L whose renewal was sent before the wait began has run out when the wait ends. L, the drift of the other clock, and a
 * margin for timers.
 * @param leaseMs L of whoever holds the lease that is waited for, never of whoever waits
 */
export const waitFor = (leaseMs: number): number => leaseMs * 1.001 + 100;
