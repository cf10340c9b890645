/**
 * Store: what must be remembered between requests and shared between replicas.
 *
 * Owns: sessions, the artefacts of OAuth and of sign-in, and the revocation log, with every Redis command there is. Each
 * method states what is atomic and how long it lasts. Must not know: HTTP, OAuth's rules, who may do what, or how a
 * revocation is proven (room `revocation`). Two implementations, memory and Redis, pass one suite (test/conformance).
 *
 * Expiry is judged by the injected clock; a Redis TTL only cleans up. Tokens appear as hashes and payloads are sealed, so
 * a dump of Redis yields no usable credential. A store that is away or slower than 250 ms (500 ms for a renewal or a revocation that
 * followers must confirm; a join may read many pages, each within that time) throws `AppError` `store_unavailable`: callers let it
 * through, so that nothing is ever allowed because a check could not be made.
 */
import type { Account, Identity } from '../core/identity/identity.ts';
import type { LogEntry, LogPosition, RevocationTarget } from '../core/credential/revocation.ts';
import type { ArtefactStore } from './artefacts.ts';
import type { AnchorStore, LiveAuditLog, RecentStore } from './live-audit.ts';

export type { ArtefactKind, ArtefactPayload, ArtefactStore, SaveArtefact } from './artefacts.ts';
export type { RecentRequest } from '../core/audit/recent-request.ts';
export type {
  AnchorStore,
  LiveEntry,
  LiveFilter,
  LiveLimits,
  LiveAuditLog,
  Subscription,
  SubscriptionState,
  RecentStore,
} from './live-audit.ts';

export interface Store {
  readonly artefacts: ArtefactStore;
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  readonly locks: LockStore;
  readonly freshSignIns: FreshSignIns;
  readonly live: LiveAuditLog;
  readonly anchors: AnchorStore;
  readonly recent: RecentStore;
  readonly sealed: SealedValues;
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  /** How much of the memory that it may use is used, from 0 to 1; undefined where it has no limit of its own. */
  fullness(): Promise<number | undefined>;
  close(): Promise<void>;
}

// --- Sealed values -------------------------------------------------------------------------------------------------

export type ResealOutcome =
  /** How many values an older key had sealed, which they are no more. 0: nothing needs the older keys. */
  | { readonly kind: 'looked'; readonly found: number }
  /** Another replica is at it. */
  | { readonly kind: 'elsewhere' };

export interface SealedValues {
  /**
   * Seals anew whatever lasts and was sealed by another key than the one that seals now, a page at a time. One holder does so at a time;
   * nothing that was written meanwhile is undone. A holder that stops half-way is succeeded a minute later.
   * @param pause between two pages, so that nobody waits for this
   */
  reseal(holder: string, pause: () => Promise<void>): Promise<ResealOutcome>;
}

// --- Sessions ------------------------------------------------------------------------------------------------------

/** One sign-in of one person on one device, from sign-in to end. */
export interface SessionRecord {
  readonly id: string;
  readonly account: Account;
  readonly provider: string;
  readonly subject: string;
  /** OAuth client id, or `BROWSER_CLIENT`. */
  readonly client: string;
  /** The impersonation credential. */
  readonly identity: Identity;
  /** Counts changes of `identity`, from 1. */
  readonly version: number;
  /** Epoch seconds. */
  readonly createdAt: number;
  /** Epoch seconds of the last mint, or of `createdAt`. */
  readonly lastUsedAt: number;
  /** Epoch seconds: absolute end. */
  readonly expiresAt: number;
  /** Seconds without a mint after which the session is over. */
  readonly idleSeconds: number;
  /** Where the sign-in came from. */
  readonly address: string;
  readonly userAgent: string;
  /** The log's place when the sign-in STARTED, which may be minutes before `createdAt`. */
  readonly startedAt: LogPosition;
  /** Signed in by a code that was typed into a browser elsewhere (RFC 8628); address and user agent are the device's. */
  readonly device?: true;
  /** The browser session through which this one was opened. It ends when this one is revoked: else it would sign in again in silence. */
  readonly via?: string;
  /** Epoch seconds at which the provider says that the person proved who they are (OpenID Connect `auth_time`). */
  readonly authTime?: number;
  /** The provider's own name for its session in which the person signed in (`sid`, OpenID Connect Front-Channel Logout 1.0 §3), where it says one. */
  readonly providerSid?: string;
  /** Epoch seconds of the last re-check at the provider, or of `createdAt`. */
  readonly checkedAt: number;
  /** Binding: set by the first mint that presents a certificate, never changed after. */
  readonly thumbprint?: string;
}

