/**
 * How long leases last, and how long others wait until one has run out. Milliseconds throughout.
 *
 * L is `revocation.staleness` of the replica that holds the lease. Replicas may have different settings: while the
 * setting is being changed, two of them serve at the same time. So each registers its own, and no replica may
 * infer another one's lease from its own setting.
 */

/**
 * L of a replica that registers none: the largest `revocation.staleness` that a build without registration
 * (early ones of 0.1.0) can have had. It stays the same when the configuration allows more, because every build that
 * reads that configuration registers its L.
 */
export const UNREGISTERED_LEASE_MS = 30_000;

/** Returns L of a replica, by its entry in the registry. */
export const leaseOf = ({ leaseMs = UNREGISTERED_LEASE_MS }: { readonly leaseMs?: number }): number => leaseMs;

/**
 * Returns W: a lease of length L whose renewal was sent before the wait began has run out when the wait ends. It
 * is L, the drift of the other clock, and a margin for timers.
 * @param leaseMs L of the replica whose lease is waited for, never of the waiting one
 */
export const waitFor = (leaseMs: number): number => leaseMs * 1.001 + 100;
