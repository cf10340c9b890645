/**
 * Reading what the admin API answers, by the schemas that the server describes its answers with. A newer server may say more; an answer
 * that lacks something is not guessed at: an admin would take the guess for certainty.
 */
import type { z } from 'zod';
import type { revocationResultSchema, sessionSchema } from '../../core/admin-api/responses.ts';
import { cliError } from '../errors.ts';

export type Session = z.output<typeof sessionSchema>;
export type Receipt = z.output<typeof revocationResultSchema>;

/** @throws AppError `upstream_unavailable` that names the place, and quotes nothing */
export function parseResponse<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
  const where = path === '' ? '' : ` (${path})`;
  throw cliError(
    'upstream_unavailable',
    `The server’s answer is not one that this version of portcullis knows${where}.`,
    'compare portcullis version with the server’s, and upgrade the older one; what was asked for may have been done',
    { cause: parsed.error },
  );
}
