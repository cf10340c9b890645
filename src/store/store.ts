/**
 * Store: what must survive between requests and be shared between replicas.
 *
 * Owns sessions, the artefacts of OAuth and of sign-in, and the revocation log, with every Redis command. Each
 * method states what is atomic and how long it lasts. Must not know HTTP, OAuth's rules, permissions, or how a
 * revocation is proven (module `revocation`). Two implementations, memory and Redis, pass one suite
 * (test/conformance).
 *
 * The injected clock decides about expiry; a Redis TTL only cleans up. Tokens are stored as hashes and payloads
 * are sealed, so a dump of Redis contains no usable credential. If the store is unavailable or slower than 250 ms
 * (500 ms for a renewal or a revocation that followers must confirm; a join may read many pages, each within that
 * time), methods throw `AppError` `store_unavailable`. Callers do not catch it, so that nothing is ever allowed
 * because a check could not be made.
 */
import type { Delegation } from '../core/delegation/delegation.ts';
import type { SessionGrant } from '../core/access/request.ts';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { LogPosition } from '../core/credential/revocation.ts';
import type { AccessStore } from './access.ts';
import type { ArtefactStore } from './artefacts.ts';
import type { AnchorStore, LiveAuditLog, RecentStore } from './live-audit.ts';
import type { LockStore, RevocationLog } from './revocation-log.ts';

export type {
  AccessQuery,
  AccessStore,
  AccessWrite,
  AccessWriteRejection,
  ActiveGrant,
  GrantNote,
  StoredRequest,
} from './access.ts';
export type { ArtefactKind, ArtefactPayload, ArtefactStore, SaveArtefact } from './artefacts.ts';
export { everyPage } from './every-page.ts';
export { idleEndOf, lastUseOf } from './last-use.ts';
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
export type {
  AppendRequest,
  Appended,
  DrillPart,
  Joined,
  Lock,
  LockStore,
  RenewOutcome,
  Renewal,
  ReplicaState,
  RevocationLog,
  DelegatedLabel,
  EndedDelegations,
} from './revocation-log.ts';

export interface Store {
  readonly artefacts: ArtefactStore;
  readonly sessions: SessionStore;
  readonly log: RevocationLog;
  readonly locks: LockStore;
  readonly freshSignIns: FreshSignIns;
  readonly live: LiveAuditLog;
  readonly anchors: AnchorStore;
  readonly recent: RecentStore;
  readonly access: AccessStore;
  readonly sealed: SealedValues;
  /** Resolves when the store responds. */
  ping(): Promise<void>;
  /** The used part of the memory limit, from 0 to 1; undefined if there is no limit. */
  fullness(): Promise<number | undefined>;
  close(): Promise<void>;
}

// --- Sealed values -------------------------------------------------------------------------------------------------

export type ReencryptOutcome =
  /**
   * Number of values that an older key had sealed and that are re-encrypted now. 0: the older keys are no longer
   * needed.
   */
  | { readonly kind: 'done'; readonly found: number }
  /** Another replica is re-encrypting. */
  | { readonly kind: 'elsewhere' };

export interface SealedValues {
  /**
   * Re-encrypts long-lived values that were sealed by another key than the current one, page by page. One holder
   * does so at a time, and newer values are never overwritten. If a holder stops half-way, another takes over a
   * minute later.
   * @param pause called between two pages, so that other requests are not delayed
   */
  reencrypt(holder: string, pause: () => Promise<void>): Promise<ReencryptOutcome>;
}

// --- Sessions ------------------------------------------------------------------------------------------------------

