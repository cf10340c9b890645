/** What the server says about access requests. Objects are open: a newer server may send more. All texts are hostile. */
import { z } from 'zod';

const texts = z.array(z.string()).readonly();

const decisionSchema = z.looseObject({
  user: z.string(),
  /** RFC 3339, as every time here. */
  at: z.string(),
  approved: z.boolean(),
  reason: z.string().optional(),
});

const grantSchema = z.looseObject({
  beganAt: z.string(),
  endsAt: z.string(),
  /** By the server's clock. */
  leftSeconds: z.number().optional(),
  endedAt: z.string().optional(),
  ending: z.string().optional(),
  endedBy: z.string().optional(),
});

export const requestSchema = z.looseObject({
  id: z.string().regex(/^[\w-]{4,64}$/, 'it becomes part of commands that users type'),
  role: z.string(),
  description: z.string(),
  groups: texts,
  /** Absent: all. */
  clusters: texts.optional(),
  user: z.string(),
  account: z.string(),
  device: z.string().optional(),
  address: z.string(),
  reason: z.string(),
  seconds: z.number(),
  state: z.string(),
  requestedAt: z.string(),
  openUntil: z.string(),
  /** How many must approve; 0: no one. */
  needed: z.number(),
  decisions: z.array(decisionSchema).readonly(),
  grant: grantSchema.optional(),
  may: texts,
});

/** An access request, with what the user of this command may do with it. */
export type RequestItem = z.output<typeof requestSchema>;

const roleSchema = z.looseObject({
  name: z.string(),
  description: z.string(),
  groups: texts,
  clusters: texts.optional(),
  approval: z.union([z.literal('none'), z.looseObject({ groups: texts, count: z.number() })]),
  /** Seconds. */
  longest: z.number(),
  /** A regular expression that the whole reason must match. */
  reason: z.string().optional(),
});

/** A role that the user may ask for. */
export type RoleItem = z.output<typeof roleSchema>;

export const accessSchema = z.looseObject({
  roles: z.array(roleSchema).readonly(),
  mine: z.array(requestSchema).readonly(),
  /** What waits for this user, and grants that they may end. */
  queue: z.array(requestSchema).readonly(),
});

export const withdrawnSchema = z.looseObject({ withdrawn: z.literal(true) });