/** What the gate keeps to re-check a person at the provider; sealed, never listed. */
export interface SessionSecret {
  readonly refreshToken?: string;
}

export type NewSession = Omit<SessionRecord, 'version' | 'lastUsedAt' | 'checkedAt' | 'thumbprint'>;

/** What the user of a session is told that was ended because their provider or a rule refused them (`ending-reasons.ts`). */
export interface EndingReasons {
  /** Keeps the message for as long as the session would have lasted. Never rejects: a session must end without its reason, too. */
  keep(record: SessionRecord, message: string): Promise<void>;
  /** What this process has kept itself, without I/O. */
  here(session: string): string | undefined;
  /** Undefined where there is none, or the store does not say so at once. */
  ofSession(session: string): Promise<string | undefined>;
  /** @param thumbprint SHA-256 of the client certificate, base64url, of a connection that was made with it */
  ofKey(thumbprint: string): Promise<string | undefined>;
}

/** Why nothing was minted or opened. */
export type MintRejection =
  | 'session_unknown' // absent: ended, revoked or never there
  | 'session_expired' // past its absolute or idle end
  | 'session_revoked' // a watermark of its account, provider or of all is above the place where its sign-in started
  | 'account_locked'
  | 'fresh_sign_in_needed' // the account was revoked since the person last proved who they are (`open` only)
  | 'sessions_too_many' // the account has as many live sessions as one may have (`open` only)
  | 'certificate_mismatch' // bound to another certificate
  | 'epoch_changed'; // the store has begun a new life since

export type MintOutcome =
  | { readonly ok: true; readonly position: LogPosition; readonly record: SessionRecord }
  | { readonly ok: false; readonly reason: MintRejection };

/** A session at a provider, in which several of ours may have been opened. */
export interface ProviderSession {
  readonly provider: string;
  readonly sid: string;
}

/**
 * `newest` and `oldest` go by when a session was opened, the others by its last mint. One that is used while somebody turns pages moves, and
 * may be passed over or shown twice by the last two.
 */
export type SessionOrder = 'newest' | 'oldest' | 'last-used' | 'least-used';

export interface SessionQuery {
  /** At most one of the three. */
  readonly account?: Account;
  readonly username?: string;
  readonly providerSession?: ProviderSession;
  /** Default: newest. Counts only where none of the three above is given. */
  readonly order?: SessionOrder;
  /**
   * Only these. Judged after unsealing; must not throw. One call looks at no more than 2,000 sessions, so a page may be short, even empty, and
   * still have a cursor.
   */
  readonly where?: (session: SessionRecord) => boolean;
  /** Where an earlier page ended, in the same order. Opaque. */
  readonly cursor?: string;
  readonly limit: number;
}

export interface SessionPage {
  readonly sessions: readonly SessionRecord[];
  /** There may be more. */
  readonly cursor?: string;
}