/** One sign-in of one user on one device, from sign-in to end. */
export interface SessionRecord {
  readonly id: string;
  readonly account: Account;
  readonly provider: string;
  readonly subject: string;
  /** OAuth client id, or `BROWSER_CLIENT`. */
  readonly client: string;
  /** The impersonation credential. */
  readonly identity: Identity;
  /** Counts changes of `identity` and `authTime`, from 1. */
  readonly version: number;
  /** Epoch seconds. */
  readonly createdAt: number;
  /** Epoch seconds of the last mint, or of `createdAt`. */
  readonly lastUsedAt: number;
  /**
   * Epoch seconds of its last request to a cluster, to the minute, where it came after `lastUsedAt`. Only shown: a
   * request does not move the idle end.
   */
  readonly lastRequestAt?: number;
  /** Absolute end, epoch seconds. */
  readonly expiresAt: number;
  /** Seconds without a mint after which the session ends. */
  readonly idleSeconds: number;
  /** Address from which the user signed in. */
  readonly address: string;
  readonly userAgent: string;
  /** The name that the program gave its device. Only shown: anyone who signs in chooses it. */
  readonly deviceName?: string;
  /** The log's position when the sign-in STARTED, which may be minutes before `createdAt`. */
  readonly startedAt: LogPosition;
  /** The user signed in by typing a code into another browser (RFC 8628); address and user agent are the device's. */
  readonly device?: true;
  /**
   * The browser session through which this one was opened. It ends when this one is revoked, because it would
   * otherwise sign in again silently.
   */
  readonly via?: string;
  /**
   * Epoch seconds at which the user last authenticated, as the provider reports it (OpenID Connect `auth_time`): at the
   * sign-in that opened the session, or later (`SessionStore.prove`).
   */
  readonly authTime?: number;
  /**
   * The provider's name for its own session in which the user signed in (`sid`, OpenID Connect Front-Channel
   * Logout 1.0 §3), if it gives one.
   */
  readonly providerSid?: string;
  /** Epoch seconds of the last re-check at the provider, or of `createdAt`. */
  readonly checkedAt: number;
  /** Binding: set by the first mint that presents a certificate, never changed afterwards; at `open` for a delegated one. */
  readonly thumbprint?: string;
  /** Present if it is a delegated session. Its `identity` is that of the user's own session, as it is now. */
  readonly delegation?: Delegation;
  /** Of a delegated session: epoch seconds at which one above it becomes idle. Moves with the mints of that one. */
  readonly parentIdleAt?: number;
  /** What was granted to it for a while and is not over. Absent for none. Never of a delegated one. */
  readonly grants?: readonly SessionGrant[];
  /** Names by which the same user is known at any provider (`knownAsOf`). Absent in sessions of earlier versions. */
  readonly knownAs?: readonly string[];
}

/** What is needed to check a user again at the provider; sealed, never listed. */
export interface SessionSecret {
  readonly refreshToken?: string;
}

/** What a re-check at the provider has brought. */
export interface SessionChange {
  readonly identity: Identity;
  /** Absent: what is stored stays. */
  readonly knownAs?: readonly string[] | undefined;
  readonly secret: SessionSecret;
  /** False: the re-check is not finished, and `checkedAt` stays. */
  readonly checked?: false;
}

export type NewSession = Omit<
  SessionRecord,
  'version' | 'lastUsedAt' | 'lastRequestAt' | 'checkedAt' | 'parentIdleAt' | 'grants'
>;

/** Messages for users whose session was ended because their provider or a rule rejected them (`ending-reasons.ts`). */
export interface EndingReasons {
  /**
   * Keeps the message for as long as the session would have lasted. Never rejects, because a session must end even
   * if its reason cannot be kept.
   */
  keep(record: SessionRecord, message: string): Promise<void>;
  /** Returns a message that this process has kept itself, without I/O. */
  here(session: string): string | undefined;
  /** Undefined if there is none, or if the store does not respond immediately. */
  ofSession(session: string): Promise<string | undefined>;
  /** @param thumbprint SHA-256, base64url, of the client certificate with which the connection was made */
  ofKey(thumbprint: string): Promise<string | undefined>;
}

/** Why no token was minted, or no session opened. */
export type MintRejection =
  | 'session_unknown' // absent: ended, revoked or never there
  | 'session_expired' // past its absolute or idle end
  | 'session_revoked' // a watermark of its account, provider or of all is above the position at which its sign-in started
  | 'account_locked'
  | 'fresh_sign_in_needed' // the account was revoked since the user last authenticated (`open` only)
  | 'parent_over' // a session above it has ended, whatever ended it; or a delegated session would outlive its parent (`open`)
  | 'delegations_too_many' // as many as one of the user's own sessions may have beneath it (`open` only)
  | 'sessions_too_many' // the account has as many live sessions as one may have (`open` only)
  | 'certificate_mismatch' // bound to another certificate
  | 'epoch_changed'; // the store has begun a new epoch since

export type MintOutcome =
  | { readonly ok: true; readonly position: LogPosition; readonly record: SessionRecord }
  | { readonly ok: false; readonly reason: MintRejection };

/** A session at a provider, in which several of our sessions may have been opened. */
export interface ProviderSession {
  readonly provider: string;
  readonly sid: string;
}

/**
 * `newest` and `oldest` sort by the time when a session was opened, the others by its last use (`lastUseOf`). A session that is
 * used while pages are read moves, so the last two may skip it or show it twice.
 */
export type SessionOrder = 'newest' | 'oldest' | 'last-used' | 'least-used';

export interface SessionQuery {
  /** At most one of the four. */
  readonly account?: Account;
  /** With `account`: not its delegated sessions, or these alone. The others are not unsealed, as they would be for `where`. */
  readonly only?: 'own' | 'delegated';
  /** Delegated sessions beneath this one, at any depth. */
  readonly ancestor?: string;
  readonly username?: string;
  readonly providerSession?: ProviderSession;
  /** Default: newest. Only used if none of the four above is given. */
  readonly order?: SessionOrder;
  /**
   * Filters sessions after unsealing; must not throw. One call examines at most `mostExamined` sessions, so a page may be
   * short, even empty, and still have a cursor.
   */
  readonly where?: (session: SessionRecord) => boolean;
  /** With `where`. Default and most: 500. */
  readonly mostExamined?: number;
  /** Where an earlier page in the same order ended. Opaque. */
  readonly cursor?: string;
  readonly limit: number;
}

