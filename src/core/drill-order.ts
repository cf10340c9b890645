/** The order for a drill, which the service `admin` writes for every replica: the content of the `Drill` artefact. */
import { z } from 'zod';
import { isResourceWatch } from './request/request-info.ts';
import type { Account } from './identity/identity.ts';

export const drillOrderSchema = z.object({
  /** The temporary session, which is to be revoked. */
  session: z.string(),
  cluster: z.string(),
  path: z
    .string()
    .regex(/^\/[!-~]*$/)
    .refine(isResourceWatch),
  /** The session of the admin who ordered it: what ends that ends the drill. */
  caller: z.object({
    session: z.string(),
    ancestors: z.array(z.string()).readonly().exactOptional(),
    account: z.custom<Account>((account) => typeof account === 'string'),
    provider: z.string(),
    /** At which it was known to be valid. */
    position: z.object({ epoch: z.string(), number: z.number() }),
    /** Epoch seconds, and the next. */
    expiresAt: z.number(),
    idleAt: z.number(),
  }),
});

export type DrillOrder = z.infer<typeof drillOrderSchema>;
