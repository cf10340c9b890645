/**
 * The kubeconfig that a person downloads: one context for each cluster that they may use, no credential inside.
 */
import { stringify } from 'yaml';
import type { UsableCluster } from '../../core/identity/cluster-access.ts';
import { newKubeconfig } from '../../core/kubeconfig.ts';

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
