/** Kubernetes' error body (metav1.Status), with its reasons, numbers and wording. */
import type { JsonObject } from './json.ts';
import { defined } from '../../../src/core/defined.ts';

export interface StatusCause extends JsonObject {
  reason: string;
  message: string;
  field?: string;
}

export interface StatusDetails extends JsonObject {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
}

export interface Status extends JsonObject {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: JsonObject;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code?: number;
}

/** An answer that is an error. Handlers throw it; the dispatcher writes it. */
export class StatusError extends Error {
  readonly status: Status & { code: number };

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = 'StatusError';
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...defined({ details }),
      code,
    };
  }
}

export interface Named {
  readonly group: string;
  readonly resource: string;
  readonly name?: string;
}

/** `pods`, `roles.rbac.authorization.k8s.io`. */
export const qualified = (group: string, resource: string): string =>
  group === '' ? resource : `${resource}.${group}`;

const detailsOf = (what: Named): StatusDetails => ({
  ...defined({ name: what.name }),
  ...(what.group === '' ? {} : { group: what.group }),
  kind: what.resource,
});

export const unauthorized = (): StatusError => new StatusError(401, 'Unauthorized', 'Unauthorized');

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const unknownPath = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

export const notFound = (what: Named): StatusError =>
  new StatusError(404, 'NotFound', `${qualified(what.group, what.resource)} "${what.name}" not found`, detailsOf(what));

export const alreadyExists = (what: Named): StatusError =>
  new StatusError(
    409,
    'AlreadyExists',
    `${qualified(what.group, what.resource)} "${what.name}" already exists`,
    detailsOf(what),
  );

export const conflict = (what: Named, why: string): StatusError =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(what.group, what.resource)} "${what.name}": ${why}`,
    detailsOf(what),
  );

export const MODIFIED_MEANWHILE =
  'the object has been modified; please apply your changes to the latest version and try again';

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const unsupportedMediaType = (accepted: readonly string[]): StatusError =>
  new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );

export const notAcceptable = (accepted: readonly string[]): StatusError =>
  new StatusError(406, 'NotAcceptable', `only the following media types are accepted: ${accepted.join(', ')}`);

export const tooLarge = (): StatusError =>
  new StatusError(413, 'RequestEntityTooLarge', 'Request entity too large: limit is 3145728');

export const expired = (requested: number, oldest: number): StatusError =>
  new StatusError(410, 'Expired', `too old resource version: ${requested} (${oldest})`);

/** One error of an object, in the wording of the server's field validation. */
export interface FieldError {
  readonly field: string;
  readonly reason: 'FieldValueRequired' | 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueDuplicate';
  readonly message: string;
}

/** 422 that names all errors together. */
export function invalid(group: string, kind: string, name: string, errors: readonly FieldError[]): StatusError {
  const listed = errors.map((error) => `${error.field}: ${error.message}`);
  const said = listed.length === 1 ? listed[0] : `[${listed.join(', ')}]`;
  return new StatusError(422, 'Invalid', `${qualified(group, kind)} "${name}" is invalid: ${said}`, {
    name,
    ...(group === '' ? {} : { group }),
    kind,
    causes: errors.map(({ reason, message, field }) => ({ reason, message, field })),
  });
}
