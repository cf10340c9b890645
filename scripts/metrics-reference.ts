/**
 * Writes docs/reference/metrics.md from the registry itself: `node scripts/metrics-reference.ts`. A unit test compares the two.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createMetrics, type MetricDescription } from '../src/telemetry/telemetry.ts';

export const METRICS_FILE = fileURLToPath(new URL('../docs/reference/metrics.md', import.meta.url));

export const REGENERATE_METRICS = 'node scripts/metrics-reference.ts';

/** What a label may say, by its name. */
const LABELS: ReadonlyMap<string, string> = new Map([
  ['cluster', 'a configured cluster; `none` where no cluster was found'],
  ['verb', 'as Kubernetes has it: `get`, `list`, `watch`, `create` …; the method in small letters for other paths'],
  ['code', 'HTTP status; `other` where the client went away before it had one'],
  ['kind', 'see the metric'],
  ['provider', 'a configured provider or workload rule; `unknown` where none was found'],
  [
    'outcome',
    'sign-ins and refreshes: `ok`, `refused`, `unavailable`; audit events: `written`, `dropped`; keys: `taken`, `refused`, `restored`',
  ],
  ['reason', 'why, as in the audit record'],
  ['target', '`session`, `account`, `provider`, `all`'],
  ['sink', 'type of the audit sink; `live` is the live tail'],
  ['version', 'of this program'],
  ['node', 'of Node.js'],
  ['name', 'a configured cluster or provider'],
]);

const HEAD = `# Metrics

<!-- Written by \`${REGENERATE_METRICS}\` from the registry itself. Do not edit. -->

\`GET /metrics\` on the ops listener, in OpenMetrics 1.0 where the scraper's \`Accept\` asks for it, else in the Prometheus text format 0.0.4. OpenMetrics carries exemplars: each bucket of
\`portcullis_request_duration_seconds\` names the \`audit_id\` of a request that fell into it, which leads to its line in the audit record, and its \`trace_id\` where the client sent a \`traceparent\`.

Labels are bounded: never a person, a path or the name of a resource. What is not in the configuration, or not a word that we know, is \`other\`. Node's own metrics (\`nodejs_…\`, \`process_…\`) are there too.
What to watch, and which alerts there are: [monitoring](../monitoring.md).

`;

/** Everything registers: what is only observed in a server is observed here too. */
export function metricsReference(): string {
  const metrics = createMetrics();
  metrics.observeSessions(() => 0);
  metrics.observeView(() => ({ stalenessSeconds: 0, fenced: false }));
  metrics.observeAudit(() => ({ blocked: false }));
  metrics.observeSealed(() => 0);
  const known = metrics.describe().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const labels = new Set(known.flatMap((metric) => metric.labels));
  const rows = known.map(rowOf);
  const meanings = [...labels].toSorted().map((label) => `| \`${label}\` | ${meaningOf(label)} |`);
  return `${HEAD}| Metric | Type | Labels | What it says |
|---|---|---|---|
${rows.join('\n')}

| Label | Values |
|---|---|
${meanings.join('\n')}
`;
}

const rowOf = ({ name, type, labels, help }: MetricDescription): string =>
  `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`;

function meaningOf(label: string): string {
  const meaning = LABELS.get(label);
  if (meaning === undefined) throw new Error(`say in scripts/metrics-reference.ts what the label ${label} may be`);
  return meaning;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(METRICS_FILE, metricsReference());
