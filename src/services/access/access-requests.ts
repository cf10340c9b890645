/**
 * What the pages and the APIs may do with access requests. Each method audits what it does and what it rejects.
 * All texts of users in what it returns are hostile: escape them where they are shown.
 */
import type { AccessResult } from '../../core/api/rejections.ts';
import type { AccessRequest, AccessState } from '../../core/access/request.ts';
import type { AccessRole } from '../../core/access/role.ts';
import type { Account } from '../../core/identity/identity.ts';
import type { RecentRequest } from '../../core/audit/recent-request.ts';
import type { Actor, RequestContext } from '../../http/request-context.ts';
import type { RevocationResult } from '../../revocation/revocation.ts';

/** Who asks or decides, with the request that the audit event is about. The session of the actor is no delegated one. */
export interface AccessCaller {
  readonly actor: Actor;
  readonly context: RequestContext;
  readonly path: string;
}

/** A role that this user may ask for. */
export interface OfferedRole {
  readonly role: Pick<
    AccessRole,
    'name' | 'description' | 'groups' | 'clusters' | 'approval' | 'longest' | 'reason' | 'freshness'
  >;
  /** True where it must be asked for after a fresh sign-in, and the caller's is too old. */
  readonly needsFreshSignIn: boolean;
}

export interface AccessPage {
  readonly requests: readonly AccessRequest[];
  readonly cursor?: string;
}

/** What an approver sees of the requester. */
export interface RequesterBackground {
  readonly recent: readonly RecentRequest[];
  /** Earlier requests of the account, newest first. */
  readonly former: readonly AccessRequest[];
}

export interface EndedGrant {
  readonly request: AccessRequest;
  /** Absent where it had not begun: it was withdrawn. */
  readonly result?: RevocationResult;
}

/** What a user may do with a request, as it is and as they are: `may` of the API for programs. */
export type AccessAction = 'approve' | 'deny' | 'end' | 'withdraw';

/** What each method rejects is a reason (core/api/rejections.ts). */
export interface AccessRequests {
  roles(caller: AccessCaller): readonly OfferedRole[];
  /** Requests of the caller's account. */
  mine(caller: AccessCaller, page: { readonly cursor?: string; readonly limit: number }): Promise<AccessPage>;
  /**
   * A page of the open requests that the caller may approve or deny now, then of the grants that they may end: about as many
   * as `limit`. Few of those that wait may be for this caller, so it may be short, even empty, and still have a cursor.
   * @throws AppError `bad_request` (`bad_cursor`)
   */
  queue(caller: AccessCaller, page: { readonly cursor?: string; readonly limit: number }): Promise<AccessPage>;
  /** One that the caller may see: its user, an approver of its role, an admin, an auditor. */
  find(caller: AccessCaller, id: string): Promise<AccessResult<AccessRequest>>;
  /** What the caller may do with it, but for a fresh sign-in, which the methods ask for. Throws nothing. */
  may(caller: AccessCaller, request: AccessRequest): readonly AccessAction[];
  /** For those who may decide about it, admins and auditors. */
  background(caller: AccessCaller, request: AccessRequest): Promise<AccessResult<RequesterBackground>>;
  /** @param order.session which of the caller's own sessions gets it; absent: the caller's */
  request(
    caller: AccessCaller,
    order: {
      readonly role: string;
      readonly seconds: number;
      readonly reason: string;
      readonly session?: string;
    },
  ): Promise<AccessResult<AccessRequest>>;
  approve(caller: AccessCaller, id: string, reason?: string): Promise<AccessResult<AccessRequest>>;
  deny(caller: AccessCaller, id: string, reason?: string): Promise<AccessResult<AccessRequest>>;
  /** Withdraws an open request of one's own, or ends a grant: its user, an approver of its role, or an admin. */
  end(caller: AccessCaller, id: string, reason?: string): Promise<AccessResult<EndedGrant>>;
  /** Grants that are active, for admins and auditors: two hundred, and where there are more a cursor. */
  active(caller: AccessCaller): Promise<AccessResult<AccessPage>>;
  /** All requests, for admins and auditors; newest first. */
  history(
    caller: AccessCaller,
    query: {
      readonly account?: Account;
      readonly role?: string;
      readonly state?: AccessState;
      readonly cursor?: string;
      readonly limit: number;
    },
  ): Promise<AccessResult<AccessPage>>;
  /** What waits of an account, and its grants that are not over, for admins and auditors; newest first, all of it. */
  current(caller: AccessCaller, account: Account): Promise<AccessResult<readonly AccessRequest[]>>;
}
