/** The shapes of this module. */
import type { AuditEvent } from '../core/audit/event.ts';
import type { ChainHead } from './chain/chain-facts.ts';

export interface AuditTrail {
  /** Hands one event to every sink. Never throws and never waits for a disk. */
  record(event: AuditEvent): void;
  /**
   * As `record`, for an event that must be kept before what it announces is done. Resolves once every sink has handed it to the kernel (with
   * `syncAhead` once the disk has it); a webhook without a spool only has it in memory. Never rejects.
   * @returns whether it may be done: false where a sink fails or hangs and `audit.onFailure` is `block`
   */
  recordAhead(event: AuditEvent): Promise<boolean>;
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
export type AuditSinkSettings = { readonly type: 'stdout' } | FileSinkSettings | WebhookSinkSettings;

export interface FileSinkSettings {
  readonly type: 'file';
  readonly path: string;
  /** Mebibytes after which a new file is begun. Absent: size does not count. */
  readonly maxSizeMb?: number | undefined;
  /** Seconds after which a new file is begun. Absent: age does not count. */
  readonly rotateEvery?: number | undefined;
  /** Files kept besides the one that is written, or for how many seconds each is kept. Older ones are removed. Default: 10. */
  readonly keep?: number | { readonly seconds: number } | undefined;
  /** Whether those are compressed. Default: yes. */
  readonly gzip?: boolean | undefined;
  /**
   * When the disk itself is asked to have it. `interval` (the default): once a second. `always`: before an event counts as written;
   * requests wait for `audit.writeAhead` only.
   */
  readonly fsync?: 'never' | 'interval' | 'always' | undefined;
  /** Where rejections go instead, in a chain of their own (core/audit/rejected-event.ts). Absent: with all other events. */
  readonly rejectedPath?: string | undefined;
  /** Mebibytes that they may take, old files included. Default: 64. */
  readonly rejectedMaxMb?: number | undefined;
}

export interface WebhookSinkSettings {
  readonly type: 'webhook';
  /** https; http for a loopback host only. The room that parses the configuration sees to it. */
  readonly url: string;
  /** PEM. Absent: the system's authorities. This and the three below are read again for every batch. */
  readonly caFile?: string | undefined;
  /** A client certificate with its key. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** A bearer token. */
  readonly tokenFile?: string | undefined;
  /** Where events wait that could not be delivered. Absent: in memory only. */
  readonly spoolDir?: string | undefined;
  /** Mebibytes. Default: 256. */
  readonly spoolMaxMb?: number | undefined;
  /** Events of one request. Default: 400, as kube-apiserver. */
  readonly batchEvents?: number | undefined;
  /** Bytes of one request's events. Default: 1 MiB. */
  readonly batchBytes?: number | undefined;
  /** Seconds that an event may wait for others to go with it. Default: 1. */
  readonly batchWait?: number | undefined;
  /** Seconds after which a request without an answer has failed. Default: 10. */
  readonly timeout?: number | undefined;
}

/** `written`: the operating system has taken the line, or the webhook's server has. `dropped`: it will never be written. */
type AuditOutcome = 'written' | 'dropped';

/** How a sink stands at this moment. */
export interface SinkStatus {
  readonly sink: AuditSinkSettings['type'];
  /** It cannot be written, or what it holds cannot be delivered. */
  readonly failing: boolean;
  /** Bytes that wait, in memory and in a spool. */
  readonly queuedBytes: number;
}

/** A trail, and how its sinks stand. */
export interface MonitoredAuditTrail extends AuditTrail {
  status(): readonly SinkStatus[];
  /** The last line of its chain, where it writes one. */
  readonly head: ChainHead | undefined;
}

/** Where a line stands: in which chain, and as which of it. */
export interface LinePlace {
  readonly chain: string;
  readonly seq: number;
}

/** Events that a sink will never have. */
export interface SinkGap {
  /** The sink's place: a path, the origin of a URL, `stdout`. */
  readonly sink: string;
  readonly chain: string;
  /** Sequence numbers of the first and the last of them; others between may be there. */
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** Each event ends once per sink in exactly one outcome. */
export interface AuditMetrics {
  auditEvent(sink: AuditSinkSettings['type'], outcome: AuditOutcome, events: number): void;
}

/** The part of a pino logger that is used here. Never given an event or a line, only what happened to a sink. */
export interface AuditLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}
