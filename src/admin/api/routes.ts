/**
 * Every route of the admin API, once. The router, the OpenAPI document and the reference are all made from this table, so that none of
 * them can forget one; a handler is found by the route's name (admin-api.ts), and a name without a handler does not compile.
 */
import type { z } from 'zod';
import {
  endQuerySchema,
  liftQuerySchema,
  sessionsQuerySchema,
  unlockQuerySchema,
} from '../../core/admin-api/requests.ts';
import type { ProblemCode } from '../problem.ts';
import type { Need } from '../roles.ts';
import { auditQuerySchema } from './admin-audit.ts';
import type { SchemaName } from './schemas.ts';

export interface RouteAnswer {
  readonly what: string;
  /** Absent where there is no JSON. */
  readonly schema?: SchemaName;
}

export interface RouteStream {
  /** The events by name, each with what its `data` is. */
  readonly events: Readonly<Record<string, string>>;
  /** True where it is the only form; else it is sent where `Accept` asks for it. */
  readonly only: boolean;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below the prefix, parameters in braces. */
  readonly path: string;
  /** `any`: whoever has a role here. */
  readonly need: Need | 'any';
  readonly summary: string;
  /** What else a caller should know. */
  readonly notes?: string;
  /** Absent: the query must be empty. */
  readonly query?: z.ZodObject;
  readonly body?: SchemaName;
  /** True: an admin whose session cannot be read may have the target held (holds.ts). */
  readonly holds?: true;
  /** True: a repeated `Idempotency-Key` is the same request. */
  readonly idempotent?: true;
  /** True: answers carry an `ETag`, and `If-None-Match` is heard. */
  readonly conditional?: true;
  readonly stream?: RouteStream;
  readonly answers: Readonly<Record<number, RouteAnswer>>;
  /** Beside those that any call can come to (openapi.ts). */
  readonly problems?: readonly ProblemCode[];
}

const REVOKED = {
  200: { what: 'Proven: no replica accepts a covered credential any more.', schema: 'Revocation' },
  202: {
    what: 'Written and being applied; `missing` says what is not proven yet. Follow it with `GET /revocations/{id}`.',
    schema: 'Revocation',
  },
} as const;

const REVOKING = [
  'request_id_reused',
  'second_admin_needed',
  'same_admin',
  'approval_not_good',
  'revocation_not_written',
] as const;

