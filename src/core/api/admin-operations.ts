/**
 * The admin API, for browsers and programs: every operation, body and problem code of it. Reads of one account are made one at a
 * time: a stolen token lists two hundred sessions sixty times at once, all within the limit of a minute, and the replica would not
 * renew its lease meanwhile. What waits for more than the store has limits of its own.
 */
import { z } from 'zod';
import { ACCESS_STATES } from '../access/request.ts';
import { ADMIN_AUDIENCE } from '../core.ts';
import { accessEndedSchema, accessHistoryQuerySchema, accessPageSchema, accessRequestSchema } from './access.ts';
import { ADMIN_CALLS, ADMIN_CHANGES, ADMIN_PROBLEMS } from './admin-problems.ts';
import { auditEventsQuerySchema, auditExportQuerySchema, auditQuerySchema } from './audit.ts';
import { AUDIT_OPTIONS } from './audit-options.ts';
import { timeSchema } from './fields.ts';
import { OUTPUT, type ApiDescription, type CommandOption } from './operation.ts';
import {
  drillSchema,
  endQuerySchema,
  cutQuerySchema,
  liftQuerySchema,
  lockSchema,
  REVOCATION_TARGETS,
  revocationSchema,
  scopeQuerySchema,
  SESSION_SORTS,
  sessionsQuerySchema,
  streamsQuerySchema,
  unlockQuerySchema,
} from './requests.ts';
import {
  auditEventsSchema,
  clustersSchema,
  componentSchema,
  drillResultSchema,
  freshSignInSchema,
  openStreamSchema,
  openStreamsSchema,
  problemSchema,
  providersSchema,
  receiptSchema,
  recentRequestSchema,
  recentRequestsSchema,
  replicaDrillSchema,
  replicaSchema,
  replicasSchema,
  revocationResultSchema,
  revocationScopeSchema,
  sessionPageSchema,
  sessionSchema,
  unlockedSchema,
} from './responses.ts';

const lockViewSchema = z.object({
  account: z.string(),
  reason: z.string().describe('as the admin gave it'),
  by: z
    .string()
    .describe('username of the admin, or of both admins where two were needed; USER@HOST from the server’s own shell'),
  at: timeSchema,
});

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

// The commands themselves require it, so that all that is missing is told in one go.
const REASON: CommandOption = ['--reason <text>', 'reason for the audit log, for example a ticket (required)'];
const APPROVAL: CommandOption = [
  '--approval <id>',
  'id of the approval that the first admin got, where two admins are needed',
];
const FORCE: CommandOption = ['--force', 'go on also where nothing is known of the account'];
const YES: CommandOption = [
  '--yes',
  'do not ask for confirmation (without a terminal needed for --all, and for your own account, session or provider)',
];
const CONFIG: CommandOption = [
  '--config <file>',
  'on the server: write it into the store of this configuration, without any admin',
];
const ACCOUNT = ['[account]', 'PROVIDER/SUBJECT'] as const;

