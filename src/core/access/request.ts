/** Access requests, from the question to the end of what was granted. */
import type { Account } from '../identity/identity.ts';
import type { RoleTerms } from './role.ts';

/**
 * - `open`: waits for approvals
 * - `granted`: the grant has begun, and may be over by time: `grant.endsAt` says
 * - `denied`, `withdrawn` (by its user, or with its session), `expired` (no one decided in time): it was never granted
 * - `ended`: the grant is over
 */
export const ACCESS_STATES = ['open', 'granted', 'denied', 'withdrawn', 'expired', 'ended'] as const;
export type AccessState = (typeof ACCESS_STATES)[number];

/**
 * Why a grant is over: `expired`; ended by its `user`, an `approver` or an `admin`; its `session` has ended, whatever ended
 * that; its user has left the groups that may ask (`group`); its `role` is not configured any more; its request is `lost`,
 * because what the store had of it was removed or changed.
 */
export type GrantEnding = 'expired' | 'user' | 'approver' | 'admin' | 'session' | 'group' | 'role' | 'lost';

/**
 * Why an approval counts no longer: its approver could not give it now. Their account is `locked`; the `session` that
 * gave it has ended, whatever ended that; they have left the groups that approve (`group`); their provider does not confirm
 * them any more, because it cannot be asked (`unconfirmed`).
 */
export const APPROVAL_LAPSES = ['locked', 'session', 'group', 'unconfirmed'] as const;
export type ApprovalLapse = (typeof APPROVAL_LAPSES)[number];

/** Said of an approval that counts no longer, to those who look at the request. */
export const LAPSE_TEXTS: Readonly<Record<ApprovalLapse, string>> = {
  locked: 'the account is locked',
  session: 'the session that gave it has ended',
  group: 'not among the approvers any more',
  unconfirmed: 'the identity provider cannot be asked about this user again',
};

export interface AccessDecision {
  readonly account: Account;
  /** Of an approval: the session that gave it. Absent in those of earlier versions. */
  readonly session?: string;
  readonly username: string;
  /** Epoch seconds. */
  readonly at: number;
  readonly approved: boolean;
  /** Of an approval: names of the same user at any provider, folded, so that one human approves once. Never shown. */
  readonly knownAs?: readonly string[];
  /** Of the user who decided; hostile text of at most `MOST_REASON` characters. */
  readonly reason?: string;
  /** Of an approval that counts no longer. It may be given again. */
  readonly lapsed?: ApprovalLapse;
}

export interface AccessRequest {
  /** 128 random bits, base64url. Also the id of its grant. Not a secret. */
  readonly id: string;
  /** The session that asked. What is granted is for this session, and ends with it. */
  readonly session: string;
  readonly account: Account;
  readonly provider: string;
  readonly username: string;
  /** Names of the same user at any provider, folded (`same-user.ts`): none of them may approve. */
  readonly knownAs: readonly string[];
  readonly terms: RoleTerms;
  /** '' if none was given. Hostile text of at most `MOST_REASON` characters. */
  readonly reason: string;
  /** How long it should last. */
  readonly seconds: number;
  /** Epoch seconds. */
  readonly requestedAt: number;
  /** Epoch seconds until which it may be approved. */
  readonly openUntil: number;
  readonly address: string;
  /** The name that the program gave its device. Only shown. */
  readonly deviceName?: string;
  readonly state: AccessState;
  /** Of one that is `withdrawn`: its session has ended. Absent: its user withdrew it. */
  readonly sessionEnded?: true;
  readonly decisions: readonly AccessDecision[];
  /** Present from `granted` on. */
  readonly grant?: GrantPeriod;
}

export interface GrantPeriod {
  /** Epoch milliseconds, by the store's clock. */
  readonly beganAt: number;
  /** As was approved; a grant may be over earlier. */
  readonly endsAt: number;
  /** Its begin is in the audit log. Absent: a replica that finds it writes that, because the one that began it got no response. */
  readonly audited?: true;
  /** Epoch seconds; of `ended`. */
  readonly endedAt?: number;
  /** Of one that is `granted` still: someone is about to end it. */
  readonly ending?: GrantEnding;
  /** Username of the user who ended it. */
  readonly endedBy?: string;
  /** Id of the revocation that ended it, whose receipt says what each replica did. */
  readonly revocation?: string;
}

/** A grant in a session, as the store returns it. */
export interface SessionGrant {
  /** Of the request. */
  readonly id: string;
  readonly role: string;
  readonly groups: readonly string[];
  /** Absent: all. */
  readonly clusters?: readonly string[];
  /** Epoch milliseconds, by the store's clock. */
  readonly endsAt: number;
  /**
   * Milliseconds that it had left when the store replied, by the store's clock. A replica counts them down on its own
   * monotonic clock, from before it asked, so no clock that is set moves the end (docs/revocation-protocol.md#grants).
   */
  readonly leftMs: number;
}

/** Whether it is a grant that has begun, and whose time is not over by this server's clock. */
export const isActive = ({ state, grant }: Pick<AccessRequest, 'state' | 'grant'>, nowMs: number): boolean =>
  state === 'granted' && grant !== undefined && grant.endsAt > nowMs;

/** Whether it waits for approvals, and may still get them. */
export const isOpen = ({ state, openUntil }: Pick<AccessRequest, 'state' | 'openUntil'>, nowSeconds: number): boolean =>
  state === 'open' && nowSeconds < openUntil;

/** Returns an open request as one that is over because its session is. */
export const withSessionEnded = (request: AccessRequest): AccessRequest => ({
  ...request,
  state: 'withdrawn',
  sessionEnded: true,
});

/** Returns the approvals that count. */
export const approvalsOf = ({ decisions }: Pick<AccessRequest, 'decisions'>): readonly AccessDecision[] =>
  decisions.filter(({ approved, lapsed }) => approved && lapsed === undefined);

/** Seconds that a request waits for its approvals. */
export const OPEN_SECONDS = 24 * 3600;
/** Characters of a reason. */
export const MOST_REASON = 500;
/** Open requests of one account, and of all. An attacker who may ask would else fill the store, and the approvers' queue. */
export const MOST_OPEN_OF_ACCOUNT = 10;
export const MOST_OPEN = 500;
/** Grants of one session at a time, of one account, and of all: each replica knows all of them. */
export const MOST_GRANTS_OF_SESSION = 5;
export const MOST_GRANTS_OF_ACCOUNT = 10;
export const MOST_GRANTS = 1000;
/**
 * How many of one role there may be, of grants or of open requests: as many as are free still, so never more than half. The
 * requesters of one role, however many attackers are among them, leave something for those of every other one.
 * @param most of all roles together
 * @param all those that there are now
 */
export const mostOfRole = (most: number, all: number): number => most - all;
/** Requests of one account within a day, whatever became of them: an attacker asks and withdraws in a loop. */
export const MOST_DAILY_OF_ACCOUNT = 200;
/** Seconds that a grant may last at most, whatever the role says (`access.roles[].longest`). */
export const LONGEST_GRANT_SECONDS = 86_400;
/** Requests that are kept for lists; of more, those that have been over for longest are dropped first. */
export const MOST_KEPT = 10_000;
/** How long a request that is over is kept for lists. The audit log has it for as long as that is kept. */
export const HISTORY_SECONDS = 30 * 86_400;

/** Changes when the state or a decision does; an approval that counts no longer is a change too. */
export const versionOf = (request: AccessRequest): string =>
  [request.state, request.decisions.length, approvalsOf(request).length].join(' ');
