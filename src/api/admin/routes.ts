/**
 * Every route of the admin API, once. The router, the OpenAPI document and the reference are all made from this
 * table, so that none of them can miss one. A handler is found by the route's name (admin-api.ts), and a name
 * without one does not compile.
 */
import type { z } from 'zod';
import {
  endQuerySchema,
  liftQuerySchema,
  scopeQuerySchema,
  sessionsQuerySchema,
  unlockQuerySchema,
} from '../../core/api/requests.ts';
import { accessHistoryQuerySchema } from '../../core/api/access.ts';
import {
  type Need,
  type ProblemCode,
  auditEventsQuerySchema,
  auditExportQuerySchema,
  auditQuerySchema,
} from '../../services/admin/admin.ts';
import type { SchemaName } from './schemas.ts';

export interface RouteResponse {
  readonly description: string;
  /** Absent where the response is not JSON, or is not described. */
  readonly schema?: SchemaName;
  /** The media type. Default: JSON. */
  readonly type?: string;
}

export interface RouteStream {
  /** The description of each event's `data`, by the event's name. */
  readonly events: Readonly<Record<string, string>>;
  /** True where the stream is the only form; otherwise it is sent where `Accept` asks for it. */
  readonly only: boolean;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** The path below the prefix, with parameters in braces. */
  readonly path: string;
  /** `any`: any role is enough. */
  readonly need: Need | 'any';
  readonly summary: string;
  /** Further sentences for the reference. */
  readonly notes?: string;
  /** Absent: the query must be empty. */
  readonly query?: z.ZodObject;
  readonly body?: SchemaName;
  /** True: an admin whose session cannot be read may have the target held (holds.ts). */
  readonly holds?: true;
  /** True: a repeated `Idempotency-Key` is the same request. */
  readonly idempotent?: true;
  /** True: responses have an `ETag`, and `If-None-Match` is supported. */
  readonly conditional?: true;
  readonly stream?: RouteStream;
  readonly responses: Readonly<Record<number, RouteResponse>>;
  /** The problem codes in addition to those that any call can return (openapi.ts). */
  readonly problems?: readonly ProblemCode[];
}

const REVOKED = {
  200: { description: 'Proven: no replica accepts a revoked credential any more.', schema: 'Revocation' },
  202: {
    description:
      'Written and being applied; `missing` lists what is not proven yet. Follow it with `GET /revocations/{id}`.',
    schema: 'Revocation',
  },
} as const;

const REVOKING = [
  'account_not_seen',
  'request_id_reused',
  'second_admin_needed',
  'same_admin',
  'approval_not_good',
  'provider_unavailable',
  'revocation_not_written',
] as const;

