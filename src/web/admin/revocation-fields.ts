/**
 * The fields of the form or link of a revocation, which become a request of the admin API.
 */
import type { Request } from 'express';
import { z } from 'zod';
import { requestIdSchema } from '../../core/api/fields.ts';
import { checked } from '../../core/api/issues.ts';
import { revocationSchema } from '../../core/api/requests.ts';
import { AppError } from '../../core/errors.ts';
import { FIELD_LABELS } from './form-fields.ts';
import { field } from '../browser/guards.ts';
import { parameter } from '../page/response.ts';
import type { RevocationRequest } from '../../services/admin/admin.ts';

const kindSchema = z.enum(['session', 'account', 'username', 'provider', 'all']);

export type RevocationKind = z.output<typeof kindSchema>;

/** The fields that a page passes from one step to the next. */
export interface RevocationFields {
  readonly kind: RevocationKind;
  /** Empty for everyone. */
  readonly value: string;
  readonly lock: boolean;
  /** The id that the first of two admins received; empty for none. */
  readonly approval: string;
  /** Locks an account of which nothing is known, too. */
  readonly force: boolean;
}

const malformed = (message: string): AppError =>
  new AppError('bad_request', `That cannot be revoked. ${message}.`, { reason: 'revocation_malformed' });

function fieldsFrom(valueOf: (name: string) => string): RevocationFields {
  const kind = kindSchema.safeParse(valueOf('kind'));
  if (!kind.success) throw malformed('Choose what to revoke');
  const value = kind.data === 'all' ? '' : valueOf('value');
  const [lock, force] = [valueOf('lock') === 'on', valueOf('force') === 'on'];
  return { kind: kind.data, value, lock, approval: valueOf('approval'), force };
}

/** Returns the fields of a link. @throws AppError `bad_request` */
export const linkFields = (req: Request): RevocationFields =>
  fieldsFrom((name) => parameter(req.query[name])?.trim() ?? '');

/** Returns the fields of a form. @throws AppError `bad_request` */
export const formFields = (req: Request): RevocationFields => fieldsFrom((name) => field(req, name));

/**
 * Returns the request of the admin API.
 * @throws AppError `bad_request` that says what is wrong, without repeating a value
 */
export function requestOf(
  { kind, value, lock, approval, force }: RevocationFields,
  given: { readonly reason: string; readonly requestId?: string },
): RevocationRequest {
  const named = kind === 'all' ? true : value;
  const rest = { ...given, ...(lock && { lock }), ...(force && { force }), ...(approval !== '' && { approval }) };
  const result = checked(revocationSchema, { [kind]: named, ...rest }, FIELD_LABELS);
  if (result.ok) return result.value;
  throw malformed(result.reason);
}

/** Returns the id that makes two clicks one revocation. @throws AppError `bad_request` */
export function requestIdOf(req: Request): string {
  const id = requestIdSchema.safeParse(field(req, 'requestId'));
  if (!id.success) throw malformed('The form has no request id. Open the page again');
  return id.data;
}
