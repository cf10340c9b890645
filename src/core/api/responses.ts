/**
 * The responses of the admin API. The objects are open on purpose: a later version may add fields, and a client
 * ignores the fields that it does not know.
 */
import { z } from 'zod';
import { timeSchema } from './fields.ts';

const count = z.number().int().min(0);

const names = z.array(z.string()).readonly();

/** `PolicyRule` of RBAC, and `namespaces`. */
const rightsRuleSchema = z.object({
  verbs: names,
  apiGroups: names.exactOptional(),
  resources: names.exactOptional(),
  resourceNames: names.exactOptional(),
  nonResourceURLs: names.exactOptional(),
  namespaces: names.describe('absent: all, and what is in none').exactOptional(),
});

const rightsLimitSchema = z.object({
  preset: z.string().describe('`read-only` or `read-only-with-secrets`').exactOptional(),
  namespaces: names.describe('what is in none is out of reach; absent: all, and what is in none').exactOptional(),
  rules: z.array(rightsRuleSchema).readonly().describe('one of them must allow a request').exactOptional(),
});

export const delegationSchema = z.object({
  name: z.string().describe('its actors as one text, such as `claude/reviewer`'),
  actors: z
    .array(
      z.object({
        name: z.string().describe('chosen by the user, or the id of a registered client'),
        registered: z.literal(true).describe('a registered client, which has authenticated itself').exactOptional(),
      }),
    )
    .readonly()
    .describe('who acts in it: this session’s own actor last'),
  parent: z.string().describe('id of the session above it'),
  ancestors: names.describe('ids of all sessions above it: the user’s own first, the parent last'),
  clusters: names.describe('the clusters for which it may have tokens'),
  limits: z
    .array(rightsLimitSchema)
    .readonly()
    .describe('each must allow a request: those of the sessions above first'),
  rights: z.string().describe('the limits as a short text, such as `read-only in shop`'),
  sourceCidrs: names.describe('from where it may be used; absent: from anywhere').exactOptional(),
});

export const sessionSchema = z.object({
  id: z.string(),
  account: z.string().describe('`PROVIDER/SUBJECT`'),
  provider: z.string().describe('the identity provider, or the workload rule'),
  subject: z.string(),
  username: z.string().describe('as Kubernetes sees it'),
  groups: z.array(z.string()).readonly(),
  client: z.string().describe('the OAuth client, or `browser`'),
  createdAt: timeSchema,
  lastUsedAt: timeSchema.describe('its last token or request; requests move it once a minute at most'),
  expiresAt: timeSchema,
  address: z.string().describe('the IP address that the sign-in came from'),
  userAgent: z.string().describe('the `User-Agent` header of the sign-in'),
  deviceName: z
    .string()
    .describe('the name that the program gave its device: a claim of the user who signed in; absent if it gave none')
    .exactOptional(),
  bound: z.boolean().describe('bound to a client certificate (RFC 8705)'),
  device: z.boolean().describe('signed in with a device code (RFC 8628)'),
  delegation: delegationSchema.describe('present if it is a delegated session').exactOptional(),
});

export const sessionPageSchema = z.object({
  sessions: z.array(sessionSchema).readonly(),
  cursor: z
    .string()
    .describe('present where there may be more: send it as `cursor`, with the same other parameters')
    .exactOptional(),
});

export const recentRequestSchema = z.object({
  at: timeSchema,
  auditId: z.string().describe('the id of its audit event, here and in the cluster’s audit log'),
  cluster: z.string(),
  verb: z.string(),
  uri: z.string().describe('as in the audit log: without secrets, at most 512 characters'),
  resource: z.string().describe('such as `pods` or `pods/exec`').exactOptional(),
  namespace: z.string().exactOptional(),
  name: z.string().exactOptional(),
  impersonatedUser: z
    .string()
    .describe('username of the user that this request acted as, or wanted to (`kubectl --as`)')
    .exactOptional(),
  code: z.number().int().describe('HTTP status; 0 where the client closed the connection before the response'),
  open: z.literal(true).describe('a stream that has begun, and of whose end nothing is known').exactOptional(),
  reason: z.string().describe('why the proxy itself rejected or cut it, in snake_case').exactOptional(),
  address: z.string(),
});

