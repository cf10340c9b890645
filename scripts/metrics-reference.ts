/**
 * Writes docs/reference/metrics.md from the registry itself: `node scripts/metrics-reference.ts`. A unit test
 * compares the two.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { entry } from './markdown-text.ts';
import { createMetrics, type MetricDescription } from '../src/telemetry/telemetry.ts';

export const METRICS_FILE = fileURLToPath(new URL('../docs/reference/metrics.md', import.meta.url));

export const REGENERATE_METRICS = 'node scripts/metrics-reference.ts';

/** The values of a label, by its name. */
const LABELS: ReadonlyMap<string, string> = new Map([
  ['cluster', 'a configured cluster; `none` if no cluster was found'],
  ['verb', 'as in Kubernetes: `get`, `list`, `watch`, `create` …; the method in lower case for other paths'],
  ['code', 'HTTP status; `other` if the client disconnected before the request had one'],
  ['kind', 'see the metric'],
  ['provider', 'a configured provider or workload rule; `unknown` if none was found'],
  [
    'outcome',
    'sign-ins and refreshes: `ok`, `refused`, `unavailable`; audit events: `written`, `dropped`; keys: `taken`, `refused`, `restored`; of access requests, notices and step-ups see the metric',
  ],
  ['reason', 'the reason, as in the audit log'],
  ['target', '`session`, `account`, `provider`, `all`'],
  ['sink', 'type of the audit sink; `live` is the live view'],
  ['version', 'version of this program'],
  ['node', 'version of Node.js'],
  ['verdict', '`allowed`, `refused`'],
  ['role', 'one of `access.roles`; `other` for one that is not configured any more'],
  ['receiver', 'one of `access.notify`'],
  ['event', '`begun`, `ended`'],
  ['name', 'a configured cluster or provider'],
]);

const HEAD = `# Metrics

<!-- Written by \`${REGENERATE_METRICS}\` from the registry itself. Do not edit. -->

\`GET /metrics\` on the ops listener returns OpenMetrics 1.0 if the scraper's \`Accept\` asks for it, and otherwise the
Prometheus text format 0.0.4. OpenMetrics has exemplars: each bucket of \`portcullis_request_duration_seconds\` names the
\`audit_id\` of a request in it, which leads to its event in the audit log, and its \`trace_id\` if the client sent a
\`traceparent\`.

Labels are bounded: they never contain a user, a path or the name of a resource. A value that is neither configured nor
a known word is \`other\`. Node's own metrics (\`nodejs_…\`, \`process_…\`) are included. What to monitor, and which alerts
exist: [monitoring](../monitoring.md).

`;

/** Returns the page. Metrics that only a server observes are registered here too. */
export function metricsReference(): string {
  const metrics = createMetrics();
  metrics.observeSessions(() => 0);
  metrics.observeView(() => ({ stalenessSeconds: 0, fenced: false }));
  metrics.observeAudit(() => ({ blocked: false }));
  metrics.observeSealed(() => 0);
  const known = metrics.describe().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const labels = new Set(known.flatMap((metric) => metric.labels));
  const meanings = [...labels].toSorted().map((label) => entry(label, `${meaningOf(label)}.`));
  return `${HEAD}## Metrics by name

${known.map(entryOf).join('\n')}

## Labels

${meanings.join('\n')}
`;
}

const entryOf = ({ name, type, labels, help }: MetricDescription): string => {
  const by = labels.length === 0 ? '' : `; labels ${labels.map((label) => `\`${label}\``).join(', ')}`;
  return entry(name, `(${type}${by}) ${help}`);
};

function meaningOf(label: string): string {
  const meaning = LABELS.get(label);
  if (meaning === undefined) throw new Error(`describe the label ${label} in scripts/metrics-reference.ts`);
  return meaning;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(METRICS_FILE, metricsReference());
