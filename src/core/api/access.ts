/**
 * Access requests in the admin API, and in the API for programs (`/-/access`). The objects are open on purpose, as those of
 * `responses.ts`.
 */
import { z } from 'zod';
import { ACCESS_STATES, APPROVAL_LAPSES } from '../access/request.ts';
import { accountSchema, nameSchema, timeSchema } from './fields.ts';

const count = z.number().int().min(0);
const names = z.array(z.string()).readonly();

export const accessRequestIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'the id of an access request has letters, digits, - and _');

const decisionSchema = z.object({
  user: z.string().describe('username of the user who decided'),
  at: timeSchema,
  approved: z.boolean(),
  reason: z.string().describe('as they gave it; absent where they gave none').exactOptional(),
  lapsed: z
    .enum(APPROVAL_LAPSES)
    .describe('why this approval counts no longer: its approver could not give it now; absent: it counts')
    .exactOptional(),
});

const grantSchema = z.object({
  beganAt: timeSchema,
  endsAt: timeSchema.describe('as was approved; it may be over earlier'),
  leftSeconds: count.describe('of one that goes on, about; the store’s clock decides').exactOptional(),
  endedAt: timeSchema.exactOptional(),
  ending: z
    .enum(['expired', 'user', 'approver', 'admin', 'session', 'group', 'role', 'lost'])
    .describe('why it is over')
    .exactOptional(),
  endedBy: z.string().describe('username of the user who ended it').exactOptional(),
  revocation: z.string().describe('id of the revocation that ended it, whose result has the receipts').exactOptional(),
});

export const accessRequestSchema = z.object({
  id: z.string().describe('also the id of its grant'),
  role: z.string(),
  description: z.string().describe('of the role, as it was shown'),
  groups: names.describe('what the role gives'),
  clusters: names.describe('where it gives them; absent: everywhere').exactOptional(),
  user: z.string().describe('username of the requester'),
  account: z.string().describe('`PROVIDER/SUBJECT`'),
  session: z.string().describe('the session that gets it'),
  device: z.string().describe('the name that the program gave its device; anyone chooses it').exactOptional(),
  address: z.string().describe('from where it was asked'),
  reason: z.string().describe('as the user gave it; empty where they gave none'),
  seconds: count.describe('how long it should last'),
  state: z.enum(ACCESS_STATES),
  sessionEnded: z
    .literal(true)
    .describe('of one that is withdrawn: not by its user, its session has ended')
    .exactOptional(),
  requestedAt: timeSchema,
  openUntil: timeSchema.describe('until when it may be approved'),
  needed: count.describe('how many approvals the role needs; 0: none (break-glass)'),
  decisions: z.array(decisionSchema).readonly(),
  grant: grantSchema.exactOptional(),
  link: z.string().describe('its page'),
  may: z
    .array(z.enum(['approve', 'deny', 'end', 'withdraw']))
    .readonly()
    .describe('what the caller may do with it now'),
});

export const accessPageSchema = z.object({
  requests: z.array(accessRequestSchema).readonly(),
  cursor: z.string().describe('where the next page begins; absent: there is none').exactOptional(),
});

/** `POST …/approve` and `POST …/deny`. */
export const accessDecisionSchema = z.strictObject({
  reason: z
    .string()
    .max(2000)
    .describe('why, for the audit log and for the requester; 500 characters are kept')
    .exactOptional(),
});

/** The end of a request that was open still. */
export const accessEndedSchema = z.object({ withdrawn: z.literal(true) });

export const accessHistoryQuerySchema = z.strictObject({
  account: accountSchema.describe('only requests of this account').exactOptional(),
  role: nameSchema.describe('only requests for this role').exactOptional(),
  state: z.enum(ACCESS_STATES).describe('only requests in this state').exactOptional(),
  cursor: z.string().max(500).describe('from an earlier response').exactOptional(),
  limit: z.coerce.number().int().min(1).max(200).describe('how many at most').default(50),
});
