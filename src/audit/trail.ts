/** The audit trail: every event goes to every sink. */
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { defined } from '../core/defined.ts';
import { AppError } from '../core/errors.ts';
import { isRejection } from '../core/audit/rejected-event.ts';
import type { Logger } from '../contracts/logger.ts';
import type { AuditMetrics, AuditSinkSettings, FileSinkSettings, MonitoredAuditTrail, SinkGap } from './types.ts';
import type { ChainSettings } from './chain/chain-writer.ts';
import { ChainedSinks } from './chained-sinks.ts';
import type { SinkLimits } from './sinks/sink.ts';
import { openSinks } from './sinks/sinks.ts';

export interface AuditTrailOptions {
  readonly sinks: readonly AuditSinkSettings[];
  /** `block`: no request is served while a sink fails. `count`: traffic continues, and lost events are counted. */
  readonly onFailure: 'block' | 'count';
  /** Where the stdout sink writes; the process's own stdout by default. */
  readonly stdout?: Writable;
  readonly metrics?: AuditMetrics;
  readonly logger?: Logger;
  readonly limits?: Partial<SinkLimits>;
  /** Events recorded ahead also wait for the disk, not only for the kernel. */
  readonly syncAhead?: boolean;
  /** Absent: lines are not chained. */
  readonly chain?: ChainSettings;
  /** Mebibytes that each file for rejections may take, with its old ones. Only tests have another number. */
  readonly rejectedMb?: number;
}

const LIMITS: SinkLimits = {
  // Some ten thousand events: at a thousand per second a disk may stall for ten seconds.
  queueBytes: 16 * 1024 * 1024,
  retryMs: 100,
  retryMaxMs: 5000,
  stallMs: 2000,
  closeTimeoutMs: 5000,
};

/**
 * Starts the audit log. Files are opened immediately, in the background: under `block` the trail is `blocked`
 * until each is open.
 *
 * Every event ends, per sink, as `written` or `dropped`, and each is counted. An event is dropped if it does not
 * fit into the queue of a failing sink (under `block` only that of a request with which nothing was done: any other
 * waits for space), if it comes after `close`, or if `close` could not write it in time.
 *
 * Rejections (core/audit/rejected-event.ts) go to a separate file next to each file sink that names one, and are
 * then a chain of their own: they fill and rotate only that file, and removing them leaves no holes in the chain
 * of all other events.
 * @throws AppError `internal` when there is no sink, because an audit log that goes nowhere must be an error
 */
export function createAuditTrail(options: AuditTrailOptions): MonitoredAuditTrail {
  if (options.sinks.length === 0) {
    throw new AppError('internal', 'The audit log has no sink. Configure at least one under audit.sinks.');
  }
  const { metrics, logger, stdout, chain } = options;
  const parts = {
    limits: { ...LIMITS, ...options.limits },
    metrics,
    logger,
    stdout,
    holds: options.onFailure === 'block',
    onGap: (gap: SinkGap): void => {
      for (const one of new Set([events, rejections])) one.declare(gap);
    },
  };
  const sinks = openSinks(options.sinks, parts);
  const rejectedSettings = options.sinks.flatMap((sink) => rejectedFile(sink, options.rejectedMb));
  const rejectedFiles = openSinks(rejectedSettings, parts);
  const shared = sinks.filter((_sink, index) => rejectedFile(options.sinks[index]).length === 0);
  const all = [...sinks, ...rejectedFiles];
  const events = new ChainedSinks({ sinks, settings: options.sinks, chain, logger });
  const rejections =
    rejectedSettings.length === 0
      ? events
      : new ChainedSinks({ sinks: [...shared, ...rejectedFiles], settings: rejectedSettings, chain, logger });
  events.open();

  return {
    record: (event) => void (isRejection(event) ? rejections : events).append(event),
    async recordAhead(event) {
      const isQueued = events.append(event);
      // In the tick in which the line was queued: each sink waits for everything it has by now.
      const kept = await Promise.all(sinks.map((sink) => sink.written({ sync: options.syncAhead === true })));
      return options.onFailure === 'count' || (isQueued && kept.every(Boolean));
    },
    get head() {
      return events.head;
    },
    get blocked() {
      return options.onFailure === 'block' && all.some((sink) => sink.failing);
    },
    backlogged: (account) => options.onFailure === 'block' && all.some((sink) => sink.isBackloggedFor(account)),
    // Old rejections are deleted by design.
    status: () => [
      ...sinks.map((sink) => sink.status),
      ...rejectedFiles.map((sink) => ({ ...sink.status, holdsForSeconds: undefined })),
    ],
    async flush() {
      await Promise.all(all.map((sink) => sink.flush()));
    },
    async close() {
      if (all.some((sink) => sink.isDropping)) {
        // So that what is lost is declared in the chain, which ends now. Otherwise it would look as if it had been removed.
        const flushed = Promise.all(all.map((sink) => sink.flush()));
        await Promise.race([flushed, pause(parts.limits.closeTimeoutMs, undefined, { ref: false })]);
      }
      events.close();
      rejections.close();
      await Promise.all(all.map((sink) => sink.close()));
    },
  };
}

const REJECTED_MB = 64;
/** Old files in addition to the current one, so that rotation gives up a quarter of the space at a time. */
const REJECTED_FILES = 3;

/** @returns the settings of the file for rejections, which has a bounded size */
export function rejectedFile(sink: AuditSinkSettings | undefined, mb = REJECTED_MB): readonly FileSinkSettings[] {
  if (sink?.type !== 'file' || sink.rejectedPath === undefined) return [];
  const { rejectedPath: path, gzip, fsync } = sink;
  const maxSizeMb = mb / (REJECTED_FILES + 1);
  return [{ type: 'file', path, maxSizeMb, keep: REJECTED_FILES, ...defined({ gzip, fsync }) }];
}
