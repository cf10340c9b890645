/** The shapes of this module. */
import type { Config } from '../config/config.ts';
import type { AuditEvent } from '../core/audit/event.ts';
import type { ChainHead } from './chain/chain-facts.ts';

export interface AuditTrail {
  /** Passes one event to every sink. Never throws and never waits for a disk. */
  record(event: AuditEvent): void;
  /**
   * Records an event that must be kept before the announced action is done. Resolves once every sink has passed it
   * to the kernel (with `syncAhead` once the disk has it); a webhook without a spool only has it in memory. Never
   * rejects.
   * @returns whether the action may be done: false if a sink fails or hangs and `audit.onFailure` is `block`
   */
  recordAhead(event: AuditEvent): Promise<boolean>;
  /** True while a sink cannot write the audit log and `audit.onFailure` is `block`: no request may be served then. */
  readonly blocked: boolean;
  /**
   * True while a sink that works is behind by a quarter of its queue and more, `audit.onFailure` is `block`, and the
   * account has more of what waits than an eighth of the space that is left: it has to wait, so that not everyone is
   * rejected.
   */
  backlogged(account: string): boolean;
  /**
   * Resolves when everything recorded so far has been passed to the operating system. While a sink fails this
   * waits for its recovery or for `close`, so a caller that must not wait forever sets a time limit.
   */
  flush(): Promise<void>;
  /**
   * Accepts no more events, writes what is queued, and gives up after `closeTimeoutMs`. Lost events are counted as
   * dropped and logged as an error. Never rejects.
   */
  close(): Promise<void>;
}

/** The settings of a sink. */
export type AuditSinkSettings = Config['audit']['sinks'][number];
export type FileSinkSettings = Extract<AuditSinkSettings, { readonly type: 'file' }>;
export type WebhookSinkSettings = Extract<AuditSinkSettings, { readonly type: 'webhook' }>;

/**
 * `written`: the operating system has accepted the line, or the webhook's server has. `dropped`: it will never be
 * written.
 */
type AuditOutcome = 'written' | 'dropped';

/** The current state of a sink. */
export interface SinkStatus {
  readonly sink: AuditSinkSettings['type'];
  /** It cannot be written, or its events cannot be delivered. */
  readonly failing: boolean;
  /** Bytes that wait, in memory and in a spool. */
  readonly queuedBytes: number;
  /** Seconds for which its files hold an event, if they are limited by their size and one was full. */
  readonly holdsForSeconds?: number | undefined;
}

/** A trail, and the state of its sinks. */
export interface MonitoredAuditTrail extends AuditTrail {
  status(): readonly SinkStatus[];
  /** The last line of its chain, if it writes one. */
  readonly head: ChainHead | undefined;
}

/** The position of a line: in which chain, and at which number. */
export interface LinePosition {
  readonly chain: string;
  readonly seq: number;
}

/** Events that a sink will never have. */
export interface SinkGap {
  /** The sink's location: a path, the origin of a URL, `stdout`. */
  readonly sink: string;
  readonly chain: string;
  /** Sequence numbers of the first and the last lost event; events between them may exist. */
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** Each event ends once per sink in exactly one outcome. */
export interface AuditMetrics {
  auditEvent(sink: AuditSinkSettings['type'], outcome: AuditOutcome, events: number): void;
}
