/** The API for delegated sessions: every operation, body and problem code of it. */
import { z } from 'zod';
import { SELF_AUDIENCE } from '../core.ts';
import { MOST_COMPARISONS } from '../delegation/escalation.ts';
import { ACTOR_NAME, ACTOR_NAME_RULE } from '../delegation/delegation.ts';
import { pageQuery, timeSchema } from './fields.ts';
import { DELEGATION_PROBLEMS } from './delegations-problems.ts';
import { OWN_CALLS } from './own-operations.ts';
import type { ApiDescription } from './operation.ts';
import {
  delegationSchema,
  problemSchema,
  receiptSchema,
  recentRequestSchema,
  revocationResultSchema,
} from './responses.ts';

/**
 * Sessions of a page. Each is unsealed, and has its latest request read: about a third of a millisecond of CPU, over several
 * turns.
 */
const PAGE = { usual: 20, most: 50 } as const;
/** Names of clusters in an order. An error of each of ten thousand would take longer than all else. */
const MOST_CLUSTERS = 256;

/**
 * Only what JSON has no other form for is checked here: the service has a code of its own for each other bound, and those in
 * `meta` are for the OpenAPI document.
 */
const orderSchema = z.strictObject({
  name: z.string().meta({
    pattern: ACTOR_NAME.source,
    description: `who acts in it: ${ACTOR_NAME_RULE}`,
  }),
  clusters: z
    .array(z.unknown())
    .max(MOST_CLUSTERS)
    .pipe(z.array(z.string()))
    .meta({
      items: { type: 'string' },
      minItems: 1,
      description: `names of the clusters for which it may have tokens; at least one, at most ${MOST_CLUSTERS}`,
    }),
  limits: z.array(z.unknown()).meta({
    items: { type: 'object' },
    description: `what it may do. A request must be allowed by each of them, and by each of the caller’s own. Each has one or more of \`preset\` (\`read-only\` or \`read-only-with-secrets\`), \`namespaces\` and \`rules\` (as in RBAC). Rules that take more than ${MOST_COMPARISONS.toLocaleString('en')} comparisons of a text with one of the limits above are rejected as wider`,
  }),
  seconds: z.number().meta({
    type: 'integer',
    minimum: 1,
    description:
      'how long it may last, at least 1. It ends no later than the caller’s session, and after `delegation.lifetime` at most; the response has the end that it was given',
  }),
  thumbprint: z
    .string()
    .meta({
      pattern: '^[A-Za-z0-9_-]{43}$',
      description:
        'SHA-256 of the session’s own certificate, in base64url (RFC 8705 §3.1). The private key stays where it was made. Not needed where `sessions.binding` is `off`, and ignored there',
    })
    .exactOptional(),
});

const listedSchema = delegationSchema.omit({ ancestors: true, limits: true }).extend({
  id: z.string(),
  createdAt: timeSchema,
  expiresAt: timeSchema,
  lastUsedAt: timeSchema,
  address: z.string().describe('the IP address that asked for it'),
  recent: z
    .array(recentRequestSchema)
    .readonly()
    .describe('in a list its latest request, of one session its latest ten'),
});

const delegatedSchema = listedSchema.extend({ limits: delegationSchema.shape.limits });

const createdSchema = z.object({
  delegation: delegatedSchema,
  refreshToken: z
    .string()
    .describe(
      'for the client `portcullis-cli`, bound to `thumbprint`: used at `/-/oauth/token` like every other one, and ended at `/-/oauth/revoke`',
    ),
  clusters: z
    .array(
      z.object({
        name: z.string(),
        server: z.string().describe('for a kubeconfig').exactOptional(),
        caData: z.string().describe('PEM, where one is configured').exactOptional(),
      }),
    )
    .readonly(),
});

const event = 'delegation-refused';

export const DELEGATIONS_API = {
  title: 'Portcullis API for delegated sessions',
  description:
    'A program makes delegated sessions from its own session, lists them and ends them. One order of an account is judged at a time. All delegated sessions of an account count together, apart from its user’s own sessions: a script cannot keep its user from ending it.',
  servers: [{ url: '/', by: 'bearer' }],
  audience: SELF_AUDIENCE,
  root: '/-/delegations',
  bodyBytes: '32kb',
  operations: {
    listDelegations: {
      method: 'GET',
      path: '',
      event,
      summary: 'List delegated sessions, newest first, page by page.',
      notes:
        'Beneath a user’s own session all delegated sessions of the account, beneath a delegated session those beneath it. A page may be shorter than its limit and still have a cursor. Lists of an account are read one after the other. Four may wait; a further one is 429.',
      query: pageQuery(PAGE, 'the largest number of sessions on a page'),
      inTurn: 'lists at once',
      responses: { 200: { description: 'A page of delegated sessions.', schema: 'DelegationPage' } },
    },
    createDelegation: {
      method: 'POST',
      path: '',
      event,
      summary: 'Make a delegated session beneath the caller’s.',
      notes: 'Another order of the account at the same moment is 429, with `Retry-After`.',
      body: 'DelegationOrder',
      order: true,
      inTurn: 'delegated sessions at once',
      responses: { 201: { description: 'The session, and what its holder needs.', schema: 'CreatedDelegation' } },
      problems: [
        'name_malformed',
        'clusters_missing',
        'cluster_unknown',
        'limits_missing',
        'limits_malformed',
        'limits_too_large',
        'seconds_malformed',
        'key_malformed',
        'key_of_session_above',
        'levels_too_many',
        'parent_over',
        'delegation_disabled',
        'delegation_not_allowed',
        'workload',
        'account_locked',
        'cluster_not_delegable',
        'cluster_beyond_parent',
        'limits_beyond_parent',
        'source_beyond_parent',
        'time_over',
        'name_taken',
        'key_used',
        'delegations_too_many',
        'sessions_too_many',
        'store_restarted',
      ],
    },
    getDelegation: {
      method: 'GET',
      path: '/{id}',
      event,
      summary: 'Read one of those sessions.',
      responses: { 200: { description: 'The session.', schema: 'Delegation' } },
      problems: ['session_not_found'],
    },
    endDelegation: {
      method: 'DELETE',
      path: '/{id}',
      event,
      summary: 'End one of those sessions, with all beneath it, as a sign-out.',
      reports: true,
      responses: {
        200: { description: 'Proven: no replica accepts it any more.', schema: 'Revocation' },
        202: { description: 'Written and still being proven.', schema: 'Revocation' },
      },
      problems: ['session_not_found'],
    },
  },
  schemas: {
    DelegationPage: z.object({
      delegations: z.array(listedSchema).readonly(),
      cursor: z.string().describe('present where there may be more').exactOptional(),
    }),
    ListedDelegation: listedSchema,
    Delegation: delegatedSchema,
    DelegationOrder: orderSchema,
    CreatedDelegation: createdSchema,
    RecentRequest: recentRequestSchema,
    Revocation: revocationResultSchema,
    Receipt: receiptSchema,
    Problem: problemSchema,
  },
  common: { ofCalls: OWN_CALLS, ofChanges: [] },
  problems: DELEGATION_PROBLEMS,
} as const satisfies ApiDescription;
