/** The pattern of a role's reasons (`access.roles[].reason`). */
import { compileRegExp, type LinearRegExp } from '../cel/linear-regexp.ts';

/**
 * Returns a pattern that a whole reason must match.
 * @throws Error with a message for the author of the pattern if it is not valid by itself
 */
export function compileReason(pattern: string): LinearRegExp {
  // `a)|(?:b` is valid only inside of the group below, where it would match a part of a reason.
  compileRegExp(pattern);
  return compileRegExp(`\\A(?:${pattern})\\z`);
}
