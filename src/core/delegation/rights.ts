/**
 * Rights of a delegated session, in RBAC's own grammar.
 *
 * Nothing here grants anything: the cluster's RBAC still decides what the user may do, and a limit only takes away from
 * it. An empty list means nothing, never all; a member that is absent does not limit.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
 */

/**
 * - `read-only`: get, list and watch of objects and logs, without whatever reveals a credential or opens a way into a
 *   pod (docs/agents.md)
 * - `read-only-with-secrets`: the same, and Secrets
 */
export type RightsPreset = 'read-only' | 'read-only-with-secrets';

/** As `PolicyRule` of RBAC, and `namespaces`. `*` stands for all in each list but `namespaces` and `resourceNames`. */
export interface RightsRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  /** `pods`, `pods/log`, `*`, or `*` with a subresource after a slash. */
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  /** Paths; one that ends in `*` stands for all that begin so. A rule is about these or about resources. */
  readonly nonResourceURLs?: readonly string[];
  /** Absent: all namespaces, and what is in none. */
  readonly namespaces?: readonly string[];
}

export const RULE_MEMBERS = [
  'verbs',
  'apiGroups',
  'resources',
  'resourceNames',
  'nonResourceURLs',
  'namespaces',
] as const satisfies readonly (keyof RightsRule)[];

/** A request must be allowed by each member that is present; by one of the rules, where there are rules. */
export interface RightsLimit {
  readonly preset?: RightsPreset;
  /** What is in none is out of reach. Absent: all namespaces, and what is in none. */
  readonly namespaces?: readonly string[];
  readonly rules?: readonly RightsRule[];
}

export const LIMIT_MEMBERS = ['preset', 'namespaces', 'rules'] as const satisfies readonly (keyof RightsLimit)[];
