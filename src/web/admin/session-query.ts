/**
 * What may be asked of the list of sessions.
 */
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity.ts';
import { accountSchema } from './revocation-request.ts';

const DEFAULT_LIMIT = 50;

const querySchema = z.strictObject({
  account: accountSchema.optional(),
  cursor: z
    .string()
    .regex(/^[\w.~:=+/-]{1,512}$/)
    .optional(),
  limit: z.coerce.number().int().min(1).max(200).default(DEFAULT_LIMIT),
});

export interface SessionQuery {
  readonly account?: Account;
  readonly cursor?: string;
  readonly limit: number;
}

/** Zod's findings as one sentence, each with its place. Values are not repeated. */
export function findings(error: z.ZodError): string {
  return error.issues
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`))
    .join('; ');
}

/** @throws AppError `bad_request` */
export function listQuery(query: object): SessionQuery {
  const parsed = querySchema.safeParse(query);
  if (!parsed.success) throw new AppError('bad_request', findings(parsed.error), { reason: 'query_malformed' });
  const { account, cursor, limit } = parsed.data;
  return { limit, ...(account === undefined ? {} : { account }), ...(cursor === undefined ? {} : { cursor }) };
}
