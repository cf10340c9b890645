/** Finds the configured rule that applies to a workload's token, and the workload's identity by it. */
import type { JWTVerifyGetKey } from 'jose';
import type { WorkloadRule } from '../../config/config.ts';
import { compileMapping, mapClaims, signInBudget } from '../../core/identity/claims.ts';
import { type ClaimsMapping } from '../../core/identity/types.ts';
import { accountOf, type Account, type Identity } from '../../core/identity/identity.ts';
import { no, ok, type Result } from '../../core/result.ts';
import { createTurns } from '../../timing/timing.ts';
import { claimedIssuer, verifySubjectToken, type SubjectToken, type SubjectTokenRejection } from './subject-token.ts';
import { defined } from '../../core/defined.ts';

/** A rule with everything that it needs to decide. */
export interface CompiledRule {
  readonly config: WorkloadRule;
  readonly mapping: ClaimsMapping;
  readonly keys: JWTVerifyGetKey;
}

/** A workload whose identity is verified. */
export interface Workload {
  readonly rule: WorkloadRule;
  readonly token: SubjectToken;
  readonly account: Account;
  readonly identity: Identity;
}

export interface WorkloadRejection {
  /** Precise, for the audit log, in snake_case. */
  readonly reason: string;
  /** For a reader of the job's log; contains nothing of the token. */
  readonly message: string;
  /** Name of the rule, once one was found. */
  readonly rule?: string;
}

/**
 * @param keysOf the keys of a rule's issuer
 * @throws Error when a rule does not compile; the configuration has checked that before
 */
export function compileRules(
  rules: readonly WorkloadRule[],
  maxGroups: number,
  keysOf: (rule: WorkloadRule) => JWTVerifyGetKey,
): readonly CompiledRule[] {
  return rules.map((config) => {
    const mapping = compileMapping({
      name: config.name,
      usernamePrefix: config.usernamePrefix,
      groupsPrefix: config.groupsPrefix,
      username: config.username,
      ...defined({ groups: config.groups }),
      extra: {},
      emailVerified: 'claim',
      rules: [{ expression: config.match, message: NO_RULE }],
      userRules: [],
      maxGroups,
    });
    if (!mapping.ok) throw new Error(`workload ${config.name}: ${JSON.stringify(mapping.reason)}`);
    return { config, mapping: mapping.value, keys: keysOf(config) };
  });
}

/**
 * One in a turn of the event loop. An attacker with tokens of a public issuer exchanges sixty at once. Their signatures
 * are verified at the same time, and then all rules were evaluated in one go, in which the replica renewed no lease.
 */
const evaluations = createTurns(1);

const NO_RULE = 'No rule here lets this workload in. Ask your platform team for one.';

/**
 * Verifies a token and finds its rule: the first of its issuer whose `match` is true.
 * @param now epoch milliseconds
 * @throws AppError `provider_unavailable` where the issuer's keys cannot be read
 */
export async function identifyWorkload(
  rules: readonly CompiledRule[],
  subjectToken: string,
  expected: { readonly audience: string; readonly nowMs: number; readonly clockSkew: number },
): Promise<Result<Workload, WorkloadRejection>> {
  const issuer = claimedIssuer(subjectToken);
  if (!issuer.ok) return no({ reason: issuer.reason, message: tokenMessage(issuer.reason) });
  // An attacker with a token of a public issuer, who matches no rule, has all rules of it tried. They count as one sign-in.
  const budget = signInBudget();
  let rejection: WorkloadRejection = { reason: 'issuer_unknown', message: NO_RULE };
  for (const { config, mapping, keys } of rules) {
    if (config.issuer !== issuer.value) continue;
    const token = await verifySubjectToken(subjectToken, keys, { ...expected, issuer: config.issuer });
    if (!token.ok) return no({ reason: token.reason, message: tokenMessage(token.reason), rule: config.name });
    const account = accountOf(config.name, token.value.subject);
    await evaluations.reserve();
    const identity = mapClaims(mapping, token.value.claims, account, budget);
    if (identity.ok) return ok({ rule: config, token: token.value, account, identity: identity.value });
    const { reason, place, message } = identity.reason;
    // A rule that does not match, or cannot be evaluated, leaves the token to the next one. A name that the rule
    // makes and that is not allowed is a rejection, and so is an expression that would cost too much, or each rule
    // would be tried at that cost.
    const unmatched = place === 'rules[0]' && reason !== 'expression_too_costly';
    rejection = {
      reason: unmatched ? 'no_rule_matches' : reason,
      message: unmatched ? NO_RULE : message,
      rule: config.name,
    };
    if (!unmatched) break;
  }
  return no(rejection);
}

const tokenMessage = (reason: SubjectTokenRejection): string => `The subject token ${describeRejection(reason)}.`;

function describeRejection(reason: SubjectTokenRejection): string {
  switch (reason) {
    case 'subject_token_too_large':
      return 'is too large';
    case 'subject_token_malformed':
      return 'is no JWT';
    case 'subject_token_algorithm':
      return 'is signed in a way that is not accepted: RS256, PS256, ES256 and EdDSA are';
    case 'subject_token_key_unknown':
      return 'is signed with a key that its issuer does not publish';
    case 'subject_token_signature':
      return 'was not signed by its issuer';
    case 'subject_token_expired':
      return 'has expired. Get a new one from its issuer';
    case 'subject_token_not_yet_valid':
      return 'is not valid yet. Check the clocks';
    case 'subject_token_audience':
      return 'is not for this server alone: its audience must be our public URL and nothing else';
    case 'subject_token_claims':
      return 'lacks sub, iat or exp, or one of them or jti cannot be used';
  }
}
