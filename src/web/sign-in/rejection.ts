/**
 * Reports a rejected sign-in to the program that waits for it: the message of the page, the contact and the
 * request id.
 *
 * The program learns it immediately and shows it to its user; otherwise it would wait for minutes for a user who
 * cannot sign in. It gets nothing that is not on the page.
 */
import { AppError } from '../../core/errors.ts';
import { appErrorOf } from '../../http/error-status.ts';
import type { WebDeps } from '../dependencies.ts';
import type { RequestContext } from '../../http/request-context.ts';

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
 * @param thrown by a step of a sign-in
 * @returns whether it was reported. False where it was not the user who was rejected, so that the step can be
 *   tried again, and where no program waits any more
 */
export async function reportRejection(
  { config }: Pick<WebDeps, 'config'>,
  { requestId }: RequestContext,
  { thrown, report }: { readonly thrown: unknown; readonly report: Report },
): Promise<boolean> {
  const rejection = appErrorOf(thrown).error;
  if (rejection.code !== 'sign_in_refused') return false;
  try {
    // The command line splits it again (`cli/session/rejection.ts`).
    await report(toAscii(`${rejection.message} Whom to ask: ${config.contact} Request id: ${requestId}`));
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}
