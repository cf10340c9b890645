/** The trail: every event to every sink. */
import process from 'node:process';
import type { Writable } from 'node:stream';
import type { AuditEvent } from '../core/audit-event.ts';
import { AppError } from '../core/errors.ts';
import type { AuditLog, AuditMetrics, AuditSinkSettings, AuditTrail } from './audit.ts';
import { fileTarget } from './file-target.ts';
import { encodeLine } from './line.ts';
import { LineSink, type SinkLimits } from './sink.ts';
import { streamTarget } from './target.ts';

export interface AuditTrailOptions {
  readonly sinks: readonly AuditSinkSettings[];
  /** `block`: nothing may be served while a sink fails. `count`: traffic goes on, and what is lost is counted. */
  readonly onFailure: 'block' | 'count';
  /** Where the stdout sink writes; the process's own by default. */
  readonly stdout?: Writable;
  readonly metrics?: AuditMetrics;
  readonly logger?: AuditLog;
  readonly limits?: Partial<SinkLimits>;
}

const LIMITS: SinkLimits = {
  // Some ten thousand events: at a thousand a second a disk may stand still for ten seconds.
  queueBytes: 16 * 1024 * 1024,
  retryMs: 100,
  retryMaxMs: 5000,
  stallMs: 2000,
  closeTimeoutMs: 5000,
};

/**
 * Starts the record. Files are opened at once and in the background: under `block` the trail is `blocked` until each could be.
 *
 * Every event ends, per sink, as `written` or `dropped`, and each is counted. Dropped is what no longer fits the queue of a
 * failing sink (both modes; under `block` traffic has stopped well before), what comes after `close`, and what `close`
 * could not write in time.
 * @throws AppError `internal` when there is no sink: a record that goes nowhere must be a fault, not a silence
 */
export function createAuditTrail(options: AuditTrailOptions): AuditTrail {
  if (options.sinks.length === 0) {
    throw new AppError('internal', 'The audit record has no sink. Configure at least one under audit.sinks.');
  }
  const parts = { limits: { ...LIMITS, ...options.limits }, metrics: options.metrics, log: options.logger };
  const sinks = options.sinks.map((settings) => {
    const target =
      settings.type === 'file' ? fileTarget(settings.path) : streamTarget(options.stdout ?? process.stdout);
    return new LineSink(target, parts);
  });

  return {
    record(event: AuditEvent): void {
      let line: Buffer;
      try {
        line = encodeLine(event);
      } catch {
        // The error could quote the event, so only its id is said.
        options.logger?.error({ auditID: event.auditID }, 'an audit event could not be encoded');
        for (const sink of sinks) sink.drop(1);
        return;
      }
      for (const sink of sinks) sink.push(line);
    },
    get blocked() {
      return options.onFailure === 'block' && sinks.some((sink) => sink.failing);
    },
    async flush() {
      await Promise.all(sinks.map((sink) => sink.flush()));
    },
    async close() {
      await Promise.all(sinks.map((sink) => sink.close()));
    },
  };
}
