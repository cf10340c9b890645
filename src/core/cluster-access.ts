/** Who may use which cluster: `clusters[].allow`, judged at each mint (DESIGN 6). */
import { celUser, compileExpression, type Expression } from './expressions.ts';
import type { Identity } from './identity.ts';
import { no, ok, type Result } from './result.ts';

/** A compiled `allow`; opaque to other rooms. */
export interface Allow {
  readonly expression: Expression;
}

/**
 * @param source CEL over `user` {username, uid, groups, extra} that yields a bool
 * @returns the rule, or the library's words about what is wrong
 */
export function compileAllow(source: string): Result<Allow, string> {
  const compiled = compileExpression('user', source, 'bool');
  return compiled.ok ? ok({ expression: compiled.value }) : no(compiled.reason);
}

/** True by the boolean `true` and by nothing else: a rule that cannot be evaluated means no. */
export function mayUse(allow: Allow, identity: Identity): boolean {
  const outcome = allow.expression.evaluate(celUser(identity));
  return outcome.kind === 'value' && outcome.value === true;
}
