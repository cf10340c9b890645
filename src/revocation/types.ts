/** The shapes of this module: what the revocation guard offers, and what it is given. */
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Credential } from '../core/credential/credential.ts';
import type { CoveringKeys, LogChange, LogPosition, RevocationTarget } from '../core/credential/revocation.ts';
import type { Account } from '../core/identity/identity.ts';
import type { DrillPart, Lock, RevocationLog, SessionStore } from '../store/store.ts';

/** Why the gate is shut for a credential. */
export type GuardRejection = 'fenced' | 'epoch_changed' | 'session_revoked';

export type CutReason = GuardRejection | 'session_expired' | 'identity_changed' | 'recheck_overdue' | 'shutdown';

/** Something in flight that can be cut: a request, a stream, an upgraded connection. */
export interface Flight {
  /**
   * Ends both sides at once by a reset; synchronous, never waits, never throws, and may be called at any moment of the
   * request's life, before it was dialled included. Called at most once.
   */
  cut(reason: CutReason): void;
}

/** When a session ends by itself. Epoch seconds. */
export interface SessionEnds {
  readonly expiresAt: number;
  /** Moves with each mint: the store is asked again before a stream is cut for it. */
  readonly idleAt: number;
}

export interface Registration {
  /** Says whose it is. From here on a revocation that covers the credential cuts it, and so does the session's end. */
  bind(credential: Credential, session: SessionEnds): void;
  /** Set in the tick in which the flight was cut. */
  readonly cutReason: CutReason | undefined;
  /** Both sides are closed: forget it. Idempotent. */
  close(): void;
}

export interface ReplicaReceipt {
  /** Its name, for people. */
  readonly id: string;
  /** `fenced`: silent for so long that its lease has provably run out: it refuses everything, and cuts before it passes another byte. */
  readonly state: 'applied' | 'pending' | 'fenced';
  readonly ms?: number;
  readonly streamsClosed?: number;
}

/** A replica as `GET replicas` shows it. */
export interface ReplicaView {
  readonly id: string;
  readonly incarnation: string;
  /** The one that answers. */
  readonly self: boolean;
  /** `silent`: its count has not moved for W, so its lease has run out. */
  readonly state: 'live' | 'silent' | 'fenced';
  /** Milliseconds since its count was last seen to move. */
  readonly seenMsAgo: number;
  /** Number of the last entry it has applied. */
  readonly number: number;
  readonly streamsCut: number;
  readonly drill?: DrillPart;
}

/** A session with something in flight here. */
export interface SessionInFlight {
  readonly session: string;
  readonly keys: CoveringKeys;
  readonly flights: number;
  /** Monotonic milliseconds at which the oldest of them was bound. */
  readonly sinceMs: number;
}

/** The response to `POST revocations` (docs/reference/admin-api.md#revocation). */
export interface RevocationResult {
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

export interface RevocationOrder {
  readonly target: RevocationTarget;
  /** Idempotency: the same id again is the same revocation. */
  readonly requestId?: string;
  /** With an account: locks it. */
  readonly lock?: Omit<Lock, 'account'>;
  /** With a session: it came to its end in good order, as `AppendRequest` has it. */
  readonly ended?: boolean;
  /** With a session: false where nothing about it casts a doubt on who the user is, as `AppendRequest` has it. */
  readonly asksFreshSignIn?: boolean;
  /** What the answer says: whether nothing but the person's own wish stands between them and the next sign-in. */
  readonly canSignInAgain?: boolean;
  /** The approval that is spent with it, as `AppendRequest` has it. To be judged before: the gate here is shut first. */
  readonly approval?: string;
}

export interface RevocationGuard {
  /** By which the others know this process in the registry. Random. */
  readonly incarnation: string;
  /** The log's place as this replica knows it; undefined before the first lease. */
  readonly position: LogPosition | undefined;
  /** True while there is no fresh lease. */
  readonly fenced: boolean;
  /** Seconds since the view was last known to be fresh. */
  readonly stalenessSeconds: number;
  /** Synchronous and without I/O; to be called in the tick that hands bytes to a socket. Undefined means good. */
  check(credential: { readonly keys: CoveringKeys; readonly position: LogPosition }): GuardRejection | undefined;
  /** To be called in the tick of a request's first check, before any await. */
  register(flight: Flight): Registration;
  /** Streams and requests in flight now. */
  readonly inFlight: number;
  /** Each entry once, after it has been applied; for dropping cached sessions. `undefined`: drop everything. */
  onChange(listener: (change: LogChange | undefined) => void): void;
  /**
   * Shuts and cuts here first, then writes, then asks the others.
   * @throws AppError `store_unavailable` when nothing could be written, `conflict` (`request_id_reused`, `approval_spent`)
   */
  revoke(request: RevocationOrder): Promise<RevocationResult>;
  /**
   * Shuts and cuts here, and writes nothing. It ends after `seconds`, with an entry of the same target, or with a new life of the store.
   * The same target again begins its time anew.
   * @returns how many flights were cut
   */
  hold(target: RevocationTarget, seconds: number): number;
  /** An earlier answer of this replica, brought up to date; undefined when unknown or older than 10 minutes. */
  answer(id: string): RevocationResult | undefined;
  /** Each time an answer that was given as incomplete has become more complete. */
  onAnswer(listener: (answer: RevocationResult) => void): void;
  /** This replica and the others, as of the last renewal. */
  readonly replicas: readonly ReplicaView[];
  /** Which sessions have something in flight here, so that they can be re-checked at their provider. */
  sessionsInFlight(): readonly SessionInFlight[];
  /** Cuts what a session has in flight here, and nothing else: it is not revoked. @returns how many flights */
  cutSession(session: string, reason: CutReason): number;
  /** The store serves this replica nothing, because its wall clock is off the store's by more than the skew. It is fenced soon, then. */
  readonly clockOff: boolean;
  /** What this replica tells the others about its part in a drill, from the next renewal on, which begins at once. */
  reportDrill(part: DrillPart): void;
  /** Renews now; resolves when a round that began after the call has ended. For drills, which look at the others' parts. */
  refresh(): Promise<void>;
  /** Resolves with the first lease. */
  start(): Promise<void>;
  /** Leaves the registry. Cuts what is still in flight. */
  stop(): Promise<void>;
}

export interface RevocationMetrics {
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

export interface RevocationGuardOptions {
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
  readonly clock: Clock;
  /** Milliseconds since the machine started, sleep included. Compared with the two clocks above; absent: only those are compared. */
  readonly uptime?: () => number;
  /**
   * The store cannot have had a life before this process (memory), so nobody holds a lease of an earlier one. Absent: it may have, and a
   * revocation is proven only after this replica has followed it for W.
   */
  readonly firstLife?: boolean;
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: RevocationMetrics;
  /** This replica was fenced and serves again. Never called for a renewal, nor for the first lease. */
  readonly onFenced?: (fence: Fence) => void;
  readonly onSessionEnded?: (session: EndedSession) => void;
}
