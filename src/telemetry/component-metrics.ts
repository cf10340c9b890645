/** State of clusters and identity providers, as this replica found them at an admin's last check. */
import { gauge, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import type { KnownNames, Metrics } from './types.ts';

export function componentMetrics(
  registry: MetricsRegistry,
  { clusters, providers }: KnownNames,
): Pick<Metrics, 'componentChecked'> {
  const help =
    '1 if the cluster or the identity provider responded correctly when an admin last had it checked, 0 if it did not; absent until then. `kind`: `cluster`, `provider`.';
  const up = gauge(registry, 'component_up', help, ['kind', 'name']);
  const names = { cluster: boundedLabel(clusters), provider: boundedLabel(providers) };
  return {
    componentChecked: (kind, name, isUp) => up.set({ kind, name: names[kind](name) }, isUp ? 1 : 0),
  };
}
