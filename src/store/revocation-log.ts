/** The revocation log and the locks on accounts, which it writes: one number for each entry, over all replicas. */
import type { ReplicaKeys } from '../core/credential/key-agreement.ts';
import type { Account } from '../core/identity/identity.ts';
import type { LogEntry, LogPosition, RevocationTarget } from '../core/credential/revocation.ts';

// --- Locks ---------------------------------------------------------------------------------------------------------

/**
 * An account that may not sign in. Locks outlive epochs: a replica that knows one writes it back into a store that
 * has lost it.
 */
export interface Lock {
  readonly account: Account;
  /** The admin's own text. */
  readonly reason: string;
  /** Username of the admin. */
  readonly by: string;
  /** Epoch seconds. */
  readonly at: number;
}

/** Locks are set by `RevocationLog.append`, in the same script as the revocation that belongs to them. */
export interface LockStore {
  find(account: Account): Promise<Lock | undefined>;
  /** In no particular order. */
  list(): Promise<readonly Lock[]>;
  /**
   * Removes the lock and writes an `unlocked` entry, in one script.
   * @returns false if there was no lock
   */
  remove(account: Account): Promise<boolean>;
}

// --- Revocation log ------------------------------------------------------------------------------------------------

/** One running process, as the other replicas see it. */
export interface ReplicaState {
  /** Random per process start, because a pod's name may be reused. */
  readonly incarnation: string;
  /** Host or pod name, for display. */
  readonly name: string;
  /** Counts its renewals. A count that moves proves that the process runs. */
  readonly count: number;
  /** Number of the last entry it has applied. */
  readonly number: number;
  /** Streams it has cut so far. */
  readonly streamsCut: number;
  /**
   * L: duration of its lease in milliseconds. Absent if its version registers none; `leaseOf` says what is assumed
   * then.
   */
  readonly leaseMs?: number;
  /** It is a command on a server's own shell: it follows the log, and has no part in drills. */
  readonly servesNothing?: true;
  /** Its state in the latest drill. */
  readonly drill?: DrillPart;
  /** Absent if its version registers none. */
  readonly keys?: ReplicaKeys;
}

/** A replica's part in a drill: a watch to itself, with a session that is then revoked. */
export interface DrillPart {
  readonly id: string;
  readonly state: 'open' | 'cut' | 'failed';
  /** Of `failed`: the cause, as text. */
  readonly reason?: string;
}

export interface Renewal {
  readonly epoch: string;
  /** Names the primary generation that replied. An epoch never outlives it. */
  readonly generation: string;
  /** All entries after the caller's number, in order, without gaps. */
  readonly entries: readonly LogEntry[];
  readonly replicas: readonly ReplicaState[];
  /**
   * The longest lease that any replica may still hold, whether it has renewed in this epoch or only in an earlier
   * one. The lease of each replica counts from its last renewal until it has run out.
   */
  readonly longestLeaseMs: number;
}

export interface Joined {
  readonly position: LogPosition;
  /** Entries that may still cover a credential, up to `position`. */
  readonly live: readonly LogEntry[];
}

export type RenewOutcome =
  | ({ readonly ok: true } & Renewal)
  /**
   * `epoch`: the store began a new epoch. `gap`: entries after the caller's position were trimmed. `rollback`: the
   * log is behind the caller. In each case the caller joins again.
   */
  | { readonly ok: false; readonly reason: 'epoch' | 'gap' | 'rollback' };

export interface AppendRequest {
  /** Idempotency: the same request id returns the first result again and writes nothing. */
  readonly requestId: string;
  readonly target: RevocationTarget;
  /** With an account: also locks it. */
  readonly lock?: Omit<Lock, 'account'>;
  /**
   * With a session: it ended regularly (it expired, or its user signed out). No fresh sign-in is required, and the
   * browser session through which it was opened stays.
   */
  readonly ended?: boolean;
  /**
   * False: the revocation casts no doubt on the user's identity, so no fresh sign-in is required. The browser
   * session is revoked all the same.
   */
  readonly asksFreshSignIn?: boolean;
  /** Id of an `Approval` that this consumes. If it does not exist (any more), nothing is written. */
  readonly approval?: string;
  /** With an approval: the account of the second admin. The same request id of another account is another request. */
  readonly by?: Account;
}

export interface Appended {
  readonly position: LogPosition;
  readonly generation: string;
  /**
   * False if not enough followers have confirmed the entry in time. It is written, but a failover might still lose
   * it.
   */
  readonly acknowledged: boolean;
  /**
   * Number of live sessions that ended with it, including the browser session through which a revoked one was
   * opened.
   */
  readonly sessions: number;
  /**
   * The delegated ones among them; absent if there are none. Only of a session or an account: what ends with a provider
   * or all is not looked up.
   */
  readonly delegated?: EndedDelegations;
  /** Access requests that waited for approvals in these sessions; absent as `delegated` is. */
  readonly openRequests?: number;
  readonly replicas: readonly ReplicaState[];
}

/** A delegated session that has ended, as a receipt names it. */
export interface DelegatedLabel {
  readonly id: string;
  /** `actorText` of it. */
  readonly name: string;
  /** Id of its parent. */
  readonly session: string;
}

export interface EndedDelegations {
  readonly count: number;
  /** At most the first `MOST_LABELS`, and none that cannot be opened. */
  readonly labels: readonly DelegatedLabel[];
}

export interface RevocationLog {
  /** Whether anything is minted, as of the last renewal. False in the first moments of an epoch (`open`). */
  readonly settled: boolean;
  /**
   * Returns the current position of the log. A sign-in records it when it starts. Creates the epoch of an empty
   * store.
   */
  position(): Promise<LogPosition>;
  /**
   * Returns the live entries and the position to renew from; the number is read before the entries.
   * @param longestTokenSeconds the longest lifetime that this replica gives a token. The store keeps the longest
   * one ever reported, and every entry is kept for that long plus skew
   */
  join(longestTokenSeconds: number): Promise<Joined>;
  /**
   * Writes this replica's state and returns the entries after `position`. One script does both, so a fresh lease
   * means a fresh view, and no lease is granted whose duration is not registered.
   * @throws AppError `store_unavailable` also if not enough followers confirmed the round, which then must not be
   * used
   */
  renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome>;
  /**
   * Removes a replica from the registry: this one at its clean shutdown, or another that has not renewed for long.
   * @param count with which the other was last seen. A replica whose count has moved since holds a lease, and
   * stays
   */
  leave(incarnation: string, count?: number): Promise<void>;
  /**
   * Revokes. One script takes the next number, writes entry, watermark and lock, and deletes the covered sessions
   * with their artefacts. (Sessions of `provider` and `all` may be deleted after the script: the watermark rejects
   * them already.) A revoked session takes the browser session with it through which it was opened; that is an
   * entry of its own, with a lower number than the returned one. From now on the user must sign in freshly
   * (`open`). An approval is consumed in the same script: either the revocation is written and the approval is
   * consumed, or neither.
   * @throws AppError `conflict` (`request_id_reused`, `approval_spent`)
   */
  append(request: AppendRequest): Promise<Appended>;
  /**
   * Returns whether `append` has written this very request and would only return the first result again. Writes
   * nothing.
   */
  hasWritten(request: Pick<AppendRequest, 'requestId' | 'target' | 'lock' | 'by'>): Promise<boolean>;
  /** Writes a `drill` entry. */
  announceDrill(id: string): Promise<LogPosition>;
  /** Resolves when there may be an entry after `number`, or when `signal` aborts. Only for speed: it grants nothing. */
  waitForEntry(number: number, signal: AbortSignal): Promise<void>;
}
