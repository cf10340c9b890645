/** The API for access requests: every operation, body and problem code of it. */
import { z } from 'zod';
import { SELF_AUDIENCE } from '../core.ts';
import { accessDecisionSchema, accessEndedSchema, accessRequestSchema } from './access.ts';
import { ACCESS_PROBLEMS } from './access-problems.ts';
import { OWN_CALLS } from './own-operations.ts';
import { pageQuery } from './fields.ts';
import { OUTPUT, TABLE_OUTPUT, type ApiDescription } from './operation.ts';
import { problemSchema, receiptSchema, revocationResultSchema } from './responses.ts';

/**
 * What waits for an approver, in a page: about so many. A hundred requests are unsealed for it at most, and fifty grants.
 */
const QUEUE_PAGE = { usual: 50, most: 100 } as const;

const names = z.array(z.string()).readonly();

const orderSchema = z.strictObject({
  role: z.string().describe('its name'),
  seconds: z.number().describe('for how long, from 60 to the role’s `longestSeconds`'),
  reason: z.string().describe('at most 500 characters').default(''),
  session: z
    .string()
    .describe('another session of the caller’s own that gets the role; absent: the one that sends this')
    .exactOptional(),
});

const offeredRoleSchema = z.object({
  name: z.string(),
  description: z.string(),
  groups: names.describe('what the role gives'),
  clusters: names.describe('where it gives them; absent: everywhere').exactOptional(),
  needed: z.number().int().min(0).describe('how many approvals it needs; 0: none (break-glass)'),
  approvers: names.describe('the groups whose members approve'),
  longestSeconds: z.number(),
  reason: z
    .string()
    .describe('a regular expression that the whole reason must match; absent: any, or none')
    .exactOptional(),
  freshnessSeconds: z.number().describe('how recent the sign-in must be; absent: any').exactOptional(),
  needsFreshSignIn: z.boolean().describe('whether the caller’s is too old'),
});

const listSchema = z.object({
  roles: z.array(offeredRoleSchema).readonly().describe('what the caller may ask for'),
  mine: z.array(accessRequestSchema).readonly().describe('the latest 50 requests of the account'),
  queue: z
    .array(accessRequestSchema)
    .readonly()
    .describe('requests that the caller may approve or deny, newest first, then grants of others that they may end'),
  cursor: z
    .string()
    .describe('where there may be more in the queue: that page has the rest of it alone, `roles` and `mine` are empty')
    .exactOptional(),
});

const ENDING = {
  200: {
    description: 'Proven: the end is in force on every replica; or the request is withdrawn.',
    schema: 'Revocation',
    or: 'AccessWithdrawn',
  },
  202: { description: 'Written and still being proven.', schema: 'Revocation' },
} as const;

/** Of what may begin a grant: an order, and a decision. */
const GRANTING = [
  'reason_malformed',
  'session_over',
  'fresh_sign_in_needed',
  'sign_in_again',
  'freshness_unprovable',
  'account_locked',
  'request_busy',
  'requester_gone',
  'requests_too_many',
  'requests_of_account_too_many',
  'grants_too_many',
  'grants_of_account_too_many',
  'grants_of_session_too_many',
  'provider_unavailable',
] as const;

const DECIDING = [
  ...GRANTING,
  'own_request',
  'not_an_approver',
  'request_not_found',
  'role_changed',
  'already_approved',
  'request_granted',
  'request_denied',
  'request_withdrawn',
  'request_expired',
  'grant_over',
  'requester_not_eligible',
  'requester_signs_in_again',
  'approver_over',
] as const;

const event = 'access-refused';

/** Of commands. */
const ID = ['<id>', 'its id, the first four characters of it or more, or its link'] as const;

