/**
 * Maps claims to the parts of an identity, each by its expression. A part has a value, or a rejection with its reason.
 */
import type { Claims, ClaimsMapping, IdentityRejection } from './types.ts';
import type { Evaluation, Expression } from '../cel/expressions.ts';
import { subjectOf, type Account, type Identity } from './identity.ts';
import {
  MAX_EXTRA_VALUE_BYTES,
  MAX_GROUP_BYTES,
  MAX_USERNAME_BYTES,
  byteLength,
  forbiddenCharacter,
  nameProblem,
  textProblem,
  type NameProblem,
} from './names.ts';
import { no, ok, type Result } from '../result.ts';

type Mapped<T> = Result<T, IdentityRejection>;

/** Evaluates an expression of a mapping over the claims, within the budget of the whole sign-in. */
export type Evaluate = (expression: Expression) => Evaluation;

const ASK = 'Ask your platform team to correct it at the identity provider.';

/** Maps the username, and rejects an e-mail address that the provider has not verified. */
export function mappedUsername(mapping: ClaimsMapping, evaluate: Evaluate, claims: Claims): Mapped<string> {
  const outcome = evaluate(mapping.username);
  if (outcome.kind === 'error') return no(expressionError('username', outcome));
  const bare = outcome.kind === 'absent' ? undefined : outcome.value;
  const hasEmail = claims['email'] !== undefined && claims['email'] !== null;
  const unproven =
    mapping.needsVerifiedEmail && hasEmail ? unprovenEmail(mapping.provider, claims['email_verified']) : undefined;
  if (unproven !== undefined) return no(unproven);
  return prefixed(mapping.usernamePrefix, bare, { what: 'username', place: 'username', maxBytes: MAX_USERNAME_BYTES });
}

/**
 * Rejects an address that the provider has not verified.
 *
 * At many providers an attacker can enter the address of another user, so it is a name only if the provider has
 * verified it.
 *
 * `email_verified` is a boolean (OpenID Connect Core §5.1), and some providers send it as a string (Amazon Cognito at
 * UserInfo). Exactly "true" counts, because an operator who could not use it would set `emailVerified: trusted`, which
 * accepts every address. Any other value counts as unknown.
 */
function unprovenEmail(provider: string, verified: unknown): IdentityRejection | undefined {
  if (verified === true || verified === 'true') return undefined;
  const place = 'emailVerified';
  if (verified === false || verified === 'false') {
    const message = `${provider} says that your e-mail address is not verified. Verify it there, then sign in again.`;
    return { reason: 'email_unverified', place, message };
  }
  const message = `${provider} does not say whether your e-mail address is verified, so you cannot change this yourself: your platform team has to choose another username for ${provider}, or emailVerified: trusted.`;
  return { reason: 'email_verification_unknown', place, message };
}

/**
 * Returns the e-mail address of a user, where it is theirs for certain: as it is compared to find two accounts of one user.
 */
export function verifiedEmailOf(
  { trustsEmail }: Pick<ClaimsMapping, 'trustsEmail'>,
  claims: Claims,
): string | undefined {
  const { email, email_verified: verified } = claims;
  const isVerified = trustsEmail || verified === true || verified === 'true';
  return isVerified && typeof email === 'string' ? email : undefined;
}

/**
 * Counts the entries of the claims that `groups` reads, before anything is evaluated: an attacker has a user put into
 * thousands of groups, for which a rule or the mapping would take long. There may be no more entries than groups, even
 * if the expression would filter them.
 */
export function tooManyGroups(
  { groups, maxGroups, provider }: ClaimsMapping,
  claims: Claims,
): IdentityRejection | undefined {
  const counts = Object.entries(claims).map(([name, value]) => (groups?.reads(name) === true ? longestList(value) : 0));
  const most = counts.reduce((left, right) => Math.max(left, right), 0);
  return most > maxGroups ? groupsTooMany(most, maxGroups, provider) : undefined;
}

function longestList(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const own = Array.isArray(value) ? value.length : 0;
  return Object.values(value).reduce((most: number, part) => Math.max(most, longestList(part)), own);
}

const groupsTooMany = (count: number, most: number, provider: string): IdentityRejection => ({
  reason: 'groups_too_many',
  place: 'groups',
  message: `You have ${count} groups; at most ${most} can be used. Ask your platform team to limit the groups that ${provider} sends.`,
});

