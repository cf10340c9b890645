/** What the server says about delegated sessions. Objects are open: a newer server may send more. */
import { z } from 'zod';
import { recentRequestSchema } from '../../core/api/responses.ts';

/** How many of a list are asked for at once: as many as the server sends. */
export const DELEGATIONS_PAGE = 50;

const listedSchema = z.looseObject({
  id: z.string().regex(/^[\w.~-]{1,128}$/, 'it becomes part of commands that users type'),
  /** Who acts: `claude`, or `claude/reviewer`. */
  name: z.string(),
  clusters: z.array(z.string()).readonly(),
  /** What it may do, for users. */
  rights: z.string(),
  /** RFC 3339. */
  expiresAt: z.string(),
  lastUsedAt: z.string(),
  recent: z.array(recentRequestSchema).readonly(),
});

/** A delegated session, as its user sees it in a list. */
export type ListedDelegation = z.output<typeof listedSchema>;

const delegationSchema = listedSchema.extend({
  /** Each a `RightsLimit`, not yet checked: those of the sessions above first. */
  limits: z.array(z.unknown()).readonly(),
});

export type DelegationItem = z.output<typeof delegationSchema>;

export const delegationsSchema = z.looseObject({
  delegations: z.array(listedSchema).readonly(),
  cursor: z.string().exactOptional(),
});

export const createdDelegationSchema = z.object({
  delegation: delegationSchema,
  refreshToken: z.string(),
  /** As `ReachableCluster`, not yet checked. */
  clusters: z.array(z.unknown()).readonly(),
});
