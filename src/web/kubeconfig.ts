/**
 * The kubeconfig that a person downloads: one context for each cluster that they may use, no credential inside.
 */
import { stringify } from 'yaml';
import { compileAllow, mayUse, type Allow } from '../core/cluster-access.ts';
import type { Identity } from '../core/identity.ts';
import type { WebConfig } from './deps.ts';

export interface UsableCluster {
  readonly name: string;
  /** What a kubeconfig says as `server`. */
  readonly publicUrl: string;
}

export interface Clusters {
  /** Those whose `allow` says yes to this person, in the order of the configuration. */
  usableBy(identity: Identity): readonly UsableCluster[];
}

/** Compiles each `allow` once. @throws Error when an expression does not compile; the configuration has checked that before */
export function createClusters(config: Pick<WebConfig, 'clusters'>): Clusters {
  const compiled = config.clusters.map(({ name, publicUrl, allow }) => ({ name, publicUrl, allow: rule(name, allow) }));
  return {
    usableBy: (identity) =>
      compiled.filter((cluster) => mayUse(cluster.allow, identity)).map(({ name, publicUrl }) => ({ name, publicUrl })),
  };
}

function rule(cluster: string, source: string): Allow {
  const outcome = compileAllow(source);
  if (!outcome.ok) throw new Error(`clusters ${cluster}: allow: ${outcome.reason}`);
  return outcome.value;
}

const INSTALL_HINT =
  'portcullis is not installed, or not in the PATH of this program. It signs you in to this cluster: ask your platform team where to get it.';

/** `interactiveMode: Never` is about standard input, which the plugin never reads; it may still open a browser. */
function execStanza(server: string, cluster: string): object {
  return {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'portcullis',
    args: ['get-token', '--server', server, '--cluster', cluster],
    interactiveMode: 'Never',
    provideClusterInfo: false,
    installHint: INSTALL_HINT,
  };
}

/**
 * @param server our public URL, where the plugin signs in
 * @param ca PEM that the clusters' addresses are verified with; undefined: the system's
 * @returns YAML
 */
export function kubeconfigFor(server: string, clusters: readonly UsableCluster[], ca: string | undefined): string {
  const authority = ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  // As the plugin's own `kubeconfig` command names them, so that either may replace what the other wrote.
  const nameOf = (cluster: UsableCluster): string => `${cluster.name}@${new URL(server).host}`;
  const [first] = clusters;
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: clusters.map((cluster) => ({
      name: nameOf(cluster),
      cluster: { server: cluster.publicUrl, ...authority },
    })),
    users: clusters.map((cluster) => ({ name: nameOf(cluster), user: { exec: execStanza(server, cluster.name) } })),
    contexts: clusters.map((cluster) => ({
      name: nameOf(cluster),
      context: { cluster: nameOf(cluster), user: nameOf(cluster) },
    })),
    ...(first === undefined ? {} : { 'current-context': nameOf(first) }),
  });
}
