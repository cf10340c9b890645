/** The types of this module: what the revocation guard offers, and what it is given. */
import type { Clock } from '../contracts/clock.ts';
import type { RecentRequest } from '../core/audit/recent-request.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Credential, FlightCredential } from '../core/credential/credential.ts';
import type { KeyHolder, ReplicaKeys } from '../core/credential/key-agreement.ts';
import type { CoveringKeys, LogChange, LogPosition, RevocationTarget } from '../core/credential/revocation.ts';
import type { Account } from '../core/identity/identity.ts';
import type { AppendRequest, DelegatedLabel, DrillPart, RevocationLog, SessionStore } from '../store/store.ts';

/** Why the guard rejects a credential. */
export type GuardRejection = 'fenced' | 'epoch_changed' | 'session_revoked' | 'grant_ended';

export type CutReason =
  | GuardRejection
  | 'session_expired'
  | 'identity_changed'
  | 'recheck_overdue'
  | 'shutdown'
  /** This process has hardly any memory left, and its account has the most open. */
  | 'memory_short'
  /** An admin has ended this one request, and nothing else of its session. */
  | 'cut_by_admin';

/** Something in flight that can be cut: a request, a stream, an upgraded connection. */
export interface Flight {
  /**
   * Tells the client why it is about to be cut, if that can be written now; nothing else passes from here on. `cut`
   * follows, in this turn or one of the next. Synchronous, never waits, never throws.
   */
  announce?(reason: CutReason): void;
  /**
   * Ends both sides immediately by a reset. Synchronous, never waits, never throws. May be called at any moment of
   * the request, also before it was dialled. Called at most once.
   */
  cut(reason: CutReason): void;
  /** Returns what it is while it is an open stream. Absent: it never is one. */
  stream?(): RecentRequest | undefined;
}

/** A stream that is open at this replica. */
export interface OpenStream {
  /** The session that it is open in, which may be a delegated one. */
  readonly session: string;
  readonly request: RecentRequest;
}

/** When a session ends by itself. Epoch seconds. */
export interface SessionEnds {
  readonly expiresAt: number;
  /** Moves with each token that is minted, so the store is asked again before a stream is cut for it. */
  readonly idleAt: number;
}

export interface Registration {
  /**
   * States whose flight it is. From here on a revocation that covers the credential cuts it, and so does the end of
   * the session.
   */
  bind(credential: FlightCredential, session: SessionEnds): void;
  /** Set in the tick in which the flight was cut. */
  readonly cutReason: CutReason | undefined;
  /** Removes the flight: both its sides are closed. Idempotent. */
  close(): void;
}

export interface ReplicaReceipt {
  /** Host or pod name, for display. */
  readonly id: string;
  /**
   * `fenced`: the replica has been silent for so long that its lease has provably lapsed. It rejects everything,
   * and cuts before it passes another byte.
   */
  readonly state: 'applied' | 'pending' | 'fenced';
  readonly ms?: number;
  readonly streamsClosed?: number;
}

/** A replica as `GET replicas` shows it. */
export interface ReplicaView {
  readonly id: string;
  readonly incarnation: string;
  /** True for the replica that responds. */
  readonly self: boolean;
  /** `silent`: its renewal count has not moved for W, so its lease has lapsed. */
  readonly state: 'live' | 'silent' | 'fenced';
  /** Milliseconds since its renewal count was last seen to move. */
  readonly seenMsAgo: number;
  /** Number of the last entry that it has applied. */
  readonly number: number;
  readonly streamsCut: number;
  readonly drill?: DrillPart;
  /** Of a command on the server's own shell. */
  readonly servesNothing?: true;
}

/** A session with something in flight here. */
export interface SessionInFlight {
  readonly session: string;
  /** The user's own session above a delegated one; of any other, the session itself. */
  readonly own: string;
  readonly keys: CoveringKeys;
  readonly flights: number;
  /** Monotonic milliseconds at which the oldest of its flights was bound. */
  readonly sinceMs: number;
}