export const ROUTES = {
  listSessions: {
    method: 'GET',
    path: '/sessions',
    need: 'read',
    summary: 'List live sessions, page by page.',
    notes:
      'With `search`, `provider`, `cluster`, `idle`, `delegated` or `actor` one call reads at most 500 sessions. A page may therefore be short, even empty, and still have a `cursor`: send further calls until there is none.',
    query: sessionsQuerySchema,
    conditional: true,
    responses: { 200: { description: 'A page of sessions.', schema: 'SessionPage' } },
  },
  getSession: {
    method: 'GET',
    path: '/sessions/{id}',
    need: 'read',
    summary: 'Read one session.',
    conditional: true,
    responses: { 200: { description: 'The session.', schema: 'Session' } },
    problems: ['session_not_found'],
  },
  endSession: {
    method: 'DELETE',
    path: '/sessions/{id}',
    need: 'revoke',
    holds: true,
    summary: 'Revoke one session.',
    notes: 'The same as `POST /revocations` with `session`.',
    query: endQuerySchema,
    idempotent: true,
    responses: REVOKED,
    problems: ['session_not_found', 'request_id_reused', 'revocation_not_written'],
  },
  listSessionRequests: {
    method: 'GET',
    path: '/sessions/{id}/requests',
    need: 'read',
    summary: 'List the latest requests of a session.',
    notes:
      'They appear some seconds late, and may be missing while the store is unavailable. The audit log has all of them.',
    responses: { 200: { description: 'The newest first, at most 50.', schema: 'RecentRequests' } },
    problems: ['session_not_found'],
  },
  createRevocation: {
    method: 'POST',
    path: '/revocations',
    need: 'revoke',
    holds: true,
    summary: 'Revoke a session, an account, a username, a provider, a workload or everything.',
    notes:
      'Send exactly one of `session`, `account`, `username`, `provider`, `workload` (with `subject`) and `all`. `lock` is allowed with a target that is one account: `account`, `username` and `workload`. `requestId` and `Idempotency-Key` are the same: a UUID that makes two attempts one revocation. A lock of an account of which nothing is known needs `"force": true`, because the name may be mistyped.',
    body: 'RevocationRequest',
    idempotent: true,
    responses: REVOKED,
    problems: [
      'session_not_found',
      'provider_not_found',
      'workload_not_found',
      'username_not_found',
      'username_ambiguous',
      ...REVOKING,
    ],
  },
  getRevocation: {
    method: 'GET',
    path: '/revocations/{id}',
    need: 'follow',
    summary: 'Follow a revocation.',
    notes:
      'Every replica knows it for thirty days, or until the store begins a new primary generation. A drill’s is known for ten minutes.',
    conditional: true,
    stream: {
      only: false,
      events: {
        receipt: 'a Revocation object: immediately, then after each change',
        end: '`{"reason":"complete"}`, or the reason why the stream ends before that',
      },
    },
    responses: {
      200: { description: 'The result so far.', schema: 'Revocation' },
      204: { description: 'The client reconnects to a stream whose end it has received.' },
    },
    problems: ['revocation_not_found', 'too_many_tails'],
  },
  getRevocationScope: {
    method: 'GET',
    path: '/revocation-scope',
    need: 'read',
    summary: 'Read what a revocation would cut.',
    notes: 'For a confirmation before `POST /revocations`. At most 2,000 sessions are counted.',
    query: scopeQuerySchema,
    responses: { 200: { description: 'As it is now; nothing is done.', schema: 'RevocationScope' } },
    problems: ['session_not_found', 'provider_not_found', 'username_not_found', 'username_ambiguous'],
  },
  listLocks: {
    method: 'GET',
    path: '/locks',
    need: 'read',
    summary: 'List locked accounts.',
    conditional: true,
    responses: { 200: { description: 'Every lock.', schema: 'Locks' } },
  },
  createLock: {
    method: 'POST',
    path: '/locks',
    need: 'revoke',
    holds: true,
    summary: 'Revoke an account and lock it.',
    notes: 'The same as `POST /revocations` with `account`, `"lock": true` and, where it is given, `force`.',
    body: 'LockRequest',
    idempotent: true,
    responses: REVOKED,
    problems: ['provider_not_found', ...REVOKING],
  },
  deleteLock: {
    method: 'DELETE',
    path: '/locks/{account}',
    need: 'act',
    summary: 'Unlock an account.',
    notes: 'Write the account’s `/` as `%2F`.',
    query: unlockQuerySchema,
    responses: { 200: { description: 'The account can sign in again.', schema: 'Unlocked' } },
    problems: ['lock_not_found'],
  },
  getFreshSignIn: {
    method: 'GET',
    path: '/fresh-sign-ins/{account}',
    need: 'read',
    summary: 'Read whether the next sign-in of an account must be a fresh one.',
    notes:
      'It must be for thirty days after the account or a session of it was revoked. Write the account’s `/` as `%2F`.',
    responses: { 200: { description: 'Whether it is needed, and since when.', schema: 'FreshSignIn' } },
  },
  liftFreshSignIn: {
    method: 'DELETE',
    path: '/fresh-sign-ins/{account}',
    need: 'act',
    summary: 'Let an account sign in without authenticating again.',
    notes:
      'For a user whose identity provider cannot prove a fresh sign-in. The next revocation requires one again. With `since` from the response to `GET`, the call fails where something was revoked later.',
    query: liftQuerySchema,
    responses: { 200: { description: 'Any sign-in is enough.', schema: 'FreshSignIn' } },
    problems: ['fresh_sign_in_not_needed', 'fresh_sign_in_newer'],
  },
  listReplicas: {
    method: 'GET',
    path: '/replicas',
    need: 'read',
    summary: 'List the replicas.',
    stream: {
      only: false,
      events: {
        replicas: 'a Replicas object: once a second and after each change',
        end: '`{"reason": …}`: the reason why the stream ends',
      },
    },
    responses: {
      200: { description: 'As of the last lease renewal of the replica that responds.', schema: 'Replicas' },
    },
    problems: ['too_many_tails'],
  },
  listClusters: {
    method: 'GET',
    path: '/clusters',
    need: 'read',
    summary: 'List the clusters and their health.',
    conditional: true,
    responses: {
      200: { description: 'As this replica checked them. The result is cached for 10 s.', schema: 'Clusters' },
    },
  },
  listProviders: {
    method: 'GET',
    path: '/providers',
    need: 'read',
    summary: 'List the identity providers and their health.',
    conditional: true,
    responses: {
      200: { description: 'As this replica checked them. The result is cached for 10 s.', schema: 'Providers' },
    },
  },
  listAccessRequests: {
    method: 'GET',
    path: '/access',
    need: 'read',
    summary: 'List access requests, page by page.',
    notes:
      'Newest first, of the last thirty days; the audit log has all. With `role` or `state` a page may be short, even empty, and still have a `cursor`.',
    query: accessHistoryQuerySchema,
    responses: { 200: { description: 'A page of access requests.', schema: 'AccessPage' } },
    problems: ['access_request_not_found'],
  },
  getAccessRequest: {
    method: 'GET',
    path: '/access/{id}',
    need: 'read',
    summary: 'Read one access request.',
    responses: { 200: { description: 'The request, with its decisions and its grant.', schema: 'AccessRequest' } },
    problems: ['access_request_not_found'],
  },
  approveAccessRequest: {
    method: 'POST',
    path: '/access/{id}/approve',
    need: 'act',
    summary: 'Approve an access request.',
    notes: 'For an admin who is also among the role’s approvers: to be an admin is not enough.',
    body: 'AccessDecision',
    responses: { 200: { description: 'The request as it is now.', schema: 'AccessRequest' } },
    problems: ['access_request_not_found', 'access_not_allowed', 'access_conflict', 'provider_unavailable'],
  },
  denyAccessRequest: {
    method: 'POST',
    path: '/access/{id}/deny',
    need: 'act',
    summary: 'Deny an access request.',
    notes: 'As to approve.',
    body: 'AccessDecision',
    responses: { 200: { description: 'The request as it is now.', schema: 'AccessRequest' } },
    problems: ['access_request_not_found', 'access_not_allowed', 'access_conflict', 'provider_unavailable'],
  },
  endAccessRequest: {
    method: 'DELETE',
    path: '/access/{id}',
    need: 'revoke',
    summary: 'End a grant.',
    notes:
      'A revocation of the groups that it gave; its session goes on. An admin’s own request that is open is withdrawn: then the response is `{"withdrawn": true}`.',
    query: endQuerySchema,
    responses: REVOKED,
    problems: ['access_request_not_found', 'access_conflict'],
  },
  createDrill: {
    method: 'POST',
    path: '/drills',
    need: 'drill',
    summary: 'Practise a revocation on every replica.',
    body: 'DrillRequest',
    responses: { 200: { description: 'The verdict, and the result of each replica.', schema: 'Drill' } },
    problems: ['cluster_not_found', 'session_not_found', 'drill_running', 'drill_refused', 'revocation_not_written'],
  },
  tailAudit: {
    method: 'GET',
    path: '/audit',
    need: 'read',
    summary: 'Watch the audit log of all replicas as it is written.',
    notes:
      'Each parameter is a filter (docs/audit-tail.md). `Last-Event-ID` continues where an earlier stream ended. A stream ends after the lifetime of an access token at the latest; the client then reconnects.',
    query: auditQuerySchema,
    stream: {
      only: true,
      events: {
        message: 'an audit event, an `Event` of `audit.k8s.io/v1`',
        gap: '`{"reason": …}`: events are missing here',
        end: '`{"reason": …}`: the reason why the stream ends',
      },
    },
    responses: { 200: { description: 'The stream.' } },
    problems: ['not_found', 'too_many_tails'],
  },
  searchAudit: {
    method: 'GET',
    path: '/audit/events',
    need: 'read',
    summary: 'Search the audit log that this replica has written to its files.',
    notes:
      'Newest first; a request appears once, by its latest event, and with `auditId` by every event. Other replicas have files of their own. A search reads 256 MiB and takes 4 s at most; an account has one at a time and a replica two. Others wait for their turn, for 4 s at most; then the response is 429. For what is long ago, send `until` as well: the newer part of an uncompressed file is then not read. For what is older, send the lowest `stageTimestamp` as `until`: a response never ends within one moment.',
    query: auditEventsQuerySchema,
    responses: { 200: { description: 'The newest events that match.', schema: 'AuditEvents' } },
    problems: ['not_found'],
  },
  exportAudit: {
    method: 'GET',
    path: '/audit/events.jsonl',
    need: 'read',
    summary: 'Download audit events as lines of JSON.',
    notes:
      'The lines as they are in the files of this replica, oldest first: the newest 10,000 and 16 MiB at most. Where there are more, the name of the file ends in `-newest-part`.',
    query: auditExportQuerySchema,
    responses: { 200: { description: 'One event of `audit.k8s.io/v1` on each line.', type: 'application/x-ndjson' } },
    problems: ['not_found'],
  },
  getOpenApi: {
    method: 'GET',
    path: '/openapi.json',
    need: 'any',
    summary: 'Read this description as an OpenAPI 3.1 document.',
    conditional: true,
    responses: { 200: { description: 'The document.' } },
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof ROUTES;

/** The names and routes, in the order of the table. */
export const routes = Object.entries(ROUTES) as readonly (readonly [RouteName, Route])[];