export interface SessionPage {
  readonly sessions: readonly SessionRecord[];
  /** There may be more. */
  readonly cursor?: string;
}

/** Sessions that are counted together: of an account, beneath a session, of a username or of a provider; with none of the four, all. */
export type SessionGroup = Pick<SessionQuery, 'account' | 'ancestor' | 'username'> & { readonly provider?: string };

export interface SessionTally {
  readonly sessions: number;
  /** How many of them are delegated. */
  readonly delegated: number;
  /** How many accounts they have. */
  readonly users: number;
  /** True where there are more than were examined, which are 2,000 at most. */
  readonly more: boolean;
}

export interface SessionStore {
  /**
   * Opens a session. One script checks the epoch; that the account is not locked; that no watermark of the
   * account, its provider or of all is above `startedAt.number` (the account may be revoked while the user is at
   * the provider's page); that the provider has not ended its session (`closeProviderSession`; `session_revoked`);
   * and that `authTime` is not before the last revocation of the account or of one of its sessions
   * (docs/architecture.md#invariant-11: the next sign-in must be a fresh one). Then it writes.
   *
   * A delegated session is no sign-in, so no fresh one is demanded for it. The same script checks instead that every
   * session above it is alive (`parent_over`), that it ends no later than its parent, and that the user's own session has fewer
   * than `mostDelegations` beneath it.
   * @throws AppError `store_unavailable` (`epoch_unsettled`) while a new epoch is younger than W, because locks
   * may not have been written back yet
   */
  open(
    session: NewSession,
    secret: SessionSecret,
    options?: { readonly mostDelegations?: number },
  ): Promise<MintOutcome>;
  /**
   * Checks a session before every token is minted. One script checks the epoch, that the session exists and is
   * neither past its ends nor covered by a watermark, its account's lock and its binding; sets the binding if
   * there was none; moves `lastUsedAt`; and returns the log's position.
   * @throws AppError `store_unavailable` (`epoch_unsettled`) as `open`
   */
  mint(id: string, options: { readonly thumbprint?: string }): Promise<MintOutcome>;
  /** Returns the session; undefined when absent or past an end. */
  read(id: string): Promise<SessionRecord | undefined>;
  readSecret(id: string): Promise<SessionSecret | undefined>;
  /**
   * Stores the result of a re-check at the provider, and moves `checkedAt`. If the identity differs, the same
   * script increments `version` and writes an `identity-changed` entry; if `knownAs` alone differs, a notice as `prove`
   * does. Nothing happens (undefined) if the session has ended meanwhile.
   */
  update(id: string, change: SessionChange): Promise<SessionRecord | undefined>;
  /**
   * Notes that the user has authenticated again at the provider, for this session (step-up). Writes a notice with
   * `cacheKey(id)`, so that each replica knows it at its next request; streams go on. A time before the stored one changes
   * nothing.
   * @param authTime epoch seconds, as the provider reports it
   * @returns undefined if the session has ended meanwhile, or is a delegated one
   */
  prove(id: string, authTime: number): Promise<SessionRecord | undefined>;
  /**
   * Returns a page of sessions in the requested order, without those that have ended.
   * @throws AppError `bad_request` (`bad_cursor`)
   */
  list(query: SessionQuery): Promise<SessionPage>;
  /**
   * Marks a session at a provider as closed: no session is opened in it until every sign-in that began before has
   * expired. Existing sessions are found by `list` and ended through the log.
   */
  closeProviderSession(session: ProviderSession): Promise<void>;
  /** Returns the number of sessions that have not ended. */
  count(): Promise<number>;
  /** Counts sessions that have not ended. Unlike `list` it opens none of them, which takes a tenth of a millisecond each. */
  tally(group: SessionGroup): Promise<SessionTally>;
  /** Claims the re-check of this session for `ttlSeconds`, across all replicas. False if another holder has it. */
  claimRecheck(id: string, holder: string, ttlSeconds: number): Promise<boolean>;
  releaseRecheck(id: string, holder: string): Promise<void>;
}

// --- Fresh sign-ins ------------------------------------------------------------------------------------------------

/** Accounts of which something was revoked: their next sign-in must show that the user has authenticated since. */
export interface FreshSignIns {
  /** Returns since when, in epoch seconds; undefined if no fresh sign-in is needed. */
  find(account: Account): Promise<number | undefined>;
  /**
   * Accepts any sign-in from now on, until the next revocation.
   * @param upTo as `find` returned it. A later revocation stays in force, because the caller has not seen it.
   * Absent: lifts any
   */
  lift(account: Account, upTo?: number): Promise<'lifted' | 'none' | 'newer'>;
}
