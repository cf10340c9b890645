/**
 * What the admin API answers. Open objects on purpose: a later version may say more, and who reads it ignores what it does not know.
 */
import { z } from 'zod';
import { timeSchema } from './fields.ts';

const count = z.number().int().min(0);

export const sessionSchema = z.object({
  id: z.string(),
  account: z.string().describe('`PROVIDER/SUBJECT`'),
  provider: z.string().describe('the identity provider, or the workload rule'),
  subject: z.string(),
  username: z.string().describe('as Kubernetes sees it'),
  groups: z.array(z.string()).readonly(),
  client: z.string().describe('the OAuth client, or `browser`'),
  createdAt: timeSchema,
  lastUsedAt: timeSchema,
  expiresAt: timeSchema,
  address: z.string().describe('where the sign-in came from'),
  userAgent: z.string().describe('the device’s own words'),
  bound: z.boolean().describe('tied to a client certificate (RFC 8705)'),
  device: z.boolean().describe('signed in by a code (RFC 8628)'),
});

export const sessionPageSchema = z.object({
  sessions: z.array(sessionSchema).readonly(),
  cursor: z.string().describe('there may be more: send it as `cursor`, with the same other parameters').exactOptional(),
});

export const recentRequestSchema = z.object({
  at: timeSchema,
  auditId: z.string().describe('finds the line in the record, here and at the cluster'),
  cluster: z.string(),
  verb: z.string(),
  uri: z.string().describe('as in the record, without secrets, 512 characters at most'),
  resource: z.string().describe('such as `pods` or `pods/exec`').exactOptional(),
  namespace: z.string().exactOptional(),
  name: z.string().exactOptional(),
  code: z.number().int().describe('HTTP status; 0 where the client went away before it was answered'),
  reason: z.string().describe('why the gate itself refused or cut it, in snake_case').exactOptional(),
  address: z.string(),
});

export const recentRequestsSchema = z.object({
  requests: z.array(recentRequestSchema).readonly().describe('newest first, 50 at most'),
});

export const receiptSchema = z.object({
  id: z.string().describe('the replica'),
  state: z.enum(['applied', 'pending', 'fenced']),
  ms: z.number().exactOptional(),
  streamsClosed: z.number().exactOptional(),
});

export const revocationResultSchema = z.object({
  id: z.string(),
  at: z.string().describe('RFC 3339'),
  sessions: z.number().describe('how many sessions ended'),
  streamsClosed: z.number().describe('how many open streams were cut, on all replicas together'),
  complete: z.boolean().describe('proven: no replica accepts a covered credential any more'),
  elapsedMs: z.number(),
  canSignInAgain: z.boolean().describe('nothing but the person’s own wish stands between them and the next sign-in'),
  replicas: z.array(receiptSchema).readonly(),
  missing: z.array(z.string()).readonly().describe('what is not proven, by name; absent when complete').exactOptional(),
});

export const lockViewSchema = z.object({
  account: z.string(),
  reason: z.string().describe('the admin’s own words'),
  by: z.string().describe('username of the admin, or of both where it took two'),
  at: timeSchema,
});

export const locksSchema = z.object({ locks: z.array(lockViewSchema).readonly().describe('newest first') });

export const unlockedSchema = z.object({ account: z.string(), locked: z.literal(false) });

export const freshSignInSchema = z.object({
  account: z.string(),
  needed: z.boolean().describe('whether the next sign-in has to show that the user has authenticated since'),
  since: timeSchema.exactOptional(),
});

const drillPartSchema = z.object({
  id: z.string(),
  state: z.enum(['open', 'cut', 'failed']),
  reason: z.string().exactOptional(),
});

export const replicaSchema = z.object({
  id: z.string().describe('host or pod name'),
  incarnation: z.string().describe('random per process start'),
  self: z.boolean().describe('the one that answers'),
  state: z.enum(['live', 'silent', 'fenced']),
  seenMsAgo: z.number().describe('since it was last seen to move, milliseconds'),
  number: z.number().describe('the last entry of the log that it has applied'),
  streamsCut: z.number(),
  drill: drillPartSchema.describe('its part in the latest drill').exactOptional(),
});

export const replicasSchema = z.object({ replicas: z.array(replicaSchema).readonly() });

export const componentSchema = z.object({
  name: z.string(),
  state: z.enum(['up', 'down', 'unknown']).describe('as this replica found it; `unknown`: nobody has looked'),
  checkedAt: timeSchema.describe('when it looked').exactOptional(),
  ms: z.number().describe('how long the answer took').exactOptional(),
  problem: z.string().describe('of `down`: what went wrong').exactOptional(),
});

export const clustersSchema = z.object({ clusters: z.array(componentSchema).readonly() });

export const providersSchema = z.object({ providers: z.array(componentSchema).readonly() });

export const replicaDrillSchema = z.object({
  id: z.string().describe('the replica'),
  opened: z.boolean(),
  cut: z.boolean(),
  ms: count.describe('from the order to revoke until its report of the cut was seen').exactOptional(),
  reason: z.string().describe('why it has not passed').exactOptional(),
});

export const drillResultSchema = z.object({
  id: z.string(),
  verdict: z.enum(['passed', 'failed']),
  replicas: z.array(replicaDrillSchema).readonly(),
  receipt: revocationResultSchema,
});

/** RFC 9457. */
export const problemSchema = z.object({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().describe('for people: what to do next'),
  code: z.string().describe('stable, to branch on'),
  requestId: z.string().describe('also the audit id of the line in the record'),
  maxAge: z.string().describe('with `fresh_sign_in_needed`: seconds for which a sign-in is fresh').exactOptional(),
  approval: z.string().describe('with `second_admin_needed`').exactOptional(),
  expiresAt: timeSchema.describe('with `second_admin_needed`: how long the approval serves').exactOptional(),
  heldUntil: timeSchema
    .describe(
      'with `revocation_not_written`, where it is held for a time only: until when this replica refuses the target',
    )
    .exactOptional(),
});
