/**
 * From a provider's claims to who somebody is to Kubernetes (docs/architecture.md#invariant-6).
 *
 * Everything in the claims is the provider's word and, in part, the person's own (display names, e-mail addresses). Whatever
 * cannot be mapped beyond doubt is refused; nothing is cut, cleaned or left out to make it fit.
 */
import type { Account, Identity } from './identity.ts';
import {
  celUser,
  celValue,
  compileExpression,
  type Evaluation,
  type Expression,
  type ExpressionFault,
} from '../cel/expressions.ts';
import {
  isTooCostly,
  mappedExtra,
  mappedGroups,
  mappedUid,
  mappedUsername,
  subjectRefusal,
  tooManyGroups,
  type Evaluate,
} from './claims-parts.ts';
import { extraKeyProblem } from './extra-keys.ts';
import { no, ok, type Result } from '../result.ts';
import { MAX_GROUPS, type NameProblem } from './names.ts';

export { compileAllow, mayUse } from './cluster-access.ts';
export type { ExpressionFault } from '../cel/expressions.ts';

/** Decoded payload of an ID token, with what UserInfo added. */
export type Claims = Readonly<Record<string, unknown>>;

/** The part of a provider's configuration that says how its claims are read. */
export interface ClaimsProvider {
  readonly name: string;
  readonly usernamePrefix: string;
  readonly groupsPrefix: string;
  readonly username: string;
  readonly groups?: string;
  readonly uid?: string;
  readonly extra: Readonly<Record<string, string>>;
  readonly emailVerified: 'claim' | 'trusted';
  readonly rules: readonly { readonly expression: string; readonly message: string }[];
  readonly userRules: readonly { readonly expression: string; readonly message: string }[];
  /** `limits.groups`: who has more is refused, never cut to it. */
  readonly maxGroups?: number;
}

interface CompiledRule {
  readonly place: string;
  readonly expression: Expression;
  readonly message: string;
}

/** A provider's mapping, compiled; opaque to other rooms. */
export interface ClaimsMapping {
  readonly provider: string;
  readonly usernamePrefix: string;
  readonly groupsPrefix: string;
  readonly username: Expression;
  readonly groups: Expression | undefined;
  readonly uid: Expression | undefined;
  readonly extra: ReadonlyMap<string, Expression>;
  readonly maxGroups: number;
  /** The name can be an e-mail address that the provider has not verified. */
  readonly needsVerifiedEmail: boolean;
  readonly rules: readonly CompiledRule[];
  readonly userRules: readonly CompiledRule[];
}

/**
 * Why somebody is refused, for the audit record. `rule_error`: a rule could not be evaluated, which never passes. `expression_too_costly`: a
 * rule or a part of the mapping would have taken more steps than all expressions of one sign-in may take together.
 */
type IdentityRefusalReason =
  | 'rule_refused'
  | 'rule_error'
  | 'expression_error'
  | 'expression_too_costly'
  | 'email_unverified' // the provider says that the address is not verified
  | 'email_verification_unknown' // it does not say, or says something else than true and false
  | 'groups_not_strings'
  | 'groups_too_many'
  | 'groups_overage'
  | 'extra_not_strings'
  | `${'username' | 'group' | 'uid' | 'extra' | 'subject'}_${NameProblem}`;

export interface IdentityRefusal {
  readonly reason: IdentityRefusalReason;
  /** Place in the provider's configuration, such as `rules[0]`; `subject` where no setting is at fault. */
  readonly place: string;
  /** For the person: what is wrong and what to do. Holds no value of a claim. */
  readonly message: string;
  /** Why an expression could not be evaluated. May quote claims: for who tries a configuration out, never for a page or the record. */
  readonly fault?: string;
}

/**
 * Compiles a provider's expressions.
 * @returns the mapping, or every fault with its place
 */
export function compileMapping(provider: ClaimsProvider): Result<ClaimsMapping, ExpressionFault[]> {
  const faults: ExpressionFault[] = [];
  const compile = (
    place: string,
    source: string,
    produces: 'string' | 'strings' | 'bool',
    variable: 'claims' | 'user' = 'claims',
  ): Expression => {
    const compiled = compileExpression(variable, source, produces);
    if (compiled.ok) return compiled.value;
    faults.push({ place, message: compiled.reason });
    return REFUSING;
  };
  const rules = (list: ClaimsProvider['rules'], name: string, variable: 'claims' | 'user'): CompiledRule[] =>
    list.map((rule, index) => ({
      place: `${name}[${index}]`,
      expression: compile(`${name}[${index}].expression`, rule.expression, 'bool', variable),
      message: rule.message,
    }));

  for (const key of Object.keys(provider.extra)) {
    const problem = extraKeyProblem(key);
    if (problem !== undefined) faults.push({ place: `extra.${key}`, message: problem });
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
    needsVerifiedEmail: username.reads('email') && provider.emailVerified === 'claim',
    rules: rules(provider.rules, 'rules', 'claims'),
    userRules: rules(provider.userRules, 'userRules', 'user'),
  };
  return faults.length === 0 ? ok(mapping) : no(faults);
}

/**
 * What all expressions of one sign-in or re-check may take together: enough to filter, search and map ten thousand groups. Where it is used up,
 * that took one to two tenths of a second; Kubernetes gives each of its expressions as much.
 */
const MOST_STEPS = 1_000_000;

/** Stands in for an expression that did not compile, until the faults are returned. */
const REFUSING: Expression = {
  reads: () => true,
  evaluate: () => ({ kind: 'error', message: 'did not compile' }),
};

/**
 * Maps verified claims to an identity. Rules over the claims come first, then the mapping, then rules over the mapped user.
 * @param claims from a token whose signature, issuer, audience and times have been verified
 * @param account `PROVIDER/SUBJECT`; the uid where the provider's mapping names none
 */
export function mapClaims(mapping: ClaimsMapping, claims: Claims, account: Account): Result<Identity, IdentityRefusal> {
  const odd = subjectRefusal(account);
  if (odd !== undefined) return no(odd);
  const tooMany = tooManyGroups(mapping, claims);
  if (tooMany !== undefined) return no(tooMany);
  const budget = { left: MOST_STEPS };
  const subject = celValue(claims);
  const evaluate: Evaluate = (expression) => expression.evaluate(subject, budget);
  const refused = firstRefusal(mapping.rules, evaluate);
  if (refused !== undefined) return no(refused);

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
  const refusedUser = firstRefusal(mapping.userRules, (expression) => expression.evaluate(user, budget));
  return refusedUser === undefined ? ok(identity) : no(refusedUser);
}

/** A rule passes by the boolean `true` and by nothing else. */
function firstRefusal(rules: readonly CompiledRule[], evaluate: Evaluate): IdentityRefusal | undefined {
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
