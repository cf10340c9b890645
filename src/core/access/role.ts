/**
 * Roles that users may ask for: groups for a while (docs/decisions/0046-access-requests.md).
 *
 * A role grants nothing by itself: its groups are impersonated, and the cluster's RBAC binds rights to them. An empty list
 * means no one and nothing, never all.
 */
import type { Identity } from '../identity/identity.ts';
import { defined } from '../defined.ts';

/** Shorter than that, a grant is over before a command is typed. */
export const SHORTEST_SECONDS = 60;

/** One of `access.roles`. */
export interface AccessRole {
  readonly name: string;
  readonly description: string;
  /** Added to the user's own for as long as the grant lasts. */
  readonly groups: readonly string[];
  /** Names of clusters where they are added. Absent: all. */
  readonly clusters?: readonly string[];
  /** Groups whose members may ask for it. Empty: no one may. */
  readonly requesters: readonly string[];
  /** `none`: break-glass. Who asks gets it at once. */
  readonly approval: 'none' | RoleApproval;
  /** Seconds that a grant may last at most. */
  readonly longest: number;
  /** A regular expression (RE2 syntax, linear time) that the whole reason must match. Absent: any reason, or none. */
  readonly reason?: string;
  /** Seconds since the requester's last proof at the provider. Absent: any sign-in will do. */
  readonly freshness?: number;
}

export interface RoleApproval {
  /** Groups whose members may approve. Empty: no one may, so that no one can get the role. */
  readonly groups: readonly string[];
  /** How many different users must approve, 1 at least. */
  readonly count: number;
}

/** What of a role counts for one request: as it was shown to the approver. */
export type RoleTerms = Pick<AccessRole, 'name' | 'description' | 'groups' | 'clusters' | 'requesters' | 'approval'>;

export const termsOf = ({ name, description, groups, clusters, requesters, approval }: AccessRole): RoleTerms => ({
  name,
  description,
  groups,
  ...defined({ clusters }),
  requesters,
  approval,
});

/** Whether a role is still what was asked for: another one of the same name must be asked for again. */
export const sameTerms = (terms: RoleTerms, role: AccessRole): boolean =>
  JSON.stringify(termsOf({ ...terms, longest: 0 })) === JSON.stringify(termsOf(role));

/** Returns how many users must approve; 0 for a role that needs no approval. */
export const approvalsNeeded = ({ approval }: Pick<AccessRole, 'approval'>): number =>
  approval === 'none' ? 0 : approval.count;

const isIn = (groups: readonly string[], identity: Pick<Identity, 'groups'>): boolean =>
  groups.some((group) => identity.groups.includes(group));

/** An empty list is no cluster. */
export const isForCluster = ({ clusters }: Pick<AccessRole, 'clusters'>, cluster: string): boolean =>
  clusters?.includes(cluster) !== false;

export const mayRequest = (
  { requesters }: Pick<AccessRole, 'requesters'>,
  identity: Pick<Identity, 'groups'>,
): boolean => isIn(requesters, identity);

export const mayApprove = ({ approval }: Pick<AccessRole, 'approval'>, identity: Pick<Identity, 'groups'>): boolean =>
  approval !== 'none' && isIn(approval.groups, identity);
