/**
 * Revocation: may this credential be used right now, and how is it made to stop?
 *
 * Owns: the view (the log's live entries in memory), the lease that keeps the view fresh, the registry of what is in flight, the
 * cut, and the revocation itself with its answer. Must not know: HTTP, tokens' encoding, Redis commands (room `store`), or who
 * may revoke whom (room `web`).
 *
 * Fail closed: without a fresh lease this replica is *fenced*. `check` then refuses everything and everything in flight has been cut.
 */
import type { Credential } from '../core/credential.ts';
import type { Coverable, LogChange, LogPosition, RevocationTarget } from '../core/revocation.ts';

/** Why the gate is shut for a credential. */
export type GateRefusal = 'fenced' | 'epoch_changed' | 'session_revoked';

export type CutReason = GateRefusal | 'session_expired' | 'shutdown';

/** Something in flight that can be cut: a request, a stream, an upgraded connection. */
export interface Flight {
  /**
   * Ends both sides at once by a reset; synchronous, never waits, never throws, and may be called at any moment of the
   * request's life, before it was dialled included. Called at most once.
   */
  cut(reason: CutReason): void;
}

export interface Registration {
  /** Says whose it is. From here on a revocation that covers the credential cuts it, and so does the session's end. */
  bind(credential: Credential, sessionExpiresAt: number): void;
  /** Set in the tick in which the flight was cut. */
  readonly cutReason: CutReason | undefined;
  /** Both sides are closed: forget it. Idempotent. */
  close(): void;
}

export interface ReplicaReceipt {
  readonly id: string;
  readonly state: 'applied' | 'pending';
  readonly ms?: number;
  readonly streamsClosed?: number;
}

/** The answer of `POST revocations`, as CONTRACT spells it. */
export interface RevocationAnswer {
  readonly id: string;
  /** RFC 3339. */
  readonly at: string;
  readonly sessions: number;
  readonly streamsClosed: number;
  /** True only where it is proven that no replica accepts a covered credential any more. */
  readonly complete: boolean;
  readonly elapsedMs: number;
  readonly canSignInAgain: boolean;
  readonly replicas: readonly ReplicaReceipt[];
  /** What is not proven, by name; absent when complete. */
  readonly missing?: readonly string[];
}

export interface Gate {
  /** The log's place as this replica knows it; undefined before the first lease. */
  readonly position: LogPosition | undefined;
  /** True while there is no fresh lease. */
  readonly fenced: boolean;
  /** Seconds since the view was last known to be fresh. */
  readonly stalenessSeconds: number;
  /** Synchronous and without I/O; to be called in the tick that hands bytes to a socket. Undefined means good. */
  check(credential: Coverable & { readonly position: LogPosition }): GateRefusal | undefined;
  /** To be called in the tick of a request's first check, before any await. */
  register(flight: Flight): Registration;
  /** Streams and requests in flight now. */
  readonly inFlight: number;
  /** Each entry once, after it has been applied; for dropping cached sessions. `undefined`: drop everything. */
  onChange(listener: (change: LogChange | undefined) => void): void;
  /** Shuts and cuts here first, then writes, then asks the others. Throws `AppError` `store_unavailable` when nothing could be written. */
  revoke(request: { readonly target: RevocationTarget; readonly requestId?: string }): Promise<RevocationAnswer>;
  /** An earlier answer of this replica, brought up to date; undefined when unknown or older than 10 minutes. */
  answer(id: string): RevocationAnswer | undefined;
  /** Resolves with the first lease. */
  start(): Promise<void>;
  /** Leaves the registry. Cuts what is still in flight. */
  stop(): Promise<void>;
}

export { createGate } from './gate.ts';
