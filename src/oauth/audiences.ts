/** The audiences that exist, and which of them a user may have tokens for. */
import { ADMIN_AUDIENCE, SELF_AUDIENCE, clusterAudience } from '../core/core.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { ClusterConfig, Config } from '../config/config.ts';
import type { SessionRecord } from '../store/store.ts';

/** The one scope of our access tokens. The cluster's RBAC decides what a user may do, so there is nothing to divide. */
export const SCOPE = 'kubernetes';

/** The user or workload that a token would belong to. */
export type Holder = Pick<SessionRecord, 'provider' | 'identity' | 'delegation'>;

export interface Audiences {
  /** Every configured audience, clusters first in the order of the configuration. */
  readonly all: readonly string[];
  /** Returns whether this user or workload may have a token for this audience now; evaluated at each mint. */
  allows(audience: string, holder: Holder): boolean;
  /** Returns whether this is an admin now: never an auditor, and never a workload, whatever its groups. */
  isAdmin(holder: Holder): boolean;
  /** Returns the clusters that this user or workload may use. */
  clustersOf(holder: Holder): readonly ClusterConfig[];
  clusterOf(audience: string): ClusterConfig | undefined;
}

/**
 * @param mayUse `clusters[].allow`, compiled by core
 */
export function audiences(
  config: Pick<Config, 'clusters' | 'admin' | 'workload'>,
  mayUse: (cluster: string, identity: Identity) => boolean,
): Audiences {
  const byAudience = new Map(config.clusters.map((cluster) => [clusterAudience(cluster.name), cluster]));
  const staff = new Set([...config.admin.groups, ...config.admin.auditors]);
  const rules = new Map(config.workload.map((rule) => [rule.name, rule]));
  const reaches = (cluster: string, { provider, identity, delegation }: Holder): boolean =>
    (delegation?.clusters.includes(cluster) ?? true) &&
    (rules.get(provider)?.clusters.includes(cluster) ?? true) &&
    mayUse(cluster, identity);
  return {
    all: [...byAudience.keys(), ADMIN_AUDIENCE, SELF_AUDIENCE],
    allows(audience, holder) {
      // A workload has no sessions to look after: its own token opens one.
      if (audience === SELF_AUDIENCE) return !rules.has(holder.provider);
      if (audience === ADMIN_AUDIENCE) {
        // Whoever was given less than the user has must not administer, whatever the user's groups.
        if (holder.delegation !== undefined) return false;
        const rule = rules.get(holder.provider);
        // An attacker with a workload whose issuer lets it choose its groups names an admin group. So only the
        // role of its rule counts.
        if (rule !== undefined) return rule.role !== 'none';
        return holder.identity.groups.some((group) => staff.has(group));
      }
      const cluster = byAudience.get(audience);
      return cluster !== undefined && reaches(cluster.name, holder);
    },
    isAdmin: ({ provider, identity, delegation }) =>
      delegation === undefined &&
      !rules.has(provider) &&
      config.admin.groups.some((group) => identity.groups.includes(group)),
    clustersOf: (holder) => config.clusters.filter(({ name }) => reaches(name, holder)),
    clusterOf: (audience) => byAudience.get(audience),
  };
}
