/** Requests that were written ahead are in the audit log twice: when they began, and with their outcome. */
import type { Hit } from './matcher.ts';

/** Most requests whose outcome is awaited at a time. One replica has far fewer in flight. */
const MOST_WAITING = 10_000;

/**
 * Omits a beginning if an outcome with the same audit id follows. If none does (the process was killed, the
 * request is still in flight, or its outcome is in another file) the beginning comes at the end, after everything
 * else.
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
    // An attacker who can write to a file fills the reader's memory with beginnings, so their number is bounded.
    for (const [auditID, hit] of begun) {
      if (begun.size <= MOST_WAITING) break;
      begun.delete(auditID);
      shown.push(hit);
    }
    if (shown.length > 0) yield shown;
  }
  if (begun.size > 0) yield [...begun.values()];
}
