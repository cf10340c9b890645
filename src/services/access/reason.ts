/**
 * The reasons that users give. They are hostile: an attacker who may ask writes a line that turns the approver's terminal
 * around, or that looks like two lines of a log. So they are cleaned where they enter; whoever shows them escapes them.
 */
import { MOST_REASON } from '../../core/access/request.ts';
import { compileReason } from '../../core/access/reason-pattern.ts';
import { rejection } from './rejections.ts';

/** More than any cleaned reason needs: an attacker sends megabytes of invisible characters. */
const MOST_GIVEN = 4 * MOST_REASON;

/**
 * Returns a reason without control, invisible and bidirectional characters, on one line. Lone surrogates are among them.
 * @throws ProblemError `reason_malformed` where it is too long
 */
export function cleanReason(given: string): string {
  const text =
    given.length > MOST_GIVEN ? given : given.replace(/\s+/gu, ' ').replace(/\p{C}/gu, '').replace(/ +/g, ' ').trim();
  if (text.length > MOST_REASON) {
    throw rejection('reason_malformed', `The reason may have at most ${MOST_REASON} characters.`);
  }
  return text;
}

/**
 * Checks a cleaned reason against the pattern of the role.
 * @throws ProblemError `reason_needed`
 */
export function assertReason(reason: string, pattern: string | undefined): void {
  if (pattern === undefined) return;
  // The configuration has compiled it before.
  if (compileReason(pattern).test(reason)) return;
  throw rejection(
    'reason_needed',
    `This role needs a reason that matches “${pattern}”, from its beginning to its end.`,
  );
}