export const recentRequestsSchema = z.object({
  requests: z.array(recentRequestSchema).readonly().describe('newest first, at most 50'),
});

export const openStreamSchema = recentRequestSchema.extend({
  session: z.string().describe('the session that it is open in, which may be a delegated one'),
  replica: z.string().describe('the name of the replica'),
});

export const openStreamsSchema = z.object({
  streams: z.array(openStreamSchema).readonly().describe('newest first, at most 50 of each replica'),
  more: z.number().describe('how many more are open at the replicas that answered'),
  searched: z.array(z.string()).readonly().describe('the replicas that answered'),
  missing: z.array(z.string()).readonly().describe('the replicas that did not answer in time'),
});

export const receiptSchema = z.object({
  id: z.string().describe('the name of the replica'),
  state: z
    .enum(['applied', 'pending', 'fenced'])
    .describe('`fenced`: silent for so long that it rejects every request'),
  ms: z.number().describe('milliseconds from the request until this replica applied it').exactOptional(),
  streamsClosed: z.number().describe('how many open streams this replica has cut').exactOptional(),
});

export const revocationResultSchema = z.object({
  id: z.string(),
  at: z.string().describe('RFC 3339'),
  sessions: z.number().describe('how many sessions ended'),
  streamsClosed: z.number().describe('how many open streams were cut, on all replicas together'),
  complete: z.boolean().describe('proven: no replica accepts a revoked credential any more'),
  elapsedMs: z.number().describe('milliseconds until it was complete, or until now'),
  canSignInAgain: z
    .boolean()
    .describe('whether the user can simply sign in again: false with a lock, or where it must be a fresh sign-in'),
  replicas: z.array(receiptSchema).readonly(),
  delegated: z
    .array(
      z.object({
        id: z.string(),
        name: z.string().describe('its actors, such as `claude/reviewer`'),
        session: z.string().describe('id of the session above it'),
      }),
    )
    .readonly()
    .describe(
      'the delegated sessions that ended with a session or an account, at most 100; absent where there was none, and of `provider` and `all`',
    )
    .exactOptional(),
  delegatedCount: z.number().describe('how many these were; absent as they are').exactOptional(),
  requestsWithdrawn: z
    .number()
    .describe('how many access requests waited in these sessions and are withdrawn; absent as `delegated` is')
    .exactOptional(),
  missing: z
    .array(z.string())
    .readonly()
    .describe('the parts that are not proven yet, by name; absent when complete')
    .exactOptional(),
  ended: z
    .array(
      sessionSchema.pick({
        id: true,
        client: true,
        createdAt: true,
        lastUsedAt: true,
        address: true,
        userAgent: true,
        deviceName: true,
      }),
    )
    .readonly()
    .describe('the newest ten of the sessions of an account that ended, or the session; absent of `provider` and `all`')
    .exactOptional(),
  target: z.string().describe('what was revoked, such as `account:corp/alice` or `all`').exactOptional(),
  lock: z.boolean().describe('whether the account was locked with it').exactOptional(),
  reason: z.string().describe('as the admin gave it').exactOptional(),
  by: z
    .string()
    .describe('username of the admin, or of both admins where two were needed; USER@HOST from the server’s own shell')
    .exactOptional(),
  auditId: z.string().describe('the id of its audit event').exactOptional(),
});

export const revocationScopeSchema = z.object({
  sessions: count.describe('how many sessions it would end'),
  delegated: count.describe('how many of them are delegated sessions').exactOptional(),
  users: count.describe('how many accounts these sessions have'),
  more: z.boolean().describe('there are more than were counted'),
  openHere: count.describe('the requests and streams of the target that are open at the replica that responds'),
  known: z
    .boolean()
    .describe(
      'false for an account that has no live session, no lock and no revocation of its own in the last thirty days: its name may be mistyped',
    )
    .exactOptional(),
});

export const unlockedSchema = z.object({ account: z.string(), locked: z.literal(false) });

