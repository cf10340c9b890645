import type { RecentRequest } from './store.ts';

/** What is kept of a session. */
export const MOST_RECENT = 50;

/**
 * What is shown of them: a stream's beginning goes once its end is there, and what several replicas added in turns is put in order.
 * @param added in the order in which they were added
 * @returns newest first
 */
export function newestOf(added: readonly RecentRequest[]): readonly RecentRequest[] {
  const byAuditId = new Map<string, RecentRequest>();
  // From the last one: it counts, and of two that came in one millisecond it is the newer.
  for (const request of added.toReversed()) {
    if (!byAuditId.has(request.auditId)) byAuditId.set(request.auditId, request);
  }
  return [...byAuditId.values()].toSorted((left, right) => right.at - left.at).slice(0, MOST_RECENT);
}
