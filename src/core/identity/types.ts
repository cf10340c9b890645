/** Defines the types of a mapping from claims to an identity: its input, the compiled mapping, and its rejections. */
import type { Expression } from '../cel/expressions.ts';
import type { NameProblem } from './names.ts';

/** The decoded payload of an ID token, with the claims that UserInfo added. */
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
  /** `limits.groups`: a user with more groups is rejected, and the list is never truncated. */
  readonly maxGroups?: number;
}

export interface CompiledRule {
  readonly place: string;
  readonly expression: Expression;
  readonly message: string;
}

/** A provider's compiled mapping; opaque to other modules. */
export interface ClaimsMapping {
  readonly provider: string;
  readonly usernamePrefix: string;
  readonly groupsPrefix: string;
  readonly username: Expression;
  readonly groups: Expression | undefined;
  readonly uid: Expression | undefined;
  readonly extra: ReadonlyMap<string, Expression>;
  readonly maxGroups: number;
  /** Each e-mail address counts as verified (`emailVerified: trusted`). */
  readonly trustsEmail: boolean;
  /** The name can be an e-mail address that the provider has not verified. */
  readonly needsVerifiedEmail: boolean;
  readonly rules: readonly CompiledRule[];
  readonly userRules: readonly CompiledRule[];
}

/**
 * Why a user is rejected, for the audit log. `rule_error`: a rule could not be evaluated, so it does not pass.
 * `expression_too_costly`: a rule or a part of the mapping would have taken more steps than all expressions of one
 * sign-in may take together.
 */
export type IdentityRejectionReason =
  | 'rule_refused'
  | 'rule_error'
  | 'expression_error'
  | 'expression_too_costly'
  | 'email_unverified' // the provider says that the address is not verified
  | 'email_verification_unknown' // the claim is missing, or neither true nor false
  | 'groups_not_strings'
  | 'groups_too_many'
  | 'groups_overage'
  | 'extra_not_strings'
  | `${'username' | 'group' | 'uid' | 'extra' | 'subject'}_${NameProblem}`;

export interface IdentityRejection {
  readonly reason: IdentityRejectionReason;
  /** Place in the provider's configuration, such as `rules[0]`; `subject` if no setting is wrong. */
  readonly place: string;
  /** Says to the user what is wrong and what to do. Contains no value of a claim. */
  readonly message: string;
  /**
   * Why an expression could not be evaluated. May quote claims: for an operator who tests a configuration, never for a
   * page or the audit log.
   */
  readonly fault?: string;
}
