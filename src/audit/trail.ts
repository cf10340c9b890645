/** The trail: every event to every sink. */
import type { Writable } from 'node:stream';
import type { AuditEvent } from '../core/audit-event.ts';
import { AppError } from '../core/errors.ts';
import type { AuditLog, AuditMetrics, AuditSinkSettings, RecordingTrail } from './audit.ts';
import { chainBefore } from './chain/chain-before.ts';
import { ChainKeeper, type ChainSettings } from './chain/chain-keeper.ts';
import { encodeLine } from './line.ts';
import type { SinkLimits } from './sinks/sink.ts';
import { openSinks } from './sinks/sinks.ts';

export interface AuditTrailOptions {
  readonly sinks: readonly AuditSinkSettings[];
  /** `block`: nothing may be served while a sink fails. `count`: traffic goes on, and what is lost is counted. */
  readonly onFailure: 'block' | 'count';
  /** Where the stdout sink writes; the process's own by default. */
  readonly stdout?: Writable;
  readonly metrics?: AuditMetrics;
  readonly logger?: AuditLog;
  readonly limits?: Partial<SinkLimits>;
  /** What is recorded ahead waits for the disk too, not only for the kernel. */
  readonly syncAhead?: boolean;
  /** Absent: lines stand in no chain. */
  readonly chain?: ChainSettings;
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
export function createAuditTrail(options: AuditTrailOptions): RecordingTrail {
  if (options.sinks.length === 0) {
    throw new AppError('internal', 'The audit record has no sink. Configure at least one under audit.sinks.');
  }
  const { metrics, logger: log, stdout } = options;
  const limits = { ...LIMITS, ...options.limits };
  const sinks = openSinks(options.sinks, { limits, metrics, log, stdout, onGap: (gap) => keeper?.declare(gap) });
  const push = (line: Buffer, seq?: number): void => {
    for (const sink of sinks) sink.push(line, seq);
  };
  const keeper = options.chain && keeperOf(options.chain, options.sinks, push);

  const record = (event: AuditEvent): boolean => {
    try {
      if (keeper === undefined) push(encodeLine(event));
      else keeper.append(event);
      return true;
    } catch {
      // The error could quote the event, so only its id is said.
      options.logger?.error({ auditID: event.auditID }, 'an audit event could not be encoded');
      for (const sink of sinks) sink.drop(1);
      return false;
    }
  };

  return {
    record: (event) => void record(event),
    async recordAhead(event) {
      const isQueued = record(event);
      // In the tick in which the line was queued: each sink waits for what it has by now.
      const kept = await Promise.all(sinks.map((sink) => sink.written({ sync: options.syncAhead === true })));
      return options.onFailure === 'count' || (isQueued && kept.every(Boolean));
    },
    get head() {
      return keeper?.head;
    },
    get blocked() {
      return options.onFailure === 'block' && sinks.some((sink) => sink.failing);
    },
    status: () => sinks.map((sink) => sink.status),
    async flush() {
      await Promise.all(sinks.map((sink) => sink.flush()));
    },
    async close() {
      keeper?.close();
      await Promise.all(sinks.map((sink) => sink.close()));
    },
  };
}

function keeperOf(
  chain: ChainSettings,
  sinks: readonly AuditSinkSettings[],
  push: (line: Buffer, seq: number) => void,
): ChainKeeper {
  const file = sinks.find((sink) => sink.type === 'file');
  return new ChainKeeper(chain, ({ line, seq }) => push(line, seq), file && chainBefore(file.path));
}
