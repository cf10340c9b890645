/**
 * The request bodies and queries of the admin API. Unknown fields are rejected everywhere, so that a mistyped one
 * never makes a request wider than it was meant.
 */
import { z } from 'zod';
import {
  accountSchema,
  actorSchema,
  approvalSchema,
  durationSchema,
  nameSchema,
  reasonSchema,
  requestIdSchema,
  sessionIdSchema,
  usernameSchema,
} from './fields.ts';
import { isResourceWatch } from '../request/request-info.ts';

export const REVOCATION_TARGETS = ['session', 'account', 'username', 'provider', 'workload', 'all'] as const;
/** The targets that stand for one account, which can be locked. */
const LOCKABLE = ['account', 'username', 'workload'] as const;

const presentKeys = (body: object, keys: readonly string[]): readonly string[] =>
  keys.filter((key) => Object.hasOwn(body, key));

/** `POST revocations`: exactly one target, and a reason. */
export const revocationSchema = z
  .strictObject({
    session: sessionIdSchema.optional(),
    account: accountSchema.optional(),
    username: usernameSchema.optional(),
    provider: nameSchema.optional(),
    workload: nameSchema.optional(),
    /** With `workload`: the subject that its tokens have. */
    subject: z
      .string()
      .max(448)
      .regex(/^\S(?:.*\S)?$/, 'a subject without spaces around it')
      .optional(),
    all: z.literal(true).optional(),
    lock: z.boolean().optional(),
    /** With a lock: also where nothing is known of the account. */
    force: z.boolean().optional(),
    reason: reasonSchema,
    requestId: requestIdSchema.optional(),
    approval: approvalSchema.optional(),
  })
  .refine((body) => presentKeys(body, REVOCATION_TARGETS).length === 1, {
    message: `name exactly one of ${REVOCATION_TARGETS.join(', ')}`,
  })
  .refine((body) => (body.workload === undefined) === (body.subject === undefined), {
    message: 'workload and subject go together',
  })
  .refine((body) => body.lock !== true || presentKeys(body, LOCKABLE).length === 1, {
    message: 'a lock is for one account: name it by account, username, or workload and subject',
  });

/** `GET revocation-scope`: exactly one target, as in the body of `POST revocations`. A workload is named by its account. */
export const scopeQuerySchema = z
  .strictObject({
    session: sessionIdSchema.describe('this session').exactOptional(),
    account: accountSchema.describe('this account').exactOptional(),
    username: usernameSchema.describe('the account with this Kubernetes username').exactOptional(),
    provider: nameSchema.describe('every user of this identity provider').exactOptional(),
    all: z.literal('true').describe('every user').exactOptional(),
  })
  .refine((query) => Object.keys(query).length === 1, {
    message: 'name exactly one of session, account, username, provider, all',
  });

/** `POST locks`: the same as a revocation of an account with `lock: true`. */
export const lockSchema = z.strictObject({
  account: accountSchema,
  force: z.boolean().optional(),
  reason: reasonSchema,
  requestId: requestIdSchema.optional(),
  approval: approvalSchema.optional(),
});

const DEFAULT_WATCH = '/api/v1/namespaces?watch=1';

export const drillSchema = z.strictObject({
  cluster: nameSchema.optional(),
  path: z
    .string()
    .max(512)
    .regex(/^\/apis?\/[!-~]+$/, 'a path of the Kubernetes API, such as /api/v1/namespaces?watch=1')
    // An attacker with an admin's credential names a path below a `…/proxy`, and each replica asks it once.
    .refine(isResourceWatch, 'the path of a watch of a resource, with watch=1')
    .default(DEFAULT_WATCH),
  reason: reasonSchema,
});

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

export const SESSION_SORTS = ['newest', 'oldest', 'last-used', 'least-used'] as const;

/** `GET sessions`. */
export const sessionsQuerySchema = z
  .strictObject({
    search: z
      .string()
      .trim()
      .min(1)
      .max(200)
      .describe(
        'text in the username, account, address, client, device name, actor or session id; upper and lower case are the same',
      )
      .exactOptional(),
    account: accountSchema.describe('only sessions of this account').exactOptional(),
    username: usernameSchema.describe('only sessions with this Kubernetes username').exactOptional(),
    provider: nameSchema.describe('only sessions of this identity provider or workload rule').exactOptional(),
    cluster: nameSchema.describe('only sessions of users who may use this cluster now').exactOptional(),
    idle: durationSchema.describe('only sessions that were not used for this long, such as `2h`').exactOptional(),
    delegated: z
      .enum(['true', 'false'])
      .describe('`true`: only delegated sessions; `false`: only those that users and workloads opened themselves')
      .exactOptional(),
    actor: actorSchema
      .describe('only delegated sessions in which this actor acts, at any level; or all actors, as `claude/reviewer`')
      .exactOptional(),
    ancestor: sessionIdSchema.describe('only delegated sessions beneath this session, at any depth').exactOptional(),
    sort: z
      .enum(SESSION_SORTS)
      .describe('the order; with `account`, `username` or `ancestor` only `newest`')
      .default('newest'),
    cursor: z
      .string()
      .regex(/^[\w.~:=+/-]{1,512}$/)
      .describe('the `cursor` of the page before')
      .exactOptional(),
    limit: z.coerce
      .number()
      .int()
      .min(1)
      .max(MAX_LIMIT)
      .describe('the largest number of sessions on a page')
      .default(DEFAULT_LIMIT),
  })
  .refine(
    ({ sort, account, username, ancestor }) => sort === 'newest' || (account ?? username ?? ancestor) === undefined,
    {
      message: 'sort: the sessions of one account or username, and those beneath one session, are listed newest first',
    },
  );

/** `DELETE locks/ACCOUNT`. */
export const unlockQuerySchema = z.strictObject({ reason: reasonSchema.describe('the reason, for the audit log') });

/** `GET streams`. */
export const streamsQuerySchema = z.strictObject({
  account: accountSchema.describe('whose they are, PROVIDER/SUBJECT'),
});

/** `DELETE streams/AUDIT_ID`. */
export const cutQuerySchema = unlockQuerySchema.extend({ account: accountSchema.describe('whose it is') });

/** `DELETE fresh-sign-ins/ACCOUNT`. */
export const liftQuerySchema = unlockQuerySchema.extend({
  since: z.iso
    .datetime()
    .describe('the `since` that the caller has read; a later revocation then stays in force')
    .optional(),
});

/** `DELETE sessions/ID`. */
export const endQuerySchema = z.strictObject({
  reason: reasonSchema.describe('the reason, for the audit log').default('no reason given'),
});
