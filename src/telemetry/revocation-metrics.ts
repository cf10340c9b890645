/** Metrics of revocations, and of this replica's view of them. */
import { Histogram } from 'prom-client';
import { counter, observed, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import type { Metrics } from './types.ts';

/** Seconds. Milliseconds when all replicas respond; a little over three seconds when one is silent. */
const REVOCATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10];
const TARGETS = ['session', 'account', 'provider', 'all', 'grant'] as const;

export function revocationMetrics(registry: MetricsRegistry): Pick<Metrics, 'revocation' | 'observeView'> {
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
