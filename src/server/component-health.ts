/** How admins learn whether clusters and identity providers answer: each is looked at by the room that speaks to it. */
import type { Config } from '../config/config.ts';
import { providerLook } from '../idp/provider-health.ts';
import { clusterLook, type UpstreamCluster } from '../proxy/proxy.ts';
import type { Metrics } from '../telemetry/telemetry.ts';
import type { Health } from '../web/deps.ts';
import { createHealth, type Look } from '../web/health.ts';
import { optional } from './dependencies.ts';

export async function componentHealth(
  { providers }: Pick<Config, 'providers'>,
  clusters: readonly UpstreamCluster[],
  { clock, metrics }: { readonly clock: { now(): number }; readonly metrics: Pick<Metrics, 'componentLooked'> },
): Promise<Health> {
  const providerLooks = providers.map(async (provider): Promise<[string, Look]> => {
    const ca = await optional(provider.caFile);
    return [provider.name, providerLook({ ...provider, ...(ca === undefined ? {} : { ca }) })];
  });
  return createHealth({
    clusters: new Map(clusters.map((cluster) => [cluster.name, clusterLook(cluster)])),
    providers: new Map(await Promise.all(providerLooks)),
    clock,
    monotonic: () => performance.now(),
    looked: (kind, name, up) => metrics.componentLooked(kind, name, up),
  });
}
