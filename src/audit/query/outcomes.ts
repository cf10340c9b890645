/** Requests that were written ahead stand in the audit log twice: when they were begun, and with their outcome. */
import type { Hit } from './matcher.ts';

/** Requests whose outcome is waited for at one time. What one replica has under way is far below it. */
const MOST_WAITING = 10_000;

/**
 * Leaves a beginning out where an outcome of the same audit id follows. Where none does (the process was killed, the request is still under
 * way, or its outcome is in another file) the beginning comes at the end, behind everything else.
 * @param batches in the order of time
 */
export async function* byOutcome(batches: AsyncIterable<readonly Hit[]>): AsyncGenerator<readonly Hit[]> {
  const begun = new Map<string, Hit>();
  for await (const batch of batches) {
    const shown: Hit[] = [];
    for (const hit of batch) {
      const { auditID, stage } = hit.event;
      if (stage === 'RequestReceived') begun.set(auditID, hit);
      else {
        begun.delete(auditID);
        shown.push(hit);
      }
    }
    // An attacker who can write to a file could fill the memory of who reads it with beginnings.
    for (const [auditID, hit] of begun) {
      if (begun.size <= MOST_WAITING) break;
      begun.delete(auditID);
      shown.push(hit);
    }
    if (shown.length > 0) yield shown;
  }
  if (begun.size > 0) yield [...begun.values()];
}
