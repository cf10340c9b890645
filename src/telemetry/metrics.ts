/** Every metric of this program, by name, as typed functions. */
import type { KnownNames, MetricDescription, Metrics } from './types.ts';
import { collectDefaultMetrics, Registry, type OpenMetricsContentType, Histogram } from 'prom-client';
import { accessMetrics } from './access-metrics.ts';
import { expose } from './exposition.ts';
import { gauge, type MetricsRegistry, counter, observed, observedByLabel } from './instruments.ts';
import { requestMetrics } from './request-metrics.ts';
import { sessionMetrics } from './session-metrics.ts';
import { turnMetrics } from './turn-metrics.ts';
import { validityMetrics } from './validity-metrics.ts';
import { boundedLabel } from './labels.ts';

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

/** State of clusters and identity providers, as this replica found them at an admin's last check. */
function componentMetrics(
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

/** Seconds. Milliseconds when all replicas respond; a little over three seconds when one is silent. */
const REVOCATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10];
const TARGETS = ['session', 'account', 'provider', 'all', 'grant'] as const;

function revocationMetrics(registry: MetricsRegistry): Pick<Metrics, 'revocation' | 'observeView'> {
  const revocations = counter(registry, 'revocations_total', 'Revocations that were run.', ['target']);
  for (const target of TARGETS) revocations.inc({ target }, 0);
  const durations = new Histogram({
    name: 'portcullis_revocation_duration_seconds',
    help: 'Time from the request for a revocation to its response.',
    buckets: REVOCATION_BUCKETS,
    registers: [registry],
  });
  const target = boundedLabel();
  return {
    revocation(kind, seconds) {
      revocations.inc({ target: target(kind) });
      durations.observe(seconds);
    },
    observeView(read) {
      observed(
        registry,
        'view_staleness_seconds',
        'Age of the view of the revocation log.',
        () => read().stalenessSeconds,
      );
      observed(registry, 'fenced', '1 while this replica has no lease and rejects all requests.', () =>
        read().fenced ? 1 : 0,
      );
    },
  };
}

/** Metrics of the audit log. */
const NOTHING: ReadonlyMap<string, number> = new Map();
const OUTCOMES = ['written', 'dropped'] as const;

function auditMetrics(
  registry: MetricsRegistry,
  sinks: readonly string[] = [],
): Pick<Metrics, 'auditEvent' | 'rejectionOmitted' | 'observeAudit'> {
  const events = counter(registry, 'audit_events_total', 'Audit events by outcome.', ['sink', 'outcome']);
  for (const sink of sinks) for (const outcome of OUTCOMES) events.inc({ sink, outcome }, 0);
  const help =
    'Requests without a valid credential that came too fast to have an audit event each; audit events contain their counts.';
  const omitted = counter(registry, 'audit_rejections_omitted_total', help, []);
  omitted.inc(0);
  const sink = boundedLabel();
  const outcome = boundedLabel();
  return {
    auditEvent: (name, what, count = 1) => events.inc({ sink: sink(name), outcome: outcome(what) }, count),
    rejectionOmitted: () => omitted.inc(),
    observeAudit(read) {
      observed(registry, 'audit_blocked', '1 while no request is served because the audit log cannot be written.', () =>
        read().blocked ? 1 : 0,
      );
      const help = 'Audit events that wait to be written, in bytes.';
      observedByLabel(registry, 'audit_queued_bytes', { help, label: 'sink' }, () => read().queuedBytes ?? NOTHING);
      const about = { help: '1 while a sink of the audit log cannot be written, or cannot deliver.', label: 'sink' };
      observedByLabel(registry, 'audit_sink_failing', about, () => read().failing ?? NOTHING);
      const hold = {
        help: 'For how long files of a limited size and number hold an event, at the speed at which the latest was filled.',
        label: 'sink',
      };
      observedByLabel(registry, 'audit_files_hold_seconds', hold, () => read().holdsForSeconds ?? NOTHING);
    },
  };
}
