/** What the handlers of the admin API share: their types, by the names of its operations, and what they read of a call. */
import type { z } from 'zod';
import type { ADMIN_API } from '../../core/api/admin-operations.ts';
import { accountSchema, sessionIdSchema } from '../../core/api/fields.ts';
import { checked } from '../../core/api/issues.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { problemFor } from '../../http/problem.ts';
import type { Call, CallOf, Handlers } from '../call.ts';

export type AdminHandlers = Handlers<typeof ADMIN_API>;

/** A call of an operation. */
export type AdminCall<N extends keyof (typeof ADMIN_API)['operations']> = CallOf<typeof ADMIN_API, N>;

/** @throws AppError `bad_request` */
export function parsed<T extends z.ZodType>(schema: T, value: unknown, name: string): z.output<T> {
  const result = checked(schema, value);
  if (result.ok) return result.value;
  throw new AppError('bad_request', `${name}: ${result.reason}`, { reason: `${name}_malformed` });
}

/**
 * Returns the session id of the path.
 * @throws ProblemError `session_not_found` also where it has not the form of an id
 */
export function sessionIdOf({ params }: Call): string {
  const id = sessionIdSchema.safeParse(params['id']);
  if (!id.success) throw problemFor(ADMIN, { reason: 'session_not_found' });
  return id.data;
}

/**
 * Returns the account of the path.
 * @throws AppError `bad_request`
 */
export const accountOfPath = ({ params }: Call): Account => parsed(accountSchema, params['account'], 'account');

/** Returns the filter of a query for the audit event, without the page: all pages of a search have the same filter. */
export function filterDetails({ rawQuery }: Call): { readonly filter?: string } {
  const { cursor: _cursor, limit: _limit, ...query } = rawQuery;
  return Object.keys(query).length === 0 ? {} : { filter: JSON.stringify(query) };
}
