/**
 * The kubeconfig that a person downloads: one context for each cluster that they may use, no credential inside.
 */
import { stringify } from 'yaml';
import { compileAllow, mayUse, type Allow } from '../../core/identity/cluster-access.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { newKubeconfig } from '../../core/kubeconfig.ts';
import type { WebConfig } from '../deps.ts';

export interface UsableCluster {
  readonly name: string;
  /** What a kubeconfig says as `server`. */
  readonly publicUrl: string;
}

export interface Clusters {
  /** Those whose `allow` says yes to this person, in the order of the configuration. */
  usableBy(identity: Identity): readonly UsableCluster[];
  /** Whether it is one of those: evaluates its rule alone. */
  mayUse(identity: Identity, name: string): boolean;
}

/** Compiles each `allow` once. @throws Error when an expression does not compile; the configuration has checked that before */
export function createClusters(config: Pick<WebConfig, 'clusters'>): Clusters {
  const compiled = config.clusters.map(({ name, publicUrl, allow }) => ({ name, publicUrl, allow: rule(name, allow) }));
  return {
    usableBy: (identity) =>
      compiled.filter((cluster) => mayUse(cluster.allow, identity)).map(({ name, publicUrl }) => ({ name, publicUrl })),
    mayUse: (identity, wanted) => compiled.some(({ name, allow }) => name === wanted && mayUse(allow, identity)),
  };
}

function rule(cluster: string, source: string): Allow {
  const outcome = compileAllow(source);
  if (!outcome.ok) throw new Error(`clusters ${cluster}: allow: ${outcome.reason}`);
  return outcome.value;
}

/**
 * As `portcullis kubeconfig --print` has it.
 * @param server our public URL, where the plugin signs in
 * @param ca PEM that the clusters' addresses are verified with; undefined: the system's
 * @returns YAML
 */
export function kubeconfigFor(server: string, clusters: readonly UsableCluster[], ca: string | undefined): string {
  const reached = clusters.map(({ name, publicUrl }) => ({
    name,
    server: publicUrl,
    ...(ca === undefined ? {} : { caData: ca }),
  }));
  return stringify(newKubeconfig({ server, clusters: reached, command: 'portcullis' }), { lineWidth: 0 });
}
