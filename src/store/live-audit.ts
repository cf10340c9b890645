/** What replicas share of the audit record: none of it is the record itself. */
import type { RecentRequest } from '../core/audit/recent-request.ts';

// --- Live record ---------------------------------------------------------------------------------------------------

/** What somebody who tails wants to see. Room `audit` knows the fields; `{}` is everything. */
export type LiveFilter = Readonly<Record<string, string>>;

export interface LiveLimits {
  /** How long a wish stands without being repeated. Judged by the store's own time, because it is a matter of seconds. */
  readonly ttlMs: number;
  /** Tails of all replicas together. */
  readonly most: number;
}

export type SubscriptionState =
  /** It has stood without a break since it was first told: nothing that it matches was left out. */
  | { readonly kind: 'stands' }
  /** It stands from now on; what comes after `place` is seen. */
  | { readonly kind: 'new'; readonly place: string }
  | { readonly kind: 'full' };

/** A wish as a replica finds it. */
export interface Subscription {
  /** Names the wish, and another once its filter has changed. Opaque. */
  readonly wish: string;
  readonly filter: LiveFilter;
  /** This replica has said that it sees to it. */
  readonly taken: boolean;
}

export interface LiveEntry {
  readonly place: string;
  /** As it was published; absent where only the place counts. */
  readonly text?: string;
}

/**
 * What replicas show each other of the audit record while somebody tails: the latest thousand or so, kept for a minute after the last one
 * has gone. A view and never the record itself: it may lack lines, and then says so.
 */
export interface LiveAuditLog {
  /** Says, or repeats, that the tail of this id wants to see what `filter` matches. */
  want(tail: string, filter: LiveFilter, limits: LiveLimits): Promise<SubscriptionState>;
  /** Takes a wish back. */
  leave(tail: string): Promise<void>;
  /** What the tails of all replicas want to see now. @param replica incarnation of the one that asks */
  wanted(replica: string): Promise<readonly Subscription[]>;
  /** The replica shows from now on what these wishes are about. One that stands no more is passed over. */
  takeUp(replica: string, wishes: readonly string[]): Promise<void>;
  /** Whether every replica of the registry (`RevocationLog.renew`) has taken this tail's wish up. False where it has none. */
  isTakenUp(tail: string): Promise<boolean>;
  /** Resolves when there may be a new wish, or when `signal` aborts. Only for speed: a wish may come unheard. */
  waitForWish(signal: AbortSignal): Promise<void>;
  /** Adds in order. Nothing is kept where nobody tails. Sealed at rest. */
  publish(texts: readonly string[]): Promise<void>;
  /**
   * What came after a place.
   * @param place `MILLISECONDS-COUNT`, as it was told
   * @returns `gap` where the place is not there any more, so that entries behind it may be gone
   */
  read(place: string, limit: number): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }>;
}

// --- Anchors of the record -----------------------------------------------------------------------------------------

/**
 * Where the chains of the audit record stand, outside the files that hold them. The texts are signed by room `audit`; here they are only
 * kept, in every epoch: the latest thousand chains, one anchor each.
 */
export interface AnchorStore {
  /** Replaces the chain's anchor. */
  put(chain: string, anchor: string): Promise<void>;
  /** Every one that is kept, in no particular order. */
  list(): Promise<readonly string[]>;
}

// --- Recent requests -----------------------------------------------------------------------------------------------

/** What is shown of a session's latest requests: a convenience beside the record, which holds them all. */
export interface RecentStore {
  /**
   * Adds to what is kept of a session: its newest 50, sealed, gone with the session. The last added of one audit id counts. Nothing is written
   * for a session that is not there or has ended.
   */
  add(session: string, requests: readonly RecentRequest[]): Promise<void>;
  /** Newest first, at most 50; empty for an unknown session. */
  read(session: string): Promise<readonly RecentRequest[]>;
}
