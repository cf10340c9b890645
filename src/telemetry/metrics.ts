/** Every metric of this program, by name, as typed functions. */
import type { KnownNames, MetricDescription, Metrics } from './types.ts';
import { collectDefaultMetrics, Registry, type OpenMetricsContentType } from 'prom-client';
import { accessMetrics } from './access-metrics.ts';
import { auditMetrics } from './audit-metrics.ts';
import { componentMetrics } from './component-metrics.ts';
import { expose } from './exposition.ts';
import { gauge, type MetricsRegistry } from './instruments.ts';
import { requestMetrics } from './request-metrics.ts';
import { revocationMetrics } from './revocation-metrics.ts';
import { sessionMetrics } from './session-metrics.ts';
import { turnMetrics } from './turn-metrics.ts';
import { validityMetrics } from './validity-metrics.ts';

/** Creates the metrics on a separate registry, including Node's own, so that several can exist in one process. */
export function createMetrics(known: KnownNames = {}): Metrics {
  const registry: MetricsRegistry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  collectDefaultMetrics({ register: registry });
  const build = gauge(registry, 'build_info', 'Always 1; its labels show the versions.', ['version', 'node']);
  turnMetrics(registry);
  build.set({ version: known.version ?? 'unknown', node: process.versions.node }, 1);
  return {
    ...requestMetrics(registry, known.clusters),
    ...sessionMetrics(registry, known.providers),
    ...accessMetrics(registry, known),
    ...revocationMetrics(registry),
    ...auditMetrics(registry, known.sinks),
    ...validityMetrics(registry),
    ...componentMetrics(registry, known),
    render: (accept) => expose(registry, accept),
    describe: () => described(registry),
  };
}

/** Fields of a metric that prom-client keeps and does not declare. */
interface Registered {
  readonly name: string;
  readonly help: string;
  readonly type: MetricDescription['type'];
  readonly labelNames: readonly string[];
}

const described = (registry: MetricsRegistry): readonly MetricDescription[] =>
  (registry.getMetricsAsArray() as readonly unknown[] as readonly Registered[])
    .filter(({ name }) => name.startsWith('portcullis_'))
    .map(({ name, help, type, labelNames }) => ({ name: fullName(name, type), help, type, labels: labelNames }));

/** prom-client removes the ending from a counter's name when it writes OpenMetrics. */
const fullName = (name: string, type: string): string =>
  type === 'counter' && !name.endsWith('_total') ? `${name}_total` : name;
