/** Metrics of the audit log. */
import { counter, observed, observedByLabel, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import type { Metrics } from './types.ts';

const NOTHING: ReadonlyMap<string, number> = new Map();
const OUTCOMES = ['written', 'dropped'] as const;

export function auditMetrics(
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