/** Maps the groups, without duplicates. */
export function mappedGroups(mapping: ClaimsMapping, evaluate: Evaluate, claims: Claims): Mapped<readonly string[]> {
  if (mapping.groups === undefined) return ok([]);
  const outcome = evaluate(mapping.groups);
  if (outcome.kind === 'error') return no(expressionError('groups', outcome));
  // Entra omits the claim of a user with too many groups. That is not the same as no groups, whatever the
  // expression returns.
  const none =
    outcome.kind === 'absent' || (mapping.groups.reads('groups') && isUnlisted(claims) && isEmpty(outcome.value));
  if (none && hasGroupsOverage(claims)) {
    return no({
      reason: 'groups_overage',
      place: 'groups',
      message: `${mapping.provider} says that you have too many groups to list, so yours are unknown. Ask your platform team to limit the groups that it sends.`,
    });
  }
  if (outcome.kind === 'absent') return ok([]);
  const list = strings(outcome);
  if (list === undefined) {
    return no({
      reason: 'groups_not_strings',
      place: 'groups',
      message: `${mapping.provider} sent your groups in a form that is not a list of names. ${ASK}`,
    });
  }
  const groups = new Set<string>();
  for (const bare of list) {
    const group = prefixed(mapping.groupsPrefix, bare, { what: 'group', place: 'groups', maxBytes: MAX_GROUP_BYTES });
    if (!group.ok) return group;
    groups.add(group.value);
  }
  if (groups.size > mapping.maxGroups) return no(groupsTooMany(groups.size, mapping.maxGroups, mapping.provider));
  return ok([...groups]);
}

/** What separates names in one text. */
const SEPARATOR = /[\s;,]/;
/** A claim such as `realm_access.roles` is in another one. */
const MAX_TEXT_DEPTH = 3;

/**
 * Returns the claim whose text became one group, although it looks like several: a provider that sends `dev; ops` needs an
 * expression that splits it. One group may have a space in its name, so it counts, and an operator is told.
 * @returns the path of a claim, such as `realm_access.roles`, never its value; undefined where there is none
 */
export function groupsInOneText(
  { groups, groupsPrefix }: Pick<ClaimsMapping, 'groups' | 'groupsPrefix'>,
  claims: Claims,
  mapped: Pick<Identity, 'groups'>,
): string | undefined {
  const textIn = (value: unknown, path: readonly string[]): string | undefined => {
    if (typeof value === 'string') {
      return SEPARATOR.test(value) && mapped.groups.includes(groupsPrefix + value) ? path.join('.') : undefined;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value) || path.length > MAX_TEXT_DEPTH)
      return undefined;
    return firstOf(Object.entries(value), ([name, part]) => textIn(part, [...path, name]));
  };
  const read = Object.entries(claims).filter(([name]) => groups?.reads(name) === true);
  return firstOf(read, ([name, value]) => textIn(value, [name]));
}

/**
 * Returns what to do about it.
 * @param setting the setting that splits it, such as `providers[].groups`
 */
export const oneTextNote = (claim: string, setting: string): string =>
  `claims.${claim} is one text and counts as one group. If it has several, split it in ${setting}, such as claims.groups.split(";").map(g, g.trim()).`;

