/**
 * The reasons that users give. They are hostile: an attacker who may ask writes a line that turns the approver's terminal
 * around, or that looks like two lines of a log. So they are cleaned where they enter; anyone who shows them escapes them.
 */
import type { AccessResult } from '../../core/api/rejections.ts';
import { MOST_REASON } from '../../core/access/request.ts';
import { compileReason } from '../../core/access/reason-pattern.ts';
import { ok, no } from '../../core/result.ts';

/** More than any cleaned reason needs: an attacker sends megabytes of invisible characters. */
const MOST_GIVEN = 4 * MOST_REASON;

/** Returns a reason without control, invisible and bidirectional characters, on one line. Lone surrogates are among them. */
export function cleanReason(given: string): AccessResult<string> {
  const text =
    given.length > MOST_GIVEN ? given : given.replace(/\s+/gu, ' ').replace(/\p{C}/gu, '').replace(/ +/g, ' ').trim();
  return text.length > MOST_REASON ? no({ reason: 'reason_malformed' }) : ok(text);
}

/** Whether a cleaned reason matches the pattern of the role, which the configuration has compiled before. */
export function judgeReason(reason: string, pattern: string | undefined): AccessResult<undefined> {
  if (pattern === undefined || compileReason(pattern).test(reason)) return ok(undefined);
  return no({ reason: 'reason_needed', pattern });
}