export const ACCESS_API = {
  title: 'Portcullis API for access requests',
  description:
    'A program asks for a role for a while, and approves, denies and ends. Delegated sessions and workloads are rejected. All texts of users in responses are as they were typed, but on one line and without control and invisible characters: escape them where they are shown.',
  servers: [{ url: '/', by: 'bearer' }],
  audience: SELF_AUDIENCE,
  root: '/-/access',
  bodyBytes: '32kb',
  operations: {
    listAccess: {
      method: 'GET',
      path: '',
      event,
      summary: 'List what the caller may ask for, has asked for, and may decide about.',
      command: {
        name: 'access list',
        summary: 'list what you may ask for, what you have, and what waits for you',
        options: [['--all', 'with what is over'], TABLE_OUTPUT],
      },
      notes:
        'A page may be empty and still have a cursor, because few of the requests that wait may be for this approver. Lists of an account are read one after the other. Four may wait; a further one is 429.',
      query: pageQuery(QUEUE_PAGE, 'how many the queue of a page has, about'),
      inTurn: 'lists at once',
      responses: { 200: { description: 'A page.', schema: 'AccessList' } },
    },
    requestAccess: {
      method: 'POST',
      path: '',
      event,
      summary: 'Ask for a role, for the session that sends it.',
      command: {
        name: 'access request',
        summary: 'ask for a role for a while, and wait until it is approved',
        argument: ['<role>', 'name of the role'],
        options: [
          ['--for <duration>', 'how long, such as 90s, 30m or 2h (default: 1h, or the most that the role allows)'],
          ['--reason <text>', 'why, for those who approve and for the audit log, for example a ticket'],
          ['--no-wait', 'only ask, and print the link for those who approve'],
          OUTPUT,
        ],
      },
      body: 'AccessOrder',
      order: true,
      responses: {
        201: {
          description: 'The request. Where the role needs no approval, its `state` is `granted`.',
          schema: 'AccessRequest',
        },
      },
      problems: [
        ...GRANTING,
        'seconds_malformed',
        'reason_needed',
        'role_not_found',
        'session_not_found',
        'role_open',
        'role_active',
      ],
    },
    getAccess: {
      method: 'GET',
      path: '/{id}',
      event,
      summary: 'Read one access request.',
      command: { name: 'access show', summary: 'show one request', argument: ID, options: [OUTPUT] },
      notes: 'One session may have four calls that wait at a time. A replica that shuts down answers early.',
      query: z.strictObject({
        wait: z.coerce
          .number()
          .int()
          .min(0)
          .max(25)
          .describe('seconds to wait until it has another state or decision; then it is returned as it is')
          .default(0),
      }),
      responses: { 200: { description: 'The request, with its decisions and its grant.', schema: 'AccessRequest' } },
      problems: ['request_not_found'],
    },
    approveAccess: {
      method: 'POST',
      path: '/{id}/approve',
      event,
      summary: 'Approve an access request.',
      command: {
        name: 'access approve',
        summary: 'approve a request of another user, after it was shown to you',
        argument: ID,
        options: [
          ['--reason <text>', 'why, for the audit log'],
          ['--yes', 'do not ask for confirmation (needed without a terminal)'],
          OUTPUT,
        ],
      },
      notes: 'It needs a sign-in that is not older than `access.freshness`.',
      body: 'AccessDecision',
      order: true,
      responses: { 200: { description: 'The request as it is then.', schema: 'AccessRequest' } },
      problems: DECIDING,
    },
    denyAccess: {
      method: 'POST',
      path: '/{id}/deny',
      event,
      summary: 'Deny an access request.',
      command: {
        name: 'access deny',
        summary: 'deny a request of another user',
        argument: ID,
        options: [['--reason <text>', 'why, for the user and for the audit log'], OUTPUT],
      },
      notes: 'As to approve.',
      body: 'AccessDecision',
      order: true,
      responses: { 200: { description: 'The request as it is then.', schema: 'AccessRequest' } },
      problems: DECIDING,
    },
    endAccess: {
      method: 'DELETE',
      path: '/{id}',
      event,
      summary: 'Withdraw an open request of one’s own, or end a grant.',
      command: {
        name: 'access end',
        summary: 'end what was granted, on every replica, or withdraw a request',
        argument: ID,
        options: [['--reason <text>', 'why, for the audit log'], OUTPUT],
      },
      notes: 'A grant is ended by its user, an approver of the role, or an admin.',
      query: z.strictObject({ reason: z.string().describe('for the audit log').default('') }),
      order: true,
      reports: true,
      responses: ENDING,
      problems: [
        'reason_malformed',
        'fresh_sign_in_needed',
        'freshness_unprovable',
        'may_not_end',
        'request_not_found',
        'request_open',
        'request_busy',
        'grant_over',
      ],
    },
  },
  schemas: {
    AccessList: listSchema,
    OfferedRole: offeredRoleSchema,
    AccessOrder: orderSchema,
    AccessRequest: accessRequestSchema,
    AccessDecision: accessDecisionSchema,
    AccessWithdrawn: accessEndedSchema,
    Revocation: revocationResultSchema,
    Receipt: receiptSchema,
    Problem: problemSchema,
  },
  common: { ofCalls: [...OWN_CALLS, 'workload', 'delegated_session'], ofChanges: [] },
  problems: ACCESS_PROBLEMS,
} as const satisfies ApiDescription;
