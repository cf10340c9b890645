/**
 * Maps a provider's claims to a Kubernetes identity (docs/architecture.md#invariant-6).
 *
 * The claims come from the provider and, in part, from the user (display names, e-mail addresses). Claims that cannot
 * be mapped beyond doubt are rejected; nothing is truncated, cleaned or left out.
 */
import type {
  Claims,
  ClaimsMapping,
  ClaimsProvider,
  CompiledRule,
  IdentityRejection,
  IdentityRejectionReason,
} from './types.ts';
import type { Account, Identity } from './identity.ts';
import {
  celUser,
  celValue,
  compileExpression,
  type Evaluation,
  type Expression,
  type ExpressionError,
} from '../cel/expressions.ts';
import {
  isTooCostly,
  mappedExtra,
  mappedGroups,
  mappedUid,
  mappedUsername,
  subjectRejection,
  tooManyGroups,
  type Evaluate,
} from './claims-parts.ts';
import type { Budget } from '../cel/cost.ts';
import { extraKeyProblem } from './extra-keys.ts';
import { no, ok, type Result } from '../result.ts';
import { MAX_GROUPS } from './names.ts';

export { compileAllow, mayUse } from './cluster-access.ts';
export type { ExpressionError } from '../cel/expressions.ts';

/**
 * Compiles a provider's expressions.
 * @returns the mapping, or all errors with their places
 */
export function compileMapping(provider: ClaimsProvider): Result<ClaimsMapping, ExpressionError[]> {
  const errors: ExpressionError[] = [];
  const compile = (
    place: string,
    source: string,
    produces: 'string' | 'strings' | 'bool',
    variable: 'claims' | 'user' = 'claims',
  ): Expression => {
    const compiled = compileExpression(variable, source, produces);
    if (compiled.ok) return compiled.value;
    errors.push({ place, message: compiled.reason });
    return REJECTS_ALL;
  };
  const rules = (list: ClaimsProvider['rules'], name: string, variable: 'claims' | 'user'): CompiledRule[] =>
    list.map((rule, index) => ({
      place: `${name}[${index}]`,
      expression: compile(`${name}[${index}].expression`, rule.expression, 'bool', variable),
      message: rule.message,
    }));

  for (const key of Object.keys(provider.extra)) {
    const problem = extraKeyProblem(key);
    if (problem !== undefined) errors.push({ place: `extra.${key}`, message: problem });
  }
  const username = compile('username', provider.username, 'string');
  const mapping: ClaimsMapping = {
    provider: provider.name,
    usernamePrefix: provider.usernamePrefix,
    groupsPrefix: provider.groupsPrefix,
    username,
    groups: provider.groups === undefined ? undefined : compile('groups', provider.groups, 'strings'),
    uid: provider.uid === undefined ? undefined : compile('uid', provider.uid, 'string'),
    extra: new Map(
      Object.entries(provider.extra).map(([key, source]) => [key, compile(`extra.${key}`, source, 'strings')]),
    ),
    maxGroups: provider.maxGroups ?? MAX_GROUPS,
    trustsEmail: provider.emailVerified === 'trusted',
    needsVerifiedEmail: username.reads('email') && provider.emailVerified === 'claim',
    rules: rules(provider.rules, 'rules', 'claims'),
    userRules: rules(provider.userRules, 'userRules', 'user'),
  };
  return errors.length === 0 ? ok(mapping) : no(errors);
}

/**
 * Steps that all expressions of one sign-in or re-check may take together: enough to filter, search and map ten
 * thousand groups. They take one to two tenths of a second. Kubernetes gives each of its expressions as many.
 */
const MOST_STEPS = 1_000_000;

/** Returns what all expressions of one sign-in may take together, also where the rules of several mappings are tried. */
export const signInBudget = (): Budget => ({ left: MOST_STEPS });

/** Replaces an expression that did not compile, until the errors are returned. */
const REJECTS_ALL: Expression = {
  reads: () => true,
  evaluate: () => ({ kind: 'error', message: 'did not compile' }),
};

/**
 * Maps verified claims to an identity. Rules over the claims come first, then the mapping, then rules over the mapped
 * user.
 * @param claims from a token whose signature, issuer, audience and times have been verified
 * @param account `PROVIDER/SUBJECT`; the uid where the provider's mapping names none
 * @param budget what is left for this sign-in
 */
export function mapClaims(
  mapping: ClaimsMapping,
  claims: Claims,
  account: Account,
  budget = signInBudget(),
): Result<Identity, IdentityRejection> {
  const badSubject = subjectRejection(account);
  if (badSubject !== undefined) return no(badSubject);
  const tooMany = tooManyGroups(mapping, claims);
  if (tooMany !== undefined) return no(tooMany);
  const subject = celValue(claims);
  const evaluate: Evaluate = (expression) => expression.evaluate(subject, budget);
  const rejection = firstRejection(mapping.rules, evaluate);
  if (rejection !== undefined) return no(rejection);

  const username = mappedUsername(mapping, evaluate, claims);
  if (!username.ok) return username;
  const groups = mappedGroups(mapping, evaluate, claims);
  if (!groups.ok) return groups;
  const uid = mappedUid(mapping, evaluate, account);
  if (!uid.ok) return uid;
  const extra = mappedExtra(mapping, evaluate);
  if (!extra.ok) return extra;

  const identity: Identity = { username: username.value, uid: uid.value, groups: groups.value, extra: extra.value };
  const user = celUser(identity);
  const userRejection = firstRejection(mapping.userRules, (expression) => expression.evaluate(user, budget));
  return userRejection === undefined ? ok(identity) : no(userRejection);
}

/**
 * Reasons for which a claim is missing or of another type than the mapping needs. A rule that does not pass is not among
 * them, nor a value that is as it should be and cannot be used: those say something of the user.
 */
const MALFORMED: ReadonlySet<string> = new Set<IdentityRejectionReason>([
  'expression_error',
  'email_verification_unknown',
  'groups_not_strings',
  'extra_not_strings',
  'username_not_string',
  'username_empty',
  'group_not_string',
  'group_empty',
  'uid_not_string',
  'uid_empty',
  'extra_not_string',
  'extra_empty',
]);

/**
 * Returns whether a rejection is about the shape of the claims, and not about the user: it may be a failure of the provider.
 * @param reason of an `IdentityRejection`, or any other
 */
export const isMalformed = (reason: string): boolean => MALFORMED.has(reason);

/** Returns the rejection of the first rule that fails. A rule passes only with the boolean `true`. */
function firstRejection(rules: readonly CompiledRule[], evaluate: Evaluate): IdentityRejection | undefined {
  for (const { place, expression, message } of rules) {
    const outcome = evaluate(expression);
    if (outcome.kind === 'value' && outcome.value === true) continue;
    if (outcome.kind === 'value' && outcome.value === false) return { reason: 'rule_refused', place, message };
    return {
      reason: isTooCostly(outcome) ? 'expression_too_costly' : 'rule_error',
      place,
      message: `A sign-in rule could not be decided for you, so you were not let in. Ask your platform team to check ${place}. (${message})`,
      fault: undecided(outcome),
    };
  }
  return undefined;
}

function undecided(outcome: Evaluation): string {
  if (outcome.kind === 'error') return outcome.message;
  return outcome.kind === 'absent' ? 'there is no such claim' : 'neither true nor false';
}