export const ROUTES = {
  listSessions: {
    method: 'GET',
    path: '/sessions',
    need: 'read',
    summary: 'List live sessions, page by page.',
    notes:
      'With `search`, `provider`, `cluster` or `idle` one call looks at no more than 2,000 sessions. A page may therefore be short, even empty, and still have a `cursor`: ask on until there is none.',
    query: sessionsQuerySchema,
    conditional: true,
    answers: { 200: { what: 'A page of sessions.', schema: 'SessionPage' } },
  },
  getSession: {
    method: 'GET',
    path: '/sessions/{id}',
    need: 'read',
    summary: 'Look at one session.',
    conditional: true,
    answers: { 200: { what: 'The session.', schema: 'Session' } },
    problems: ['session_not_found'],
  },
  endSession: {
    method: 'DELETE',
    path: '/sessions/{id}',
    need: 'act',
    holds: true,
    summary: 'Revoke one session.',
    notes: 'The same as `POST /revocations` with `session`.',
    query: endQuerySchema,
    idempotent: true,
    answers: REVOKED,
    problems: ['session_not_found', 'request_id_reused', 'revocation_not_written'],
  },
  listSessionRequests: {
    method: 'GET',
    path: '/sessions/{id}/requests',
    need: 'read',
    summary: 'The latest requests of a session.',
    notes: 'They come some seconds late, and may be missing while the store is away. The record has them all.',
    answers: { 200: { what: 'Newest first, 50 at most.', schema: 'RecentRequests' } },
    problems: ['session_not_found'],
  },
  createRevocation: {
    method: 'POST',
    path: '/revocations',
    need: 'act',
    holds: true,
    summary: 'Revoke a session, an account, a username, a provider, a workload or everything.',
    notes:
      'Exactly one of `session`, `account`, `username`, `provider`, `workload` (with `subject`) and `all`; `lock` goes with what is one account: `account`, `username` and `workload`. `requestId` and `Idempotency-Key` are the same thing: a UUID that makes two tries one revocation.',
    body: 'RevocationRequest',
    idempotent: true,
    answers: REVOKED,
    problems: ['session_not_found', 'provider_not_found', 'workload_not_found', 'username_ambiguous', ...REVOKING],
  },
  getRevocation: {
    method: 'GET',
    path: '/revocations/{id}',
    need: 'read',
    summary: 'Follow a revocation.',
    notes: 'Known for ten minutes, at any replica.',
    conditional: true,
    stream: {
      only: false,
      events: {
        receipt: 'a Revocation: at once, then each time that it has changed',
        end: '`{"reason":"complete"}`, or why the stream ends before that',
      },
    },
    answers: {
      200: { what: 'The answer so far.', schema: 'Revocation' },
      204: { what: 'To who comes back for a stream that has told them the end.' },
    },
    problems: ['revocation_not_found', 'too_many_tails'],
  },
  listLocks: {
    method: 'GET',
    path: '/locks',
    need: 'read',
    summary: 'List locked accounts.',
    conditional: true,
    answers: { 200: { what: 'Every lock.', schema: 'Locks' } },
  },
  createLock: {
    method: 'POST',
    path: '/locks',
    need: 'act',
    holds: true,
    summary: 'Revoke an account and lock it.',
    notes: 'The same as `POST /revocations` with `account` and `"lock": true`.',
    body: 'LockRequest',
    idempotent: true,
    answers: REVOKED,
    problems: REVOKING,
  },
  deleteLock: {
    method: 'DELETE',
    path: '/locks/{account}',
    need: 'act',
    summary: 'Unlock an account.',
    notes: 'The account’s `/` is written `%2F`.',
    query: unlockQuerySchema,
    answers: { 200: { what: 'It can sign in again.', schema: 'Unlocked' } },
    problems: ['lock_not_found'],
  },
  getFreshSignIn: {
    method: 'GET',
    path: '/fresh-sign-ins/{account}',
    need: 'read',
    summary: 'Whether the next sign-in of an account has to be a fresh one.',
    notes:
      'It has to for thirty days after the account or a session of it was revoked. The account’s `/` is written `%2F`.',
    answers: { 200: { what: 'Whether, and since when.', schema: 'FreshSignIn' } },
  },
  liftFreshSignIn: {
    method: 'DELETE',
    path: '/fresh-sign-ins/{account}',
    need: 'act',
    summary: 'Let an account sign in without authenticating again.',
    notes:
      'For a user whose identity provider shows no proof of a fresh sign-in. The next revocation asks for one again. With `since`, as `GET` said it, what was revoked later stays.',
    query: liftQuerySchema,
    answers: { 200: { what: 'Any sign-in will do.', schema: 'FreshSignIn' } },
    problems: ['fresh_sign_in_not_needed', 'fresh_sign_in_newer'],
  },
  listReplicas: {
    method: 'GET',
    path: '/replicas',
    need: 'read',
    summary: 'List the replicas of the gate.',
    stream: {
      only: false,
      events: { replicas: 'Replicas: once a second and at each change', end: 'why the stream ends' },
    },
    answers: { 200: { what: 'As of the last renewal of the replica that answers.', schema: 'Replicas' } },
    problems: ['too_many_tails'],
  },
  listClusters: {
    method: 'GET',
    path: '/clusters',
    need: 'read',
    summary: 'List the clusters, and whether they answer.',
    conditional: true,
    answers: { 200: { what: 'As this replica found them; a look stands for ten seconds.', schema: 'Clusters' } },
  },
  listProviders: {
    method: 'GET',
    path: '/providers',
    need: 'read',
    summary: 'List the identity providers, and whether they answer.',
    conditional: true,
    answers: { 200: { what: 'As this replica found them; a look stands for ten seconds.', schema: 'Providers' } },
  },
  createDrill: {
    method: 'POST',
    path: '/drills',
    need: 'drill',
    summary: 'Practise a revocation on every replica.',
    body: 'DrillRequest',
    answers: { 200: { what: 'The verdict, replica by replica.', schema: 'Drill' } },
    problems: ['cluster_not_found', 'session_not_found', 'drill_running', 'drill_refused', 'revocation_not_written'],
  },
  tailAudit: {
    method: 'GET',
    path: '/audit',
    need: 'read',
    summary: 'The record as it is written, of all replicas.',
    notes:
      'Each parameter narrows it; docs/audit-tail.md says how. `Last-Event-ID` goes on where an earlier stream ended. A stream ends with the life of an access token at the latest; a client comes back by itself.',
    query: auditQuerySchema,
    stream: {
      only: true,
      events: {
        message: 'a line of the record, an `Event` of `audit.k8s.io/v1`',
        gap: '`{"reason": …}`: lines are missing here',
        end: '`{"reason": …}`: why the stream ends',
      },
    },
    answers: { 200: { what: 'The stream.' } },
    problems: ['not_found', 'too_many_tails'],
  },
  getOpenApi: {
    method: 'GET',
    path: '/openapi.json',
    need: 'any',
    summary: 'This description, as OpenAPI 3.1.',
    conditional: true,
    answers: { 200: { what: 'The document.' } },
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof ROUTES;

/** Names and rows, in the order of the table. */
export const routes = Object.entries(ROUTES) as readonly (readonly [RouteName, Route])[];
