/**
 * The fields of a form or a link, as the admin API spells the same request.
 */
import type { Request } from 'express';
import { z } from 'zod';
import { requestIdSchema } from '../../core/admin-api/fields.ts';
import { revocationSchema } from '../../core/admin-api/requests.ts';
import { AppError } from '../../core/errors.ts';
import { field } from '../browser/guards.ts';
import { parameter } from '../page/response.ts';
import type { RevocationRequest } from '../../admin/revocation-request.ts';

const kindSchema = z.enum(['session', 'account', 'username', 'provider', 'all']);

export type RevocationKind = z.output<typeof kindSchema>;

/** What is asked for, as a page carries it from one step to the next. */
export interface RevocationFields {
  readonly kind: RevocationKind;
  /** Empty for everybody. */
  readonly value: string;
  readonly lock: boolean;
  /** What the first admin was given where it takes two; empty for none. */
  readonly approval: string;
}

const malformed = (words: string): AppError =>
  new AppError('bad_request', `That cannot be revoked: ${words}.`, { reason: 'revocation_malformed' });

function fieldsFrom(said: (name: string) => string): RevocationFields {
  const kind = kindSchema.safeParse(said('kind'));
  if (!kind.success) throw malformed('choose what to revoke');
  const value = kind.data === 'all' ? '' : said('value');
  return { kind: kind.data, value, lock: said('lock') === 'on', approval: said('approval') };
}

/** Of a link. @throws AppError `bad_request` */
export const linkFields = (req: Request): RevocationFields =>
  fieldsFrom((name) => parameter(req.query[name])?.trim() ?? '');

/** Of a form. @throws AppError `bad_request` */
export const formFields = (req: Request): RevocationFields => fieldsFrom((name) => field(req, name));

/** As the admin API takes it. @throws AppError `bad_request` that names what is wrong, and repeats no value */
export function requestOf(
  { kind, value, lock, approval }: RevocationFields,
  said: { readonly reason: string; readonly requestId?: string },
): RevocationRequest {
  const named = kind === 'all' ? true : value;
  const rest = { ...said, ...(lock ? { lock } : {}), ...(approval === '' ? {} : { approval }) };
  const parsed = revocationSchema.safeParse({ [kind]: named, ...rest });
  if (parsed.success) return parsed.data;
  throw malformed(parsed.error.issues.map((issue) => issue.message).join('; '));
}

/** The id that makes two clicks one revocation. @throws AppError `bad_request` */
export function requestIdOf(req: Request): string {
  const id = requestIdSchema.safeParse(field(req, 'requestId'));
  if (!id.success) throw malformed('the form is not from the page that asks. Open that page again');
  return id.data;
}