export interface SessionStore {
  /**
   * Opens a session: one script checks the epoch, that the account is not locked, that no watermark of the account, its provider or of all
   * is above `startedAt.number` (somebody may stand at the provider's page while the account is revoked), that the provider has not said that
   * its session is over (`closeProviderSession`; `session_revoked`), and that `authTime` is not before the last revocation of one of the
   * account's sessions or of the account (docs/architecture.md#invariant-11: its next sign-in is a fresh one), then writes.
   * @throws AppError `store_unavailable` (`epoch_unsettled`) while a new epoch is younger than W: locks may still be on their way
   */
  open(session: NewSession, secret: SessionSecret): Promise<MintOutcome>;
  /**
   * The one gate before every token: one script checks epoch, that the session exists and is neither past its ends nor
   * covered by a watermark, its account's lock and its binding; sets the binding where there was none; moves `lastUsedAt`; returns the
   * log's place.
   * @throws AppError `store_unavailable` (`epoch_unsettled`) as `open`
   */
  mint(id: string, options: { readonly thumbprint?: string }): Promise<MintOutcome>;
  /** The record, or undefined when absent or past an end. */
  read(id: string): Promise<SessionRecord | undefined>;
  readSecret(id: string): Promise<SessionSecret | undefined>;
  /**
   * Keeps what a re-check at the provider brought, and moves `checkedAt`. Where the identity differs, in the same script: `version` + 1 and an
   * `identity-changed` entry in the log. Nothing happens (undefined) when the session is gone meanwhile.
   * @param change.checked false: the re-check is not over, and `checkedAt` stays
   */
  update(
    id: string,
    change: { readonly identity: Identity; readonly secret: SessionSecret; readonly checked?: false },
  ): Promise<SessionRecord | undefined>;
  /** A page of sessions in the order asked for. Ended sessions are not listed. @throws AppError `bad_request` (`bad_cursor`) */
  list(query: SessionQuery): Promise<SessionPage>;
  /**
   * The provider says that this session of its own is over: from now on, until no sign-in that began before can finish any more, none is opened
   * in it. Those that stand are found by `list` and ended by the log.
   */
  closeProviderSession(session: ProviderSession): Promise<void>;
  /** Number of sessions that have not ended. */
  count(): Promise<number>;
  /** Takes the right to re-check this session for `ttlSeconds`, over all replicas. False when another holder has it. */
  claimRecheck(id: string, holder: string, ttlSeconds: number): Promise<boolean>;
  releaseRecheck(id: string, holder: string): Promise<void>;
}

// --- Locks ---------------------------------------------------------------------------------------------------------

/** An account that may not sign in. Locks outlive epochs: replicas that know one write it back into a store that has forgotten it. */
export interface Lock {
  readonly account: Account;
  /** The admin's own words. */
  readonly reason: string;
  /** Username of the admin. */
  readonly by: string;
  /** Epoch seconds. */
  readonly at: number;
}

/** Locks are set by `RevocationLog.append`, in the same script as the revocation that goes with them. */
export interface LockStore {
  find(account: Account): Promise<Lock | undefined>;
  /** In no particular order. */
  list(): Promise<readonly Lock[]>;
  /** Removes the lock and writes an `unlocked` entry, in one script. @returns false where there was none */
  remove(account: Account): Promise<boolean>;
}

/** Accounts of which something was revoked: their next sign-in has to show that the user has authenticated since. */
export interface FreshSignIns {
  /** Since when, epoch seconds; undefined where none is needed. */
  find(account: Account): Promise<number | undefined>;
  /**
   * From now on any sign-in will do, until the next revocation.
   * @param upTo as `find` said: what was revoked later stays, because whoever lifts has not seen it. Absent: whatever there is
   */
  lift(account: Account, upTo?: number): Promise<'lifted' | 'none' | 'newer'>;
}

// --- Revocation log ------------------------------------------------------------------------------------------------

/** One running process as the others see it. */
export interface ReplicaState {
  /** Random per process start, because a pod's name comes back. */
  readonly incarnation: string;
  /** Host or pod name, for people. */
  readonly name: string;
  /** Counts its renewals; that it moves is what proves life. */
  readonly count: number;
  /** Number of the last entry it has applied. */
  readonly number: number;
  /** Streams it has cut so far. */
  readonly streamsCut: number;
  /** L: how long a lease of its lasts, in milliseconds. Absent where its version registers none; `leaseOf` says what is assumed then. */
  readonly leaseMs?: number;
  /** Its part in the latest drill. */
  readonly drill?: DrillPart;
}

/** A replica's part in a drill: a watch of its own to itself, for a session that is then revoked. */
export interface DrillPart {
  readonly id: string;
  readonly state: 'open' | 'cut' | 'failed';
  /** Of `failed`: why, in words. */
  readonly reason?: string;
}

