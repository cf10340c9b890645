/** What the gate is given. Structural, so that the room depends on no logger and no metrics library. */
import type { Account } from '../core/identity/identity.ts';
import type { RevocationTarget } from '../core/credential/revocation.ts';
import type { RevocationLog, SessionStore } from '../store/store.ts';

export interface GateLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
}

export interface GateMetrics {
  /** A revocation was answered. */
  revocation(target: RevocationTarget['kind'], seconds: number): void;
}

/** Why a replica could not trust its view. */
export type FenceCause =
  | 'lease_lapsed' // the store did not answer in time, or this process stood still
  | 'epoch_changed'
  | 'log_gap'
  | 'log_rollback'
  | 'clock_jumped'; // a clock stood still while another went on, as in a snapshot that was resumed

export interface Fence {
  readonly cause: FenceCause;
  /** From the last moment at which the view was known to be complete to the next lease. */
  readonly seconds: number;
}

/** A session that came to its end by itself while something of it was in flight here. */
export interface EndedSession {
  readonly session: string;
  readonly account: Account;
  readonly provider: string;
  readonly how: 'expired' | 'idle';
  readonly streamsCut: number;
}

export interface GateOptions {
  readonly log: RevocationLog;
  /** Asked before a stream is cut because its session is idle. */
  readonly sessions: Pick<SessionStore, 'read'>;
  /** L of docs/revocation-protocol.md#wait: how long a lease lasts. */
  readonly stalenessSeconds: number;
  /** The longest life that this replica gives a token. */
  readonly longestTokenSeconds: number;
  /** Host or pod name, for people. */
  readonly replicaName: string;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic: () => number;
  /** Wall clock, epoch milliseconds: for the ends of sessions, and for cleaning up. No decision about order rests on it. */
  readonly clock: { now(): number };
  /** Milliseconds since the machine started, sleep included. Compared with the two clocks above; absent: only those are compared. */
  readonly uptime?: () => number;
  /**
   * The store cannot have had a life before this process (memory), so nobody holds a lease of an earlier one. Absent: it may have, and a
   * revocation is proven only after this replica has followed it for W.
   */
  readonly firstLife?: boolean;
  readonly logger?: GateLogger;
  readonly metrics?: GateMetrics;
  /** This replica was fenced and serves again. Never called for a renewal, nor for the first lease. */
  readonly onFenced?: (fence: Fence) => void;
  readonly onSessionEnded?: (session: EndedSession) => void;
}

export const SILENT_LOGGER: GateLogger = { info: () => undefined, warn: () => undefined };
