/** The audiences that exist, and which of them a user may have tokens for. */
import { ADMIN_AUDIENCE, SELF_AUDIENCE, clusterAudience } from '../core/core.ts';
import { mayDelegate, outOfBounds, type BoundsRejection } from '../core/delegation/bounds.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { ClusterConfig, Config } from '../config/config.ts';
import type { SessionRecord } from '../store/store.ts';

/** The one scope of our access tokens. The cluster's RBAC decides what a user may do, so there is nothing to divide. */
export const SCOPE = 'kubernetes';

/** The user or workload that a token would belong to. */
export type Holder = Pick<SessionRecord, 'provider' | 'identity' | 'delegation'>;

/** `delegation_too_old`: it was made for longer than a session may last now. */
export type DelegationOver = BoundsRejection | 'delegation_too_old';

export interface Audiences {
  /** Every configured audience: clusters in the order of the configuration, then ours, then those of `delegation.clients`. */
  readonly all: readonly string[];
  /** Returns whether this user or workload may have a token for this audience now; evaluated at each mint. */
  allows(audience: string, holder: Holder): boolean;
  /**
   * Returns why a delegated session gets no token at all any more, by the configuration and its user's groups as they are
   * now; undefined where it may go on.
   * @param nowSeconds epoch seconds
   */
  delegationOver(
    session: Pick<SessionRecord, 'identity' | 'delegation' | 'createdAt'>,
    nowSeconds: number,
  ): DelegationOver | undefined;
  /** Returns whether this is an admin now: never an auditor, and never a workload, whatever its groups. */
  isAdmin(holder: Holder): boolean;
  /** Returns the clusters that this user or workload may use. */
  clustersOf(holder: Holder): readonly ClusterConfig[];
  clusterOf(audience: string): ClusterConfig | undefined;
  /** Returns the resources of `delegation.clients` that may use one of these clusters. */
  resourcesFor(clusters: readonly string[]): readonly string[];
}

/**
 * @param mayUse `clusters[].allow`, compiled by core
 */
export function audiences(
  config: Pick<Config, 'clusters' | 'admin' | 'workload' | 'delegation'>,
  mayUse: (cluster: string, identity: Identity) => boolean,
): Audiences {
  const byAudience = new Map(config.clusters.map((cluster) => [clusterAudience(cluster.name), cluster]));
  const staff = new Set([...config.admin.groups, ...config.admin.auditors]);
  const rules = new Map(config.workload.map((rule) => [rule.name, rule]));
  const exchangers = new Map(config.delegation.clients.map((client) => [client.resource, client]));
  const isDelegable = (cluster: string): boolean => config.delegation.clusters?.includes(cluster) ?? true;
  const reaches = (cluster: string, { provider, identity, delegation }: Holder): boolean =>
    (delegation === undefined || (isDelegable(cluster) && delegation.clusters.includes(cluster))) &&
    (rules.get(provider)?.clusters.includes(cluster) ?? true) &&
    mayUse(cluster, identity);
  return {
    all: [...byAudience.keys(), ADMIN_AUDIENCE, SELF_AUDIENCE, ...exchangers.keys()],
    allows(audience, holder) {
      // A workload has no sessions to look after: its own token opens one.
      if (audience === SELF_AUDIENCE) return !rules.has(holder.provider);
      if (audience === ADMIN_AUDIENCE) {
        // Anyone who was given less than the user has must not administer, whatever the user's groups.
        if (holder.delegation !== undefined) return false;
        const rule = rules.get(holder.provider);
        // An attacker with a workload whose issuer lets it choose its groups names an admin group. So only the
        // role of its rule counts.
        if (rule !== undefined) return rule.role !== 'none';
        return holder.identity.groups.some((group) => staff.has(group));
      }
      const exchanger = exchangers.get(audience);
      // No workload: a job that runs a program exchanges its own token, and needs no one to act for it.
      if (exchanger !== undefined) {
        const { enabled } = config.delegation;
        const mayBe = enabled && mayDelegate(config.delegation, holder.identity) && !rules.has(holder.provider);
        return mayBe && exchanger.clusters.some((cluster) => reaches(cluster, holder));
      }
      const cluster = byAudience.get(audience);
      return cluster !== undefined && reaches(cluster.name, holder);
    },
    delegationOver({ identity, delegation, createdAt }, nowSeconds) {
      if (delegation === undefined) return undefined;
      const { lifetime } = config.delegation;
      return (
        outOfBounds(config.delegation, identity, delegation) ??
        (nowSeconds >= createdAt + lifetime ? 'delegation_too_old' : undefined)
      );
    },
    isAdmin: ({ provider, identity, delegation }) =>
      delegation === undefined &&
      !rules.has(provider) &&
      config.admin.groups.some((group) => identity.groups.includes(group)),
    clustersOf: (holder) => config.clusters.filter(({ name }) => reaches(name, holder)),
    clusterOf: (audience) => byAudience.get(audience),
    resourcesFor: (clusters) =>
      config.delegation.clients
        .filter((client) => client.clusters.some((cluster) => clusters.includes(cluster)))
        .map(({ resource }) => resource),
  };
}
