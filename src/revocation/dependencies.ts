/** What the gate is given. Structural, so that the room depends on no logger and no metrics library. */
import type { RevocationTarget } from '../core/revocation.ts';
import type { RevocationLog } from '../store/store.ts';

export interface GateLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
}

export interface GateMetrics {
  /** A revocation was answered. */
  revocation(target: RevocationTarget['kind'], seconds: number): void;
}

export interface GateOptions {
  readonly log: RevocationLog;
  /** L of REVOCATION.md: how long a lease lasts. */
  readonly stalenessSeconds: number;
  /** Host or pod name, for people. */
  readonly replicaName: string;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic: () => number;
  /** Wall clock, epoch milliseconds: for the ends of sessions, and for cleaning up. No decision about order rests on it. */
  readonly clock: { now(): number };
  /** How long an entry must stand: the longest life that a credential may have, plus skew. */
  readonly entryLifeSeconds: number;
  readonly logger?: GateLogger;
  readonly metrics?: GateMetrics;
}

export const SILENT_LOGGER: GateLogger = { info: () => undefined, warn: () => undefined };
