/** The health of clusters and identity providers, for admins: the module that talks to a component also probes it. */
import type { Clock } from '../contracts/clock.ts';
import type { Config } from '../config/config.ts';
import { createProviderProbe } from '../idp/provider-health.ts';
import { reachBy } from './dependencies.ts';
import { createClusterProbe, type UpstreamCluster } from '../proxy/proxy.ts';
import type { Metrics } from '../telemetry/telemetry.ts';
import type { Health } from '../contracts/health.ts';
import { createHealth, type HealthProbe } from './health.ts';
import type { Reloading } from './reload.ts';
import { defined } from '../core/defined.ts';

interface ComponentHealthDeps {
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'componentChecked'>;
  readonly reloading: Pick<Reloading, 'caBundle' | 'secret'>;
}

export function componentHealth(
  { providers }: Pick<Config, 'providers'>,
  clusters: readonly UpstreamCluster[],
  { clock, metrics, reloading }: ComponentHealthDeps,
): Health {
  const providerProbes = providers.map((provider): [string, HealthProbe] => {
    const { name, type, issuer, host } = provider;
    const named = { type, issuer, ...defined({ host }) };
    return [name, createProviderProbe({ ...named, ...reachBy(provider, reloading) })];
  });
  return createHealth({
    clusters: new Map(clusters.map((cluster) => [cluster.name, createClusterProbe(cluster)])),
    providers: new Map(providerProbes),
    clock,
    monotonicMs: () => performance.now(),
    onProbed: (kind, name, up) => metrics.componentChecked(kind, name, up),
  });
}