export interface Renewal {
  readonly epoch: string;
  /** Names the server process that answered: an epoch never outlives it. */
  readonly regime: string;
  /** All entries after the caller's number, in order, without gaps. */
  readonly entries: readonly LogEntry[];
  readonly replicas: readonly ReplicaState[];
  /**
   * The longest lease that anybody may still hold, whether the replica has renewed in this epoch or only in an earlier one: L of each replica
   * counts from its last renewal until its lease has run out.
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
  /** EPOCH: the store began a new life. GAP: entries after mine were trimmed. ROLLBACK: the log is behind me. Join afresh. */
  | { readonly ok: false; readonly reason: 'epoch' | 'gap' | 'rollback' };

export interface AppendRequest {
  /** Idempotency: the same request id again returns the first answer and writes nothing. */
  readonly requestId: string;
  readonly target: RevocationTarget;
  /** With an account: locks it. */
  readonly lock?: Omit<Lock, 'account'>;
  /**
   * With a session: it came to its end in good order (it expired, its own person signed out). No fresh sign-in is asked for, and the browser
   * session through which it was opened stays.
   */
  readonly ended?: boolean;
  /** False: what was revoked casts no doubt on who the user is, so no fresh sign-in is asked for. The browser session goes all the same. */
  readonly asksFreshSignIn?: boolean;
  /** Id of an `Approval` that this takes: where it is not there (any more) nothing is written. */
  readonly approval?: string;
}

export interface Appended {
  readonly position: LogPosition;
  readonly regime: string;
  /** False where not enough followers have confirmed the entry in time. It stands, but a failover might still forget it. */
  readonly acknowledged: boolean;
  /** Sessions that ended with it and were alive, the browser session through which a revoked one was opened included. */
  readonly sessions: number;
  readonly replicas: readonly ReplicaState[];
}

export interface RevocationLog {
  /** As of the last renewal: whether anything is minted. False in the first moments of the store's life (`open`). */
  readonly settled: boolean;
  /** Where the log stands now: taken when a sign-in starts. Creates the epoch of an empty store. */
  position(): Promise<LogPosition>;
  /**
   * The live entries and the place to renew from; the number is taken before the entries are read.
   * @param longestTokenSeconds the longest life that this replica gives a token. The store keeps the longest it was ever told, and
   *   every entry stands for that long plus skew
   */
  join(longestTokenSeconds: number): Promise<Joined>;
  /**
   * Writes this replica's state and returns what came after `position`; one script, so a fresh lease means a fresh view, and no lease is
   * granted whose length is not registered.
   * @throws AppError `store_unavailable` also where not enough followers confirmed the round: nothing may be built on it
   */
  renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome>;
  /**
   * Takes a replica out of the registry: this one at its clean shutdown, or another that has not moved for long.
   * @param count with which the other was last seen. One that has moved since has a lease, and stays
   */
  leave(incarnation: string, count?: number): Promise<void>;
  /**
   * Revokes: one script takes the next number, writes entry, watermark and lock, and deletes the covered sessions with their
   * artefacts (those of `provider` and `all` may be deleted after the script has answered: the watermark refuses them already). A session
   * takes the browser session with it through which it was opened; that is an entry of its own, before the answer's number. A session or
   * an account must sign in freshly from now on (`open`). An approval goes in the same script: either the revocation stands and the approval
   * is spent, or neither.
   * @throws AppError `conflict` (`request_id_reused`, `approval_spent`)
   */
  append(request: AppendRequest): Promise<Appended>;
  /** Whether `append` has written this very request and would only answer it again. Nothing is written. */
  hasWritten(request: Pick<AppendRequest, 'requestId' | 'target' | 'lock'>): Promise<boolean>;
  /** Writes a `drill` entry. */
  announceDrill(id: string): Promise<LogPosition>;
  /** Resolves when there may be an entry after `number`, or when `signal` aborts. Only for speed: it grants nothing. */
  waitForEntry(number: number, signal: AbortSignal): Promise<void>;
}
