/** Access requests, and what was granted: one state for all replicas. */
import type { AccessRequest, GrantPeriod } from '../core/access/request.ts';
import type { Account } from '../core/identity/identity.ts';

/** A request as it is stored. */
export interface StoredRequest {
  readonly request: AccessRequest;
  /** Counts its changes, from 1. A change names the version that it was decided by. */
  readonly version: number;
  /** Of one that is open, as `find` and `list` return it: its session has ended, whatever ended that. */
  readonly sessionOver?: true;
}

/** Why nothing was written. */
export type AccessWriteRejection =
  | 'request_unknown' // never there, of an earlier epoch, or no longer kept
  | 'request_changed' // another version is stored: read it again
  | 'request_over' // past `openUntil`
  | 'session_over' // the session that asked has ended, whatever ended it
  | 'session_delegated'
  | 'approver_over' // the session that gave one of its approvals has ended, or the account is locked (`begin`)
  | 'account_locked'
  | 'requests_too_many' // `MOST_OPEN`, and of one role `mostOfRole`
  | 'requests_of_account_too_many' // `MOST_OPEN_OF_ACCOUNT`
  | 'grants_too_many' // `MOST_GRANTS`, and of one role `mostOfRole`
  | 'grants_of_account_too_many' // `MOST_GRANTS_OF_ACCOUNT`
  | 'grants_of_session_too_many'; // `MOST_GRANTS_OF_SESSION`

export type AccessWrite =
  | { readonly ok: true; readonly stored: StoredRequest }
  | { readonly ok: false; readonly reason: AccessWriteRejection };

export interface AccessQuery {
  readonly account?: Account;
  /** Only those with state `open`. One past `openUntil` is among them until it is changed to `expired`. */
  readonly open?: true;
  /** Must not throw. One call examines at most `mostExamined` requests, so a page may be short and still have a cursor. */
  readonly where?: (request: AccessRequest, stored: Pick<StoredRequest, 'sessionOver'>) => boolean;
  /** With `where`. Default and most: 2,000. */
  readonly mostExamined?: number;
  /** Where an earlier page ended. Opaque. */
  readonly cursor?: string;
  readonly limit: number;
}

/** A grant that has begun and whose end is not written yet. */
export interface ActiveGrant {
  readonly stored: StoredRequest;
  /** Of the grant, by the store's clock; 0 or less where it is over. */
  readonly leftMs: number;
  /** False where the session has ended, whatever ended it. */
  readonly sessionActive: boolean;
}

/** What is noted of a grant before it has ended. */
export type GrantNote = Pick<GrantPeriod, 'audited' | 'ending' | 'endedBy' | 'revocation'>;

export interface AccessStore {
  /** Stores a new request, open or granted at once (`approval: none`: `grant` as in `begin`). One script checks all limits. */
  create(request: AccessRequest, options?: { readonly grantSeconds?: number }): Promise<AccessWrite>;
  /** Undefined if it is unknown, of an earlier epoch, or no longer kept. */
  find(id: string): Promise<StoredRequest | undefined>;
  /** Newest first. */
  list(query: AccessQuery): Promise<{ readonly requests: readonly StoredRequest[]; readonly cursor?: string }>;
  /**
   * Replaces a request, if the stored version is still the one that was read: of two approvals at once, one is written and
   * the other decides again. Takes no right away and gives none.
   */
  change(read: StoredRequest, next: AccessRequest): Promise<AccessWrite>;
  /**
   * The same, and begins the grant in the same script, so that there is no state between approval and begin: the session is
   * active, of the same account and no delegated one, its account is not locked, the request is still open, and so is each
   * session that approved it: a grant that began after a revocation's receipt must not rest on what was revoked. The script
   * sets the period by the store's clock, puts the grant into the session, and writes a notice with `cacheKey(session)`, so
   * that the next request on each replica has the groups.
   * @param next with state `granted`; its `grant` is set here
   */
  begin(read: StoredRequest, next: AccessRequest, grantSeconds: number): Promise<AccessWrite>;
  /**
   * Notes of a grant that goes on that its begin was audited, or how it is about to be ended, so that another replica can do
   * what one that dies then leaves undone. Idempotent; of several endings the first counts. Takes no right away.
   * @returns as it is then; undefined as by `find`
   */
  note(id: string, note: GrantNote): Promise<StoredRequest | undefined>;
  /**
   * Notes how a grant ended, after `RevocationLog.append` of its target has ended it. Idempotent; the first ending counts.
   */
  ended(id: string, ending: Pick<GrantPeriod, 'ending' | 'endedBy' | 'revocation'>): Promise<StoredRequest | undefined>;
  /** Every grant that has begun and has not been `ended`; at most `MOST_GRANTS`. */
  active(): Promise<readonly ActiveGrant[]>;
  /**
   * Returns a page of them, in the order in which they were asked for: at most 50, and only those that can be read.
   * @param cursor where an earlier page ended; absent: the first
   * @throws AppError `bad_request` (`bad_cursor`)
   */
  activePage(cursor?: string): Promise<{ readonly grants: readonly ActiveGrant[]; readonly cursor?: string }>;
  /** Claims the writing of a grant's end for `ttlSeconds`, across all replicas. False if another holder has it. */
  claimEnding(id: string, holder: string, ttlSeconds: number): Promise<boolean>;
}
