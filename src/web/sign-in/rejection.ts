/**
 * Reports a rejected sign-in to the program that waits for it: the message of the page, the contact and the
 * request id.
 *
 * The program learns it immediately and shows it to its user; otherwise it would wait for minutes for a user who
 * cannot sign in. It gets nothing that is not on the page.
 */
import type { Response } from 'express';
import { AppError, programMessage } from '../../core/errors.ts';
import { appErrorOf } from '../../http/error-status.ts';
import type { WebDeps } from '../dependencies.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { logServerError } from '../page/server-error-log.ts';

/**
 * The characters that `error_description` may not contain (RFC 6749 §4.1.2.1: printable ASCII without `"` and
 * `\`), and their replacements.
 */
const ASCII_REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/[“”„"‘’`]/gu, "'"],
  [/…/gu, '...'],
  [/[–—]/gu, '-'],
  [/\\/gu, '/'],
  [/\p{M}/gu, ''],
  [/[^\x20-\x7e]/gu, '?'],
];

const toAscii = (text: string): string =>
  ASCII_REPLACEMENTS.reduce((rest, [pattern, instead]) => rest.replaceAll(pattern, instead), text.normalize('NFKD'));

type Report = (description: string) => Promise<void>;

/**
 * Reports a rejection to the program that waits.
 *
 * @param res where the report may send the response, too: the redirect to the program
 * @param thrown by a step of a sign-in
 * @returns whether a response was sent. Nothing is reported where the step may succeed at the next try, and where
 *   no program waits any more
 */
export async function reportRejection(
  deps: Pick<WebDeps, 'config' | 'logger'>,
  res: Response,
  { requestId }: RequestContext,
  { thrown, report }: { readonly thrown: unknown; readonly report: Report },
): Promise<boolean> {
  const { error } = appErrorOf(thrown);
  if (error.code !== 'sign_in_refused' && !error.needsOperator) return false;
  try {
    await report(toAscii(programMessage(error, { contact: deps.config.contact, requestId })));
  } catch (failure) {
    if (failure instanceof AppError) return false;
    throw failure;
  }
  if (!res.headersSent) return false;
  logServerError(deps, requestId, thrown);
  return true;
}

/**
 * The same at the start of a sign-in, before the user was at the provider: only what waiting cannot help is reported.
 */
export const reportMisconfiguration: typeof reportRejection = async (deps, res, context, rejection) =>
  appErrorOf(rejection.thrown).error.needsOperator && reportRejection(deps, res, context, rejection);
