/**
 * Audit: from event to disk.
 *
 * Owns: the sinks (stdout, file), the order of lines, and what happens when a sink fails. Must not know: how an event came about,
 * HTTP, or who may read the record. The shape of an event is core's.
 */
import type { AuditEvent } from '../core/audit-event.ts';

export interface AuditTrail {
  /** Hands one event to every sink. Never throws and never waits for a disk. */
  record(event: AuditEvent): void;
  /** True while a sink cannot keep the record and `audit.onFailure` is `block`: nothing may be served then. */
  readonly blocked: boolean;
  /** Resolves when everything recorded so far has been handed to the operating system. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
