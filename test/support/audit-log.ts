/** The audit log of a server under test, read as an auditor would read it. */
import type { AuditEvent } from '../../src/core/audit/event.ts';

/** Every event so far, oldest first. */
export { auditEvents as auditedBy } from '../../demo/audit-events.ts';

/** `get pods/exec`, for each request about a resource. */
export const whatWasDone = (events: readonly AuditEvent[]): ReadonlySet<string> =>
  new Set(
    events.map(({ verb, objectRef }) => {
      const subresource = objectRef?.subresource === undefined ? '' : `/${objectRef.subresource}`;
      return `${verb} ${objectRef?.resource ?? ''}${subresource}`;
    }),
  );
