/** How admins learn whether clusters and identity providers answer: each is looked at by the room that speaks to it. */
import type { Clock } from '../contracts/clock.ts';
import type { Config } from '../config/config.ts';
import { createProviderProbe } from '../idp/provider-health.ts';
import { clusterLook, type UpstreamCluster } from '../proxy/proxy.ts';
import type { Metrics } from '../telemetry/telemetry.ts';
import type { Health } from '../contracts/health.ts';
import { createHealth, type Look } from './health.ts';
import type { Reloading } from './reload.ts';

interface ComponentHealthDeps {
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'componentLooked'>;
  readonly reloading: Pick<Reloading, 'authorities'>;
}

export function componentHealth(
  { providers }: Pick<Config, 'providers'>,
  clusters: readonly UpstreamCluster[],
  { clock, metrics, reloading }: ComponentHealthDeps,
): Health {
  const providerLooks = providers.map(({ caFile, ...provider }): [string, Look] => {
    const ca = caFile === undefined ? {} : { ca: reloading.authorities(caFile) };
    return [provider.name, createProviderProbe({ ...provider, ...ca })];
  });
  return createHealth({
    clusters: new Map(clusters.map((cluster) => [cluster.name, clusterLook(cluster)])),
    providers: new Map(providerLooks),
    clock,
    monotonic: () => performance.now(),
    looked: (kind, name, up) => metrics.componentLooked(kind, name, up),
  });
}
