/** What the server says about access requests. All texts are hostile. */
import { z } from 'zod';
import { accessRequestIdSchema, accessRequestSchema } from '../../core/api/access.ts';

// It becomes part of commands that users type.
export const requestSchema = accessRequestSchema.extend({ id: accessRequestIdSchema });

/** An access request, with what the user of this command may do with it. */
export type RequestItem = z.output<typeof requestSchema>;

const names = z.array(z.string()).readonly();

const roleSchema = z.looseObject({
  name: z.string(),
  description: z.string(),
  groups: names,
  /** Absent: all. */
  clusters: names.optional(),
  /** How many must approve; 0: no one (break-glass). */
  needed: z.number(),
  /** The groups whose members approve. Absent: an older server, which does not say. */
  approvers: names.optional(),
  longestSeconds: z.number(),
  /** A regular expression that the whole reason must match. */
  reason: z.string().optional(),
});

/** A role that the user may ask for. */
export type RoleItem = z.output<typeof roleSchema>;

/** How much of the queue is asked for at once: as much as the server sends. */
export const QUEUE_PAGE = 100;

export const accessSchema = z.looseObject({
  roles: z.array(roleSchema).readonly(),
  mine: z.array(requestSchema).readonly(),
  /** What waits for this user, and grants that they may end. */
  queue: z.array(requestSchema).readonly(),
  /** Where the rest of it begins. */
  cursor: z.string().exactOptional(),
});