function firstOf<T>(items: readonly T[], find: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Rejects a subject that an account cannot have.
 *
 * Admins lock and revoke an account by its name, and a logout at the provider names it. One with an invisible
 * character looks like another account, and no admin could name one that is too long. If `uid` is an expression,
 * nothing else checks the subject.
 */
export function subjectRejection(account: Account): IdentityRejection | undefined {
  const subject = subjectOf(account);
  const maxBytes = MAX_USERNAME_BYTES - byteLength(account) + byteLength(subject);
  const problem = textProblem(subject, maxBytes);
  return problem && nameRejection(problem, subject, { what: 'subject', place: 'subject', maxBytes });
}

/** Maps the uid; without an expression it is the account. */
export function mappedUid(mapping: ClaimsMapping, evaluate: Evaluate, account: Account): Mapped<string> {
  const outcome: Evaluation = mapping.uid === undefined ? { kind: 'value', value: account } : evaluate(mapping.uid);
  if (outcome.kind === 'error') return no(expressionError('uid', outcome));
  const uid = outcome.kind === 'absent' ? undefined : outcome.value;
  const problem = textProblem(uid, MAX_USERNAME_BYTES);
  if (problem !== undefined)
    return no(nameRejection(problem, uid, { what: 'uid', place: 'uid', maxBytes: MAX_USERNAME_BYTES }));
  return ok(String(uid));
}

/**
 * Maps the extra values. An absent claim, an empty string or an empty list sets no key, as in Kubernetes' claim
 * mappings.
 */
export function mappedExtra(mapping: ClaimsMapping, evaluate: Evaluate): Mapped<Identity['extra']> {
  const extra: [string, readonly string[]][] = [];
  for (const [key, expression] of mapping.extra) {
    const place = `extra.${key}`;
    const outcome = evaluate(expression);
    if (outcome.kind === 'error') return no(expressionError(place, outcome));
    if (outcome.kind === 'absent' || outcome.value === '') continue;
    const values = strings(outcome);
    if (values === undefined) {
      return no({ reason: 'extra_not_strings', place, message: `A fact about you (${key}) is not text. ${ASK}` });
    }
    for (const value of values) {
      const problem = textProblem(value, MAX_EXTRA_VALUE_BYTES);
      if (problem !== undefined) {
        return no(nameRejection(problem, value, { what: 'extra', place, maxBytes: MAX_EXTRA_VALUE_BYTES }));
      }
    }
    if (values.length > 0) extra.push([key, [...new Set(values)]]);
  }
  return ok(Object.fromEntries(extra));
}

interface Named {
  readonly what: 'username' | 'group' | 'uid' | 'extra' | 'subject';
  readonly place: string;
  readonly maxBytes: number;
}

/** Adds the prefix. It could hide that the bare name is empty or begins with a space, so both names are checked. */
function prefixed(prefix: string, bare: unknown, named: Named): Mapped<string> {
  const bareProblem = textProblem(bare, Number.MAX_SAFE_INTEGER);
  if (bareProblem !== undefined) return no(nameRejection(bareProblem, bare, named));
  const name = prefix + String(bare);
  const problem = nameProblem(name, named.maxBytes);
  return problem === undefined ? ok(name) : no(nameRejection(problem, name, named));
}

/**
 * Returns the value as a list. Several providers send a single group as a string.
 * @returns undefined for any other type
 */
function strings(outcome: Evaluation & { readonly kind: 'value' }): readonly string[] | undefined {
  if (typeof outcome.value === 'string') return [outcome.value];
  if (!Array.isArray(outcome.value)) return undefined;
  return outcome.value.every((item) => typeof item === 'string') ? outcome.value : undefined;
}

const isUnlisted = (claims: Claims): boolean => claims['groups'] === undefined || claims['groups'] === null;

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/**
 * Whether the groups are elsewhere: distributed claims (OpenID Connect Core §5.6.2), as Entra has where there are more than
 * 200, or the marker of its implicit flow.
 */
export function hasGroupsOverage(claims: Claims): boolean {
  const names = claims['_claim_names'];
  return (typeof names === 'object' && names !== null && 'groups' in names) || claims['hasgroups'] === true;
}

/** Whether an evaluation has used up the budget. */
export const isTooCostly = (outcome: Evaluation): boolean => outcome.kind === 'error' && outcome.tooCostly === true;

const expressionError = (place: string, outcome: Evaluation & { readonly kind: 'error' }): IdentityRejection => ({
  reason: isTooCostly(outcome) ? 'expression_too_costly' : 'expression_error',
  place,
  message: `Who you are could not be worked out from what the identity provider sent. Ask your platform team to check ${place} of the provider.`,
  fault: outcome.message,
});

const SUBJECT: Record<Named['what'], string> = {
  username: 'Your username',
  group: 'The name of one of your groups',
  uid: 'Your user id',
  extra: 'A fact about you',
  subject: 'Your account at the identity provider',
};

function nameRejection(problem: NameProblem, name: unknown, { what, place, maxBytes }: Named): IdentityRejection {
  return {
    reason: `${what}_${problem}`,
    place,
    message: `${SUBJECT[what]} ${describe(problem, name, maxBytes)}. ${ASK}`,
  };
}

function describe(problem: NameProblem, name: unknown, maxBytes: number): string {
  const text = typeof name === 'string' ? name : '';
  switch (problem) {
    case 'not_string':
      return 'is missing or is not text';
    case 'empty':
      return 'is empty';
    case 'white_space':
      return 'begins or ends with white space';
    case 'characters':
      return `has a control or invisible character (${forbiddenCharacter(text) ?? 'unknown'})`;
    case 'reserved':
      return 'begins with "system:", which Kubernetes keeps for itself';
    case 'too_long':
      return `is ${byteLength(text)} bytes long; at most ${maxBytes} can be used`;
  }
}
