/** The trail: every event to every sink. */
import type { Writable } from 'node:stream';
import { AppError } from '../core/errors.ts';
import { isRejection } from '../core/audit/rejected-event.ts';
import type {
  AuditLog,
  AuditMetrics,
  AuditSinkSettings,
  FileSinkSettings,
  MonitoredAuditTrail,
  SinkGap,
} from './types.ts';
import type { ChainSettings } from './chain/chain-writer.ts';
import { ChainedSinks } from './chained-sinks.ts';
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
 *
 * Rejections (core/audit/rejected-event.ts) go to a file of their own beside each file that names one, and are then a chain of their own: they fill
 * and rotate nothing but that file, and the chain of all other events has no holes where they are gone.
 * @throws AppError `internal` when there is no sink: a record that goes nowhere must be a fault, not a silence
 */
export function createAuditTrail(options: AuditTrailOptions): MonitoredAuditTrail {
  if (options.sinks.length === 0) {
    throw new AppError('internal', 'The audit record has no sink. Configure at least one under audit.sinks.');
  }
  const { metrics, logger: log, stdout, chain } = options;
  const parts = {
    limits: { ...LIMITS, ...options.limits },
    metrics,
    log,
    stdout,
    onGap: (gap: SinkGap): void => {
      for (const one of new Set([events, rejections])) one.declare(gap);
    },
  };
  const sinks = openSinks(options.sinks, parts);
  const apart = options.sinks.flatMap((sink) => rejectedFile(sink));
  const filesApart = openSinks(apart, parts);
  const shared = sinks.filter((_sink, index) => rejectedFile(options.sinks[index]).length === 0);
  const all = [...sinks, ...filesApart];
  const events = new ChainedSinks({ sinks, settings: options.sinks, chain, log });
  const rejections =
    apart.length === 0 ? events : new ChainedSinks({ sinks: [...shared, ...filesApart], settings: apart, chain, log });
  events.open();

  return {
    record: (event) => void (isRejection(event) ? rejections : events).append(event),
    async recordAhead(event) {
      const isQueued = events.append(event);
      // In the tick in which the line was queued: each sink waits for what it has by now.
      const kept = await Promise.all(sinks.map((sink) => sink.written({ sync: options.syncAhead === true })));
      return options.onFailure === 'count' || (isQueued && kept.every(Boolean));
    },
    get head() {
      return events.head;
    },
    get blocked() {
      return options.onFailure === 'block' && all.some((sink) => sink.failing);
    },
    status: () => all.map((sink) => sink.status),
    async flush() {
      await Promise.all(all.map((sink) => sink.flush()));
    },
    async close() {
      events.close();
      rejections.close();
      await Promise.all(all.map((sink) => sink.close()));
    },
  };
}

const REJECTED_MB = 64;
/** Old ones besides the one that is written, so that a quarter of the room is given up at a time. */
const REJECTED_FILES = 3;

/** @returns the file beside this one, of a bounded size */
function rejectedFile(sink: AuditSinkSettings | undefined): readonly FileSinkSettings[] {
  if (sink?.type !== 'file' || sink.rejectedPath === undefined) return [];
  const { rejectedPath: path, rejectedMaxMb = REJECTED_MB, gzip, fsync } = sink;
  const maxSizeMb = rejectedMaxMb / (REJECTED_FILES + 1);
  return [{ type: 'file', path, maxSizeMb, keep: REJECTED_FILES, gzip, fsync }];
}
