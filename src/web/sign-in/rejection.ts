/**
 * What a program is told that waits for a sign-in which was refused: the words of the page, whom to ask, and the request id.
 *
 * The program learns it at once and shows it where the person is; else it would wait for minutes for somebody who cannot come. It is told no
 * more than the page says.
 */
import { AppError } from '../../core/errors.ts';
import { appErrorOf } from '../../http/error-status.ts';
import type { WebDeps } from '../dependencies.ts';
import type { RequestContext } from '../../http/request-context.ts';

/** What `error_description` may not hold (RFC 6749 §4.1.2.1: printable ASCII without `"` and `\`), and what stands for it. */
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
 * Tells the program that waits.
 * @param thrown by a step of a sign-in
 * @returns whether it was told. False where it is not the person who was refused, so that it can be tried again, and where nobody waits any more
 */
export async function reportRejection(
  { config }: Pick<WebDeps, 'config'>,
  { requestId }: RequestContext,
  { thrown, report }: { readonly thrown: unknown; readonly report: Report },
): Promise<boolean> {
  const rejection = appErrorOf(thrown).error;
  if (rejection.code !== 'sign_in_refused') return false;
  try {
    // The command line takes it apart again (`cli/session/rejection.ts`).
    await report(toAscii(`${rejection.message} Whom to ask: ${config.contact} Request id: ${requestId}`));
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}