/** The response to `POST revocations` (docs/reference/admin-api.md#revocation). */
export interface RevocationResult {
  readonly id: string;
  /** RFC 3339. */
  readonly at: string;
  readonly sessions: number;
  /**
   * The delegated sessions that ended with a session or an account: at most 100 by name, and how many there were. Absent
   * where there was none.
   */
  readonly delegated?: readonly DelegatedLabel[];
  readonly delegatedCount?: number;
  /** Access requests that waited in these sessions, and are withdrawn with them. Absent as `delegated` is. */
  readonly requestsWithdrawn?: number;
  readonly streamsClosed: number;
  /** True only if it is proven that no replica accepts a covered credential any more. */
  readonly complete: boolean;
  readonly elapsedMs: number;
  readonly canSignInAgain: boolean;
  readonly replicas: readonly ReplicaReceipt[];
  /** The parts that are not proven, by name. Absent when complete. */
  readonly missing?: readonly string[];
}

/**
 * A revocation as the guard takes it: the store's request, whose id may be left out, and one fact that the caller
 * knows.
 */
export interface RevocationOrder extends Omit<AppendRequest, 'requestId'> {
  readonly requestId?: string;
  /**
   * Copied to the result: whether the user can sign in again right away. Absent: they can, unless `lock` is given.
   */
  readonly canSignInAgain?: boolean;
}

/** What of a credential decides whether it may be used now. */
export type CheckedCredential = Pick<Credential, 'keys' | 'position' | 'grantsEndAtMs'>;

export interface RevocationGuard {
  /** Random id by which other replicas know this process in the registry. */
  readonly incarnation: string;
  /** The position of the log as this replica knows it. Undefined before the first lease. */
  readonly position: LogPosition | undefined;
  /** True while there is no fresh lease. */
  readonly fenced: boolean;
  /** Seconds since the view was last known to be fresh. */
  readonly stalenessSeconds: number;
  /**
   * Checks a credential, synchronously and without I/O. Callers do so in the tick that writes bytes to a socket.
   * Undefined means that it is good.
   */
  check(credential: CheckedCredential): GuardRejection | undefined;
  /** Registers a flight. Callers do so in the tick of a request's first check, before any await. */
  register(flight: Flight): Registration;
  /** Streams and requests in flight now. */
  readonly inFlight: number;
  /**
   * Calls `listener` once for each entry, after the entry has been applied, so that cached sessions can be dropped.
   * `undefined`: drop everything.
   */
  onChange(listener: (change: LogChange | undefined) => void): void;
  /**
   * Revokes: first this replica rejects the target and cuts, then it writes, then it waits for the other replicas.
   * @throws AppError `store_unavailable` if nothing could be written, `conflict` (`request_id_reused`,
   *   `approval_spent`)
   */
  revoke(request: RevocationOrder): Promise<RevocationResult>;
  /**
   * Rejects and cuts on this replica only, and writes nothing. The hold ends after `seconds`, with an entry of the
   * same target, or with a new primary generation. A second call for the same target starts its time again.
   * @returns how many flights were cut
   */
  hold(target: RevocationTarget, seconds: number): number;
  /**
   * Returns an earlier result of this replica, brought up to date. Undefined if it is unknown or older than 10
   * minutes.
   */
  result(id: string): RevocationResult | undefined;
  /** Calls `listener` each time that a result which was returned as incomplete has become more complete. */
  onResult(listener: (result: RevocationResult) => void): void;
  /** This replica and the others, as of the last renewal. */
  readonly replicas: readonly ReplicaView[];
  /** Returns the sessions that have something in flight here, so that they can be re-checked at their provider. */
  sessionsInFlight(): readonly SessionInFlight[];
  /**
   * Cuts what a session, and each delegated session beneath it, has in flight here, and nothing else: it is not revoked.
   * @returns how many flights
   */
  cutSession(session: string, reason: CutReason): number;
  /** Returns the streams of an account that are open here, the newest first. */
  openStreams(account: Account): readonly OpenStream[];
  /**
   * Cuts one open stream of an account, for `cut_by_admin`. Its session goes on.
   * @param auditId of its request
   * @returns false where it is not open here
   */
  cutStream(account: Account, auditId: string): boolean;
  /**
   * True while the store serves this replica nothing because its wall clock differs from the store's by more than
   * the skew. The replica is then fenced soon.
   */
  readonly clockOff: boolean;
  /** Reports this replica's part in a drill to the others, from the next renewal on, which starts immediately. */
  reportDrill(part: DrillPart): void;
  /**
   * Renews now. Resolves when a round that started after the call has ended. Drills use it to read the parts of the
   * other replicas.
   */
  refresh(): Promise<void>;
  /** Resolves with the first lease. */
  start(): Promise<void>;
  /** Leaves the registry, and cuts what is still in flight. */
  stop(): Promise<void>;
}

