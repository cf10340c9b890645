/** From claims to an identity: what goes in, the compiled mapping, and why a user is rejected. */
import type { Expression } from '../cel/expressions.ts';
import type { NameProblem } from './names.ts';

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

export interface CompiledRule {
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
export type IdentityRejectionReason =
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

export interface IdentityRejection {
  readonly reason: IdentityRejectionReason;
  /** Place in the provider's configuration, such as `rules[0]`; `subject` where no setting is at fault. */
  readonly place: string;
  /** For the person: what is wrong and what to do. Holds no value of a claim. */
  readonly message: string;
  /** Why an expression could not be evaluated. May quote claims: for who tries a configuration out, never for a page or the record. */
  readonly fault?: string;
}
