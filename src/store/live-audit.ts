/**
 * What replicas share of the audit log: live views, anchors and recent requests. None of it is the audit log
 * itself.
 */
import type { RecentRequest } from '../core/audit/recent-request.ts';

// --- Live audit log
// ------------------------------------------------------------------------------------------------

/** The filter of a tail. The `audit` module knows the fields; `{}` matches everything. */
export type LiveFilter = Readonly<Record<string, string>>;

export interface LiveLimits {
  /**
   * How long a subscription is valid without being renewed. The store's own clock decides, because this is a
   * matter of seconds.
   */
  readonly ttlMs: number;
  /** Most tails of all replicas together. */
  readonly most: number;
}

export type SubscriptionState =
  /** The subscription has been valid without a break since it was first made: no event that it matches was left out. */
  | { readonly kind: 'stands' }
  /** The subscription is valid from now on; entries after `position` are seen. */
  | { readonly kind: 'new'; readonly position: string }
  | { readonly kind: 'full' };

/** A subscription as a replica reads it. */
export interface Subscription {
  /** Identifies the subscription, and changes with its filter. Opaque. */
  readonly id: string;
  readonly filter: LiveFilter;
  /** This replica has confirmed that it publishes matching events. */
  readonly accepted: boolean;
}

export interface LiveEntry {
  readonly position: string;
  /** The text as it was published; absent where only the position matters. */
  readonly text?: string;
}

/**
 * Lets replicas show each other their audit events while a tail is open: the latest thousand or so, kept for a
 * minute after the last tail has closed. This is a view of the audit log and never the log itself: events may be
 * missing, and then it reports a gap.
 */
export interface LiveAuditLog {
  /** Makes or renews the subscription of this tail to the events that `filter` matches. */
  subscribe(tail: string, filter: LiveFilter, limits: LiveLimits): Promise<SubscriptionState>;
  /** Ends a subscription. */
  unsubscribe(tail: string): Promise<void>;
  /**
   * Returns the subscriptions of the tails of all replicas.
   * @param replica incarnation of the calling replica
   */
  subscriptions(replica: string): Promise<readonly Subscription[]>;
  /**
   * Confirms that the replica publishes events for these subscriptions from now on. One that has expired is
   * skipped.
   */
  accept(replica: string, subscriptions: readonly string[]): Promise<void>;
  /**
   * Returns whether every registered replica (`RevocationLog.renew`) has accepted this tail's subscription; false
   * if it has none.
   */
  isAcceptedByAll(tail: string): Promise<boolean>;
  /**
   * Resolves when there may be a new subscription, or when `signal` aborts. Only for speed: a notification may be
   * lost.
   */
  waitForSubscription(signal: AbortSignal): Promise<void>;
  /** Appends texts in order, sealed. Nothing is kept if there is no tail. */
  publish(texts: readonly string[]): Promise<void>;
  /**
   * Returns the entries after a position.
   * @param position `MILLISECONDS-COUNT`, as it was returned before
   * @returns `gap` if the position is no longer there, so that later entries may have been removed as well
   */
  read(position: string, limit: number): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }>;
}

// --- Anchors of the audit log
// --------------------------------------------------------------------------------------

/**
 * Stores how far each chain of the audit log has got, outside the files that hold it. The `audit` module signs the
 * texts; this store keeps them in every epoch: the latest thousand chains, one anchor each.
 */
export interface AnchorStore {
  /** Replaces the chain's anchor. */
  put(chain: string, anchor: string): Promise<void>;
  /** Returns every anchor, in no particular order. */
  list(): Promise<readonly string[]>;
}

// --- Recent requests -----------------------------------------------------------------------------------------------

/** The latest requests of each session: a convenience. The audit log has them all. */
export interface RecentStore {
  /**
   * Adds to the newest 50 requests of a session, which are sealed and deleted with it. Of several with the same
   * audit id, the last one counts. Nothing is written for a session that does not exist or has ended. Moves the
   * session's `lastRequestAt` to the newest of them, at most once a minute.
   */
  add(session: string, requests: readonly RecentRequest[]): Promise<void>;
  /**
   * Returns at most 50, newest first; empty for an unknown session.
   * @param most fewer: of those that were added last, and no others are then read
   */
  read(session: string, most?: number): Promise<readonly RecentRequest[]>;
  /** The same of several sessions, in their order and in one call of the store: for some twenty at most. */
  readEach(sessions: readonly string[]): Promise<readonly (readonly RecentRequest[])[]>;
}