export const ADMIN_API = {
  title: 'Portcullis admin API',
  description: `Sessions, revocations, locks, replicas, drills and the live audit log of Portcullis.

The same resources are served at two addresses. Pages use \`/admin/api/v1\` on the web listener, with the browser's cookie; a change needs the \`Origin\` of Portcullis and the header \`X-CSRF-Token\` with the token of any form of its pages, and an \`Authorization\` header is rejected. Programs use \`/-/admin/api/v1\` on the api listener, with a Bearer token with the audience \`urn:portcullis:admin\` that is bound to their client certificate (RFC 8705). Admins read and change, auditors read; a workload has the role of its rule: \`auditor\` reads, \`revoker\` revokes and locks, \`drill\` starts drills. Every call is audited.`,
  servers: [
    { url: '/admin/api/v1', by: 'cookie' },
    { url: '/-/admin/api/v1', by: 'bearer' },
  ],
  audience: ADMIN_AUDIENCE,
  root: '',
  bodyBytes: '16kb',
  operations: {
    listSessions: {
      method: 'GET',
      path: '/sessions',
      need: 'read',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'List live sessions, page by page.',
      command: {
        name: 'sessions',
        summary: 'list sessions (admins and auditors)',
        options: [
          ['--search <text>', 'only with this text in username, account, address, client or session id'],
          ['--account <account>', 'of this account only, PROVIDER/SUBJECT'],
          ['--username <name>', 'of this Kubernetes username only'],
          ['--provider <name>', 'of this identity provider or workload rule only'],
          ['--cluster <name>', 'of users who may use this cluster now'],
          ['--idle <duration>', 'not used for this long, for example 2h'],
          ['--delegated', 'delegated sessions only'],
          ['--no-delegated', 'without delegated sessions'],
          ['--actor <name>', 'delegated sessions in which this actor acts'],
          ['--ancestor <id>', 'delegated sessions beneath this session; 8 characters of its id are enough'],
          ['--sort <order>', 'the order (default: newest)', { values: SESSION_SORTS }],
          OUTPUT,
        ],
        list: {
          of: 'sessions',
          columns: {
            SESSION: 'id',
            USERNAME: 'username',
            'LAST USED': 'lastUsedAt',
            EXPIRES: 'expiresAt',
            ACCOUNT: 'account',
            CLIENT: 'client',
            ADDRESS: 'address',
            DEVICE: 'deviceName',
          },
          rare: { ACTOR: 'actor' },
          none: 'there are no sessions',
          narrow: '--search, --account or --idle',
        },
      },
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
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'Read one session.',
      conditional: true,
      responses: { 200: { description: 'The session.', schema: 'Session' } },
      problems: ['session_not_found'],
    },
    endSession: {
      method: 'DELETE',
      path: '/sessions/{id}',
      need: 'revoke',
      event: 'revocation',
      fresh: true,
      reports: true,
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
      event: 'admin-read',
      inTurn: 'reads at once',
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
      event: 'revocation',
      fresh: true,
      reports: true,
      holds: true,
      summary: 'Revoke a session, an account, a username, a provider, a workload or everything.',
      command: {
        name: 'revoke',
        summary: 'end sessions immediately on every replica (admins; with --config, on the server’s own shell)',
        options: [
          ['--session <id>', 'this session; without --config, 8 characters of its id are enough'],
          ['--account <account>', 'every session of this account, PROVIDER/SUBJECT'],
          ['--username <name>', 'every session of the account with this Kubernetes username'],
          ['--provider <name>', 'every session of this identity provider'],
          ['--workload <rule>', 'every session of a workload, by the name of its rule; with --subject'],
          ['--subject <subject>', 'subject of the workload’s tokens'],
          ['--all', 'every session'],
          ['--lock', 'and lock the account: no sign-in until it is unlocked'],
          YES,
          REASON,
          APPROVAL,
          FORCE,
          CONFIG,
          OUTPUT,
        ],
      },
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
      event: 'admin-read',
      inTurn: 'reads at once',
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
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'Read what a revocation would cut.',
      notes:
        'For a confirmation before `POST /revocations`, and to find a name that is mistyped (`known`). At most 2,000 sessions are counted.',
      query: scopeQuerySchema,
      responses: { 200: { description: 'As it is now; nothing is done.', schema: 'RevocationScope' } },
      problems: ['session_not_found', 'provider_not_found', 'username_not_found', 'username_ambiguous'],
    },
    listLocks: {
      method: 'GET',
      path: '/locks',
      need: 'read',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'List locked accounts.',
      command: {
        name: 'locks',
        summary: 'list the locked accounts (admins and auditors)',
        options: [OUTPUT],
        list: {
          of: 'locks',
          columns: { ACCOUNT: 'account', BY: 'by', AT: 'at', REASON: 'reason' },
          none: 'no account is locked',
        },
      },
      conditional: true,
      responses: { 200: { description: 'Every lock.', schema: 'Locks' } },
    },
    createLock: {
      method: 'POST',
      path: '/locks',
      need: 'revoke',
      event: 'lock',
      fresh: true,
      reports: true,
      holds: true,
      summary: 'Revoke an account and lock it.',
      command: {
        name: 'lock',
        summary:
          'end every session of an account and lock it: no sign-in until it is unlocked (admins; with --config, on the server’s own shell)',
        argument: ACCOUNT,
        options: [YES, REASON, APPROVAL, FORCE, CONFIG, OUTPUT],
      },
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
      event: 'unlock',
      fresh: true,
      reports: true,
      summary: 'Unlock an account.',
      command: {
        name: 'unlock',
        summary: 'unlock an account (admins; with --config, on the server’s own shell)',
        argument: ACCOUNT,
        options: [
          ['--reason <text>', 'reason for the audit log, for example a ticket (required without --config)'],
          ['--config <file>', 'on the server: remove the lock in the store of this configuration, without any admin'],
          ['--all', 'with --config: every lock'],
          [
            '--fresh',
            'lift the fresh sign-in that a revocation requires, where the identity provider cannot prove one',
          ],
        ],
      },
      notes: 'Write the account’s `/` as `%2F`.',
      query: unlockQuerySchema,
      responses: { 200: { description: 'The account can sign in again.', schema: 'Unlocked' } },
      problems: ['lock_not_found'],
    },
    getFreshSignIn: {
      method: 'GET',
      path: '/fresh-sign-ins/{account}',
      need: 'read',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'Read whether the next sign-in of an account must be a fresh one.',
      notes:
        'It must be for thirty days after the account or a session of it was revoked. Write the account’s `/` as `%2F`.',
      responses: { 200: { description: 'Whether it is needed, and since when.', schema: 'FreshSignIn' } },
    },
    liftFreshSignIn: {
      method: 'DELETE',
      path: '/fresh-sign-ins/{account}',
      need: 'act',
      event: 'fresh-sign-in-lifted',
      fresh: true,
      reports: true,
      summary: 'Let an account sign in without authenticating again.',
      notes:
        'For a user whose identity provider cannot prove a fresh sign-in. The next revocation requires one again. With `since` from the response to `GET`, the call fails where something was revoked later.',
      query: liftQuerySchema,
      responses: { 200: { description: 'Any sign-in is enough.', schema: 'FreshSignIn' } },
      problems: ['fresh_sign_in_not_needed', 'fresh_sign_in_newer'],
    },
    listStreams: {
      method: 'GET',
      path: '/streams',
      need: 'read',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'List the streams that an account has open now, at all replicas.',
      command: {
        name: 'streams',
        summary: 'list what a user has open now: shells, logs, watches (admins and auditors)',
        options: [['--account <account>', 'whose they are, PROVIDER/SUBJECT (required)'], OUTPUT],
        list: {
          of: 'streams',
          none: 'nothing of this account is open',
          columns: {
            SINCE: 'at',
            VERB: 'verb',
            RESOURCE: 'resource',
            NAMESPACE: 'namespace',
            NAME: 'name',
            CLUSTER: 'cluster',
            REPLICA: 'replica',
            SESSION: 'session',
          },
        },
      },
      query: streamsQuerySchema,
      responses: { 200: { description: 'As each replica that answered has them.', schema: 'OpenStreams' } },
    },
    cutStream: {
      method: 'DELETE',
      path: '/streams/{auditId}',
      need: 'act',
      event: 'stream-cut',
      fresh: true,
      reports: true,
      inTurn: 'cuts at once',
      summary: 'Cut one open stream.',
      notes: 'Its session goes on, and its user may open it again: to keep them out, revoke.',
      query: cutQuerySchema,
      responses: { 200: { description: 'It is cut.', schema: 'CutStream' } },
      problems: ['stream_not_found'],
    },
    listReplicas: {
      method: 'GET',
      path: '/replicas',
      need: 'read',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'List the replicas.',
      command: {
        name: 'replicas',
        summary: 'list the replicas (admins and auditors)',
        options: [OUTPUT],
        list: {
          of: 'replicas',
          columns: {
            REPLICA: 'id',
            STATE: 'state',
            'SEEN MS AGO': 'seenMsAgo',
            'LAST ENTRY': 'number',
            'STREAMS CUT': 'streamsCut',
            INCARNATION: 'incarnation',
          },
        },
      },
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
      event: 'admin-read',
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
      event: 'admin-read',
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
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'List access requests, page by page.',
      command: {
        name: 'access history',
        summary: 'list the requests of all users (admins and auditors)',
        options: [
          ['--account <account>', 'of this account only, PROVIDER/SUBJECT'],
          ['--role <role>', 'for this role only'],
          ['--state <state>', 'in this state only', { values: ACCESS_STATES }],
          OUTPUT,
        ],
      },
      notes:
        'Newest first, of the last thirty days; the audit log has all. With `role` or `state` a page may be short, even empty, and still have a `cursor`.',
      query: accessHistoryQuerySchema,
      responses: { 200: { description: 'A page of access requests.', schema: 'AccessPage' } },
      problems: ['access_request_not_found'],
    },
    endAccessRequest: {
      method: 'DELETE',
      path: '/access/{id}',
      need: 'revoke',
      event: 'access-refused',
      fresh: true,
      reports: true,
      summary: 'End a grant.',
      notes:
        'A revocation of the groups that it gave; its session goes on. An admin’s own request that is open is withdrawn: then the response is `{"withdrawn": true}`.',
      query: endQuerySchema,
      responses: { ...REVOKED, 200: { ...REVOKED[200], or: 'AccessWithdrawn' } },
      problems: ['access_request_not_found', 'access_conflict'],
    },
    createDrill: {
      method: 'POST',
      path: '/drills',
      need: 'drill',
      event: 'drill',
      fresh: true,
      reports: true,
      summary: 'Practise a revocation on every replica.',
      command: {
        name: 'drill',
        summary: 'practise a revocation on every replica: exit 0 if it passes, 1 if it fails',
        options: [
          ['--cluster <name>', 'through this cluster (default: the first)'],
          ['--path <path>', 'path of the watch that each replica opens (default: namespaces)'],
          ['--reason <text>', 'reason for the audit log', { preset: 'drill' }],
          ['--token-file <file>', 'as a workload of role drill, with its token, instead of your session (for cron)'],
          OUTPUT,
        ],
      },
      body: 'DrillRequest',
      responses: { 200: { description: 'The verdict, and the result of each replica.', schema: 'Drill' } },
      problems: ['cluster_not_found', 'session_not_found', 'drill_running', 'drill_refused', 'revocation_not_written'],
    },
    tailAudit: {
      method: 'GET',
      path: '/audit',
      need: 'read',
      event: 'admin-read',
      summary: 'Watch the audit log of all replicas as it is written.',
      command: {
        name: 'audit tail',
        summary: 'follow the live audit log of all replicas (admins and auditors)',
        options: [
          ...AUDIT_OPTIONS,
          ['-o, --output <format>', 'for scripts: a line for each event', { values: ['json'] }],
        ],
      },
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
      event: 'admin-read',
      summary: 'Search the audit log that the replicas have written to their files.',
      notes:
        'Newest first; a request appears once, by its latest event, and with `auditId` by every event. All live replicas search their own files; `missing` names those that did not answer in time, and replicas that are gone have sent theirs to the sinks alone. A search reads 256 MiB and takes 4 s at most; an account has one at a time and a replica two. Others wait for their turn, for 4 s at most; then the response is 429. For what is long ago, send `until` as well: the newer part of an uncompressed file is then not read. For what is older, send the lowest `stageTimestamp` as `until`: a response never ends within one moment.',
      query: auditEventsQuerySchema,
      responses: { 200: { description: 'The newest events that match.', schema: 'AuditEvents' } },
      problems: ['not_found'],
    },
    exportAudit: {
      method: 'GET',
      path: '/audit/events.jsonl',
      need: 'read',
      event: 'admin-read',
      summary: 'Download audit events of this replica as lines of JSON.',
      notes:
        'The lines as they are in the files of this replica, oldest first: the newest 10,000 and 16 MiB at most. Where there are more, the name of the file ends in `-newest-part`. With `format=csv` a table for a spreadsheet.',
      query: auditExportQuerySchema,
      responses: { 200: { description: 'One event of `audit.k8s.io/v1` on each line.', type: 'application/x-ndjson' } },
      problems: ['not_found'],
    },
    getOpenApi: {
      method: 'GET',
      path: '/openapi.json',
      need: 'any',
      event: 'admin-read',
      inTurn: 'reads at once',
      summary: 'Read this description as an OpenAPI 3.1 document.',
      conditional: true,
      responses: { 200: { description: 'The document.' } },
    },
  },
  schemas: {
    Session: sessionSchema,
    SessionPage: sessionPageSchema,
    RecentRequest: recentRequestSchema,
    RecentRequests: recentRequestsSchema,
    RevocationRequest: revocationSchema,
    Revocation: revocationResultSchema,
    RevocationScope: revocationScopeSchema,
    Receipt: receiptSchema,
    LockRequest: lockSchema,
    Lock: lockViewSchema,
    Locks: z.object({ locks: z.array(lockViewSchema).readonly().describe('newest first') }),
    OpenStream: openStreamSchema,
    OpenStreams: openStreamsSchema,
    CutStream: z.object({ auditId: z.string(), open: z.literal(false) }),
    Unlocked: unlockedSchema,
    FreshSignIn: freshSignInSchema,
    Replica: replicaSchema,
    Replicas: replicasSchema,
    Component: componentSchema,
    Clusters: clustersSchema,
    Providers: providersSchema,
    DrillRequest: drillSchema,
    Drill: drillResultSchema,
    ReplicaDrill: replicaDrillSchema,
    AccessRequest: accessRequestSchema,
    AccessPage: accessPageSchema,
    AccessWithdrawn: accessEndedSchema,
    AuditEvents: auditEventsSchema,
    Problem: problemSchema.extend({
      code: z.enum(Object.keys(ADMIN_PROBLEMS)).describe('stable: programs branch on it'),
    }),
  },
  refinements: {
    RevocationRequest: {
      description:
        'Exactly one target, and a reason. `lock` needs a target that is one account: `account`, `username` or `workload`.',
      oneOf: REVOCATION_TARGETS.map((target) => ({ required: [target] })),
      dependentRequired: { workload: ['subject'], subject: ['workload'] },
    },
  },
  problems: ADMIN_PROBLEMS,
  common: { ofCalls: ADMIN_CALLS, ofChanges: ADMIN_CHANGES },
} as const satisfies ApiDescription;