export interface RevocationMetrics {
  /** A revocation has a result. */
  revocation(target: RevocationTarget['kind'], seconds: number): void;
}

/** Why a replica could not trust its view. */
export type FenceCause =
  | 'lease_lapsed' // the store did not respond in time, or this process stood still
  | 'epoch_changed'
  | 'log_gap'
  | 'log_rollback'
  | 'clock_jumped'; // a clock stood still while another went on, as in a snapshot that was resumed

export interface Fence {
  readonly cause: FenceCause;
  /** From the last moment at which the view was known to be complete to the next lease. */
  readonly seconds: number;
}

/** A session that ended by itself while something of it was in flight here. */
export interface EndedSession {
  readonly session: string;
  /** Of a delegated session: the user's own session above it, and who acts in it. */
  readonly delegated?: { readonly own: string; readonly actor: string | undefined };
  readonly account: Account;
  readonly provider: string;
  readonly how: 'expired' | 'idle';
  readonly streamsCut: number;
}

/** The keys of this replica, and what it learns of those of the others (docs/revocation-protocol.md#keys). */
export interface KeysOfReplicas {
  /** Returns what each renewal registers. */
  registered(): ReplicaKeys;
  /** Takes in the other replicas that are live. @param nowMs monotonic milliseconds */
  seen(live: readonly KeyHolder[], nowMs: number): void;
  /** The registry cannot be read for a while. */
  unseen(): void;
}

export interface RevocationGuardOptions {
  readonly log: RevocationLog;
  /** Read before a stream is cut because its session is idle. */
  readonly sessions: Pick<SessionStore, 'read'>;
  /** L of docs/revocation-protocol.md#wait: how long a lease lasts. */
  readonly stalenessSeconds: number;
  /** The longest lifetime that this replica gives a token. */
  readonly longestTokenSeconds: number;
  /** Host or pod name, for display. */
  readonly replicaName: string;
  /** True for a command that writes a revocation and sees it proven: it has no receipt of its own, and no part in a drill. */
  readonly servesNothing?: boolean;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonicMs: () => number;
  /**
   * Wall clock, epoch milliseconds: for the ends of sessions, and for cleaning up. No decision about order depends
   * on it.
   */
  readonly clock: Clock;
  /**
   * Milliseconds since the machine started, sleep included. Compared with the two clocks above. Absent: only those
   * two are compared.
   */
  readonly uptimeMs?: () => number;
  /**
   * True if the store cannot have existed before this process (memory), so that no replica holds a lease of an
   * earlier primary generation. Absent: it may have, so a revocation is proven only after this replica has followed
   * the present generation for W.
   */
  readonly isFirstGeneration?: boolean;
  /** Absent: no keys are registered. */
  readonly keys?: KeysOfReplicas;
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: RevocationMetrics;
  /** Called when this replica was fenced and serves again. Never called for a renewal, nor for the first lease. */
  readonly onFenced?: (fence: Fence) => void;
  readonly onSessionEnded?: (session: EndedSession) => void;
}
