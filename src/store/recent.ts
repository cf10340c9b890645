/** How many recent requests of a session are kept, and for how long. */
import type { RecentRequest } from './store.ts';

/** Returns the arrival of the newest of these requests, in epoch seconds. */
export const newestSeconds = (requests: readonly RecentRequest[]): number =>
  Math.floor(Math.max(...requests.map(({ at }) => at)) / 1000);

/** Most requests kept of a session. */
export const MOST_RECENT = 50;

/**
 * Merges requests as they are shown: the beginning of a stream is dropped once its end is there, and requests of
 * several replicas are put in order.
 * @param added in the order in which they were added
 * @returns newest first
 */
export function newestOf(added: readonly RecentRequest[]): readonly RecentRequest[] {
  const byAuditId = new Map<string, RecentRequest>();
  // From the last one: it counts, and of two within one millisecond it is the newer.
  for (const request of added.toReversed()) {
    if (!byAuditId.has(request.auditId)) byAuditId.set(request.auditId, request);
  }
  return [...byAuditId.values()].toSorted((left, right) => right.at - left.at).slice(0, MOST_RECENT);
}
