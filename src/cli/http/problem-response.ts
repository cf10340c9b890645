/** Problem documents (RFC 9457) of the server's APIs, as errors of the command line. */
import type { AppError, ErrorCode } from '../../core/errors.ts';
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';
import type { HttpResponse } from './http-client.ts';
import { stringAt } from './json-shape.ts';

/**
 * Turns a problem document (RFC 9457) into an error with the server's own text and an error code for the exit
 * status.
 * @param next the next step of the user, where the server's text does not say it
 */
export function problem(server: string, response: HttpResponse, next: string | undefined): AppError {
  const code = codeOfProblem(response);
  const title = plainText(stringAt(response.body, 'title') ?? '', 200);
  const detail = plainText(stringAt(response.body, 'detail') ?? '');
  const what = [title || `${server} responded with ${response.status}`, detail]
    .filter((part) => part !== '')
    .join(': ');
  const message = code === '' ? what : `${what} (${code})`;
  return cliError(codeOfStatus(response.status), message, next, { reason: code || 'admin_request_failed' });
}

/** @returns the `code` of a problem document, or an empty text */
export const codeOfProblem = ({ body }: HttpResponse): string => plainText(stringAt(body, 'code') ?? '', 60);

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'forbidden';
  if (status === 400 || status === 422) return 'bad_request';
  if (status === 404) return 'not_found';
  if (status === 409) return 'conflict';
  return 'upstream_unavailable';
}
