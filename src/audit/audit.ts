/**
 * Audit: from event to disk.
 *
 * Owns: the sinks (stdout, file), the order of lines, and what happens when a sink fails. Must not know: how an event came about,
 * HTTP, or who may read the record. The shape of an event is core's.
 */
import type { AuditEvent } from '../core/audit-event.ts';

export { createAuditTrail } from './trail.ts';

export interface AuditTrail {
  /** Hands one event to every sink. Never throws and never waits for a disk. */
  record(event: AuditEvent): void;
  /** True while a sink cannot keep the record and `audit.onFailure` is `block`: nothing may be served then. */
  readonly blocked: boolean;
  /**
   * Resolves when everything recorded so far has been handed to the operating system. While a sink fails this waits for its
   * recovery or for `close`, so whoever must not wait for ever sets a limit of their own.
   */
  flush(): Promise<void>;
  /**
   * Takes no more events, writes what is queued, and gives up after `closeTimeoutMs`: what is lost then is counted as dropped and
   * logged as an error. Never rejects.
   */
  close(): Promise<void>;
}

/** What the configuration says of a sink; `AuditSinkConfig` of room `config` has this shape. */
export type AuditSinkSettings = { readonly type: 'stdout' } | { readonly type: 'file'; readonly path: string };

/** `written`: the operating system has taken the line. `dropped`: it will never be written. */
type AuditOutcome = 'written' | 'dropped';

/** The two things a trail tells about itself; each event ends once per sink in exactly one outcome. */
export interface AuditMetrics {
  auditEvent(sink: AuditSinkSettings['type'], outcome: AuditOutcome): void;
}

/** The part of a pino logger that is used here. Never given an event or a line, only what happened to a sink. */
export interface AuditLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}
