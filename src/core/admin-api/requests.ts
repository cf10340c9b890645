/**
 * What may be asked of the admin API: bodies and queries. Unknown fields are refused everywhere, so that a slip of the pen is never a
 * request for something wider.
 */
import { z } from 'zod';
import {
  accountSchema,
  approvalSchema,
  durationSchema,
  nameSchema,
  reasonSchema,
  requestIdSchema,
  sessionIdSchema,
  usernameSchema,
} from './fields.ts';
import { SESSION_SORTS } from './session-sorts.ts';

export const REVOCATION_TARGETS = ['session', 'account', 'username', 'provider', 'workload', 'all'] as const;
/** The targets that stand for one account, which a lock can be put on. */
const LOCKABLE = ['account', 'username', 'workload'] as const;

const givenOf = (body: object, keys: readonly string[]): readonly string[] =>
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
    reason: reasonSchema,
    requestId: requestIdSchema.optional(),
    approval: approvalSchema.optional(),
  })
  .refine((body) => givenOf(body, REVOCATION_TARGETS).length === 1, {
    message: `name exactly one of ${REVOCATION_TARGETS.join(', ')}`,
  })
  .refine((body) => (body.workload === undefined) === (body.subject === undefined), {
    message: 'workload and subject go together',
  })
  .refine((body) => body.lock !== true || givenOf(body, LOCKABLE).length === 1, {
    message: 'a lock is for one account: name it by account, username, or workload and subject',
  });

/** `POST locks`: the same as a revocation of the account with `lock: true`. */
export const lockSchema = z.strictObject({
  account: accountSchema,
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
    .refine((path) => /[?&]watch=(?:1|true)(?:&|$)/.test(path), 'the path of a watch, with watch=1')
    .default(DEFAULT_WATCH),
  reason: reasonSchema,
});

const DEFAULT_LIMIT = 50;
const MOST = 200;

/** `GET sessions`. */
export const sessionsQuerySchema = z
  .strictObject({
    search: z
      .string()
      .trim()
      .min(1)
      .max(200)
      .describe('text in username, account, address, client or session id, in any case')
      .exactOptional(),
    account: accountSchema.describe('of this account only').exactOptional(),
    username: usernameSchema.describe('of this Kubernetes username only').exactOptional(),
    provider: nameSchema.describe('of this identity provider or workload rule only').exactOptional(),
    cluster: nameSchema.describe('of people who may use this cluster now').exactOptional(),
    idle: durationSchema.describe('not used for so long, such as `2h`').exactOptional(),
    sort: z.enum(SESSION_SORTS).describe('the order; with `account` or `username` it is `newest`').default('newest'),
    cursor: z
      .string()
      .regex(/^[\w.~:=+/-]{1,512}$/)
      .describe('where the page before ended')
      .exactOptional(),
    limit: z.coerce.number().int().min(1).max(MOST).describe('sessions on a page at most').default(DEFAULT_LIMIT),
  })
  .refine((query) => query.sort === 'newest' || (query.account === undefined && query.username === undefined), {
    message: 'sort: the sessions of one account or username are listed newest first',
  });

/** `DELETE locks/ACCOUNT`. */
export const unlockQuerySchema = z.strictObject({ reason: reasonSchema.describe('why, for the record') });

/** `DELETE fresh-sign-ins/ACCOUNT`. */
export const liftQuerySchema = unlockQuerySchema.extend({
  since: z.iso.datetime().describe('what the caller has seen; what was revoked later stays').optional(),
});

/** `DELETE sessions/ID`. */
export const endQuerySchema = z.strictObject({
  reason: reasonSchema.describe('why, for the record').default('no reason given'),
});
