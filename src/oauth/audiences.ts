/** Which audiences there are, and which of them a person may have tokens for. */
import { ADMIN_AUDIENCE, clusterAudience } from '../core/core.ts';
import type { Identity } from '../core/identity.ts';
import type { ClusterConfig, Config } from '../config/config.ts';

/** The one scope of our access tokens. What a person may do is the cluster's RBAC's to say, so there is nothing to divide. */
export const SCOPE = 'kubernetes';

export interface Audiences {
  /** Every configured audience, clusters first in the order of the configuration. */
  readonly all: readonly string[];
  /** Whether this person may have a token for this audience now; judged at each mint. */
  allows(audience: string, identity: Identity): boolean;
  /** The clusters that this person may use. */
  clustersOf(identity: Identity): readonly ClusterConfig[];
  clusterOf(audience: string): ClusterConfig | undefined;
}

/**
 * @param mayUse `clusters[].allow`, compiled by core
 */
export function audiences(
  config: Pick<Config, 'clusters' | 'admin'>,
  mayUse: (cluster: string, identity: Identity) => boolean,
): Audiences {
  const byAudience = new Map(config.clusters.map((cluster) => [clusterAudience(cluster.name), cluster]));
  const staff = new Set([...config.admin.groups, ...config.admin.auditors]);
  return {
    all: [...byAudience.keys(), ADMIN_AUDIENCE],
    allows(audience, identity) {
      if (audience === ADMIN_AUDIENCE) return identity.groups.some((group) => staff.has(group));
      const cluster = byAudience.get(audience);
      return cluster !== undefined && mayUse(cluster.name, identity);
    },
    clustersOf: (identity) => config.clusters.filter((cluster) => mayUse(cluster.name, identity)),
    clusterOf: (audience) => byAudience.get(audience),
  };
}