export const freshSignInSchema = z.object({
  account: z.string(),
  needed: z.boolean().describe('whether the next sign-in must prove that the user has authenticated after `since`'),
  since: timeSchema.describe('when something of the account was last revoked').exactOptional(),
});

const drillPartSchema = z.object({
  id: z.string(),
  state: z.enum(['open', 'cut', 'failed']),
  reason: z.string().exactOptional(),
});

export const replicaSchema = z.object({
  id: z.string().describe('host or pod name'),
  incarnation: z.string().describe('random per process start'),
  self: z.boolean().describe('true for the replica that sends this response'),
  state: z
    .enum(['live', 'silent', 'fenced'])
    .describe('`silent`: its lease has run out and it has not been heard of; `fenced`: its lease is lost'),
  seenMsAgo: z.number().describe('milliseconds since its last sign of life'),
  number: z.number().describe('the last entry of the revocation log that it has applied'),
  streamsCut: z.number().describe('how many streams it has cut since it started'),
  drill: drillPartSchema.describe('its part in the latest drill').exactOptional(),
  servesNothing: z
    .literal(true)
    .describe('it is `revoke` or `lock` with `--config`, on the server’s own shell: no drill waits for it')
    .exactOptional(),
});

export const replicasSchema = z.object({ replicas: z.array(replicaSchema).readonly() });

export const componentSchema = z.object({
  name: z.string(),
  state: z.enum(['up', 'down', 'unknown']).describe('as this replica found it; `unknown`: not checked yet'),
  checkedAt: timeSchema.describe('when it was checked').exactOptional(),
  ms: z.number().describe('milliseconds until the response to the check').exactOptional(),
  problem: z.string().describe('with `down`: what went wrong').exactOptional(),
});

export const clustersSchema = z.object({ clusters: z.array(componentSchema).readonly() });

export const providersSchema = z.object({ providers: z.array(componentSchema).readonly() });

export const replicaDrillSchema = z.object({
  id: z.string().describe('the name of the replica'),
  opened: z.boolean().describe('whether its watch was open before the revocation'),
  cut: z.boolean().describe('whether it reported its watch cut'),
  ms: count.describe('milliseconds from the revocation until the report of the cut arrived').exactOptional(),
  reason: z.string().describe('why it has not passed').exactOptional(),
});

export const drillResultSchema = z.object({
  id: z.string(),
  verdict: z.enum(['passed', 'failed']),
  replicas: z.array(replicaDrillSchema).readonly(),
  receipt: revocationResultSchema,
});

export const auditEventsSchema = z.object({
  replica: z.string().describe('the replica that responds'),
  events: z.array(z.record(z.string(), z.unknown())).readonly().describe('each an `Event` of `audit.k8s.io/v1`'),
  complete: z.boolean().describe('whether the whole range was searched, at each replica'),
  stopped: z
    .enum(['events', 'bytes', 'time'])
    .describe('which limit ended the search before the beginning of the range; absent where none did')
    .exactOptional(),
  unreadable: count.describe('lines that are no event, and files that could not be read to their end'),
  searched: z.array(z.string()).readonly().describe('the replicas whose files were searched').exactOptional(),
  missing: z
    .array(z.string())
    .readonly()
    .describe('replicas whose part is missing: silent, too slow, or without a file')
    .exactOptional(),
});

/** RFC 9457. */
export const problemSchema = z.object({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().describe('for the user: what happened and what to do next'),
  code: z.string().describe('stable: programs branch on it'),
  requestId: z.string().describe('also the id of the audit event'),
  maxAge: z.string().describe('with `fresh_sign_in_needed`: seconds for which a sign-in is fresh').exactOptional(),
  approval: z.string().describe('with `second_admin_needed`: the id that the second admin sends').exactOptional(),
  expiresAt: timeSchema.describe('with `second_admin_needed`: when the approval expires').exactOptional(),
  reason: z.string().describe('with `access_conflict`: why, more precisely').exactOptional(),
  heldUntil: timeSchema
    .describe(
      'with `revocation_not_written`, where the target is held for a time only: until when this replica rejects it',
    )
    .exactOptional(),
});
