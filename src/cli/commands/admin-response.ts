/**
 * Parses responses of the admin API, by the schemas with which the server describes them. A newer server may send
 * more. A response that lacks a field is rejected and not completed by a guess: an admin would rely on the guess.
 */
import type { z } from 'zod';
import type { revocationResultSchema, sessionSchema } from '../../core/api/responses.ts';
import { cliError } from '../errors.ts';

export type Session = z.output<typeof sessionSchema>;
export type Receipt = z.output<typeof revocationResultSchema>;

/** @throws AppError `upstream_unavailable` that names the field, and quotes nothing */
export function parseResponse<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
  const where = path === '' ? '' : ` (${path})`;
  throw cliError(
    'upstream_unavailable',
    `This version of portcullis does not know the format of the server’s response${where}.`,
    'compare portcullis --version with the server’s, and upgrade the older one; the command may have taken effect',
    { cause: parsed.error },
  );
}
