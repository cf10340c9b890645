/** Clusters and identity providers as this replica found them when somebody last wanted to know. */
import { gauge, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import type { KnownNames, Metrics } from './types.ts';

export function componentMetrics(
  registry: MetricsRegistry,
  { clusters, providers }: KnownNames,
): Pick<Metrics, 'componentLooked'> {
  const help =
    '1 where the cluster or the identity provider answered as it should when an admin last had it looked at, 0 where it did not; absent until then. `kind`: `cluster`, `provider`.';
  const up = gauge(registry, 'component_up', help, ['kind', 'name']);
  const names = { cluster: boundedLabel(clusters), provider: boundedLabel(providers) };
  return {
    componentLooked: (kind, name, isUp) => up.set({ kind, name: names[kind](name) }, isUp ? 1 : 0),
  };
}
