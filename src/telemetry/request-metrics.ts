/** Metrics of requests and streams. */
import { Histogram, type Counter } from 'prom-client';
import { counter, gauge, type MetricsRegistry } from './instruments.ts';
import { boundedLabel, codeLabel, verbLabel } from './labels.ts';
import { SENSITIVE_KINDS, type EndedRequest, type Metrics } from './types.ts';
import { defined } from '../core/defined.ts';

/**
 * Seconds. The proxy's own share is below a millisecond; an API server responds within milliseconds to its timeout
 * of a minute.
 */
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Streams cut by a revocation must show as a decrease, so known kinds exist with 0 from the start. */
const STREAM_KINDS = ['watch', 'log', 'exec', 'attach', 'portforward', 'proxy', 'other'] as const;
/**
 * Reasons that an alert counts. For Prometheus a series that begins at 1 has never increased, so the first
 * rejection would be missed.
 */
const ALERTED_REASONS = [
  'session_revoked',
  'session_unknown',
  'foreign_token',
  'malformed_token',
  'certificate_missing',
  'certificate_mismatch',
  'token_unbound',
  'wrong_audience',
  'impersonation_denied',
  'impersonation_not_configured',
  'impersonation_reserved_extra',
  'audit_unavailable',
  'fenced',
  'too_many_sign_ins',
] as const;

const CUT_REASONS = ['session_revoked', 'fenced'] as const;

type RequestMetrics = Pick<
  Metrics,
  'request' | 'sensitiveRequest' | 'delegatedRequest' | 'upstreamError' | 'streamOpened' | 'cut' | 'rejection'
>;

export function requestMetrics(registry: MetricsRegistry, clusters: readonly string[] | undefined): RequestMetrics {
  const requests = counter(registry, 'requests_total', 'Kubernetes requests that have ended.', [
    'cluster',
    'verb',
    'code',
  ]);
  const durations = new Histogram({
    name: 'portcullis_request_duration_seconds',
    help: 'Time from the first byte of a request to the last byte of its response, without long-running requests.',
    buckets: REQUEST_BUCKETS,
    enableExemplars: true,
    registers: [registry],
  });
  const cluster = boundedLabel(clusters && [...clusters, 'none']);
  const countEnded = countBySeries(requests);
  const isDue = exemplarsDue();
  return {
    request(request) {
      countEnded({ cluster: cluster(request.cluster), verb: verbLabel(request.verb), code: codeLabel(request.code) });
      const { seconds: value } = request;
      if (value === undefined) return;
      durations.observe({ labels: NONE, value, exemplarLabels: isDue(value) ? exemplarOf(request) : NONE });
    },
    ...sensitiveMetrics(registry),
    ...delegatedMetrics(registry, cluster, clusters),
    ...streamMetrics(registry),
    ...failureMetrics(registry, cluster, clusters),
  };
}

/** The labels are bounded, so the series are. Looking one up costs less than composing its name for each request. */
function countBySeries(requests: Counter<'cluster' | 'verb' | 'code'>) {
  const series = new Map<string, { inc(): void }>();
  return (labels: { readonly cluster: string; readonly verb: string; readonly code: string }): void => {
    const key = `${labels.cluster} ${labels.verb} ${labels.code}`;
    let known = series.get(key);
    if (known === undefined) series.set(key, (known = requests.labels(labels)));
    known.inc();
  };
}

const NONE = {};

/** Milliseconds. Prometheus reads one exemplar of each bucket every few seconds, and each costs as much as the observation. */
const EXEMPLAR_EVERY_MS = 100;

/** Returns whether a request gets an exemplar: the first of its bucket in a while. */
function exemplarsDue(): (seconds: number) => boolean {
  const nextMs = new Map<number, number>();
  return (seconds) => {
    const nowMs = performance.now();
    const bucket = REQUEST_BUCKETS.findIndex((bound) => seconds <= bound);
    if (nowMs < (nextMs.get(bucket) ?? 0)) return false;
    nextMs.set(bucket, nowMs + EXEMPLAR_EVERY_MS);
    return true;
  };
}

/** The caller chooses `traceparent`, so its id is only accepted in the right form. */
const TRACE_ID = /^[0-9a-f]{32}$/;

const exemplarOf = ({ auditId, traceId }: EndedRequest): Record<string, string> => ({
  ...defined({ audit_id: auditId }),
  ...(traceId === undefined || !TRACE_ID.test(traceId) ? {} : { trace_id: traceId }),
});

function sensitiveMetrics(registry: MetricsRegistry): Pick<RequestMetrics, 'sensitiveRequest'> {
  const help = 'Accepted commands and tunnels into pods (`exec`), and accepted reads of Secrets (`secrets`).';
  const sensitive = counter(registry, 'sensitive_requests_total', help, ['kind']);
  for (const kind of SENSITIVE_KINDS) sensitive.inc({ kind }, 0);
  return { sensitiveRequest: (kind) => sensitive.inc({ kind }) };
}

function delegatedMetrics(
  registry: MetricsRegistry,
  cluster: (name: string) => string,
  clusters: readonly string[] = [],
): Pick<RequestMetrics, 'delegatedRequest'> {
  const help =
    'Requests of delegated sessions: within their limits (`allowed`), or outside and so rejected (`refused`).';
  const delegated = counter(registry, 'delegated_requests_total', help, ['cluster', 'verdict']);
  for (const name of clusters) {
    for (const verdict of ['allowed', 'refused']) delegated.inc({ cluster: name, verdict }, 0);
  }
  return { delegatedRequest: (name, verdict) => delegated.inc({ cluster: cluster(name), verdict }) };
}

function streamMetrics(registry: MetricsRegistry): Pick<RequestMetrics, 'streamOpened' | 'cut'> {
  const streams = gauge(
    registry,
    'streams_open',
    'Long-running requests that are open: `watch`, `log`, `exec`, `attach`, `portforward`, `proxy`.',
    ['kind'],
  );
  for (const kind of STREAM_KINDS) streams.set({ kind }, 0);
  const streamKind = boundedLabel(STREAM_KINDS);
  const help =
    'Requests and streams that were cut while they ran: by a revocation, because the replica was fenced, or at the end of their session.';
  const cuts = counter(registry, 'cuts_total', help, ['reason']);
  for (const reason of CUT_REASONS) cuts.inc({ reason }, 0);
  const cutReason = boundedLabel();
  return {
    streamOpened(kind) {
      const labels = { kind: streamKind(kind) };
      let open = true;
      streams.inc(labels);
      return () => {
        if (open) streams.dec(labels);
        open = false;
      };
    },
    cut: (reason) => cuts.inc({ reason: cutReason(reason) }),
  };
}

function failureMetrics(
  registry: MetricsRegistry,
  cluster: (name: string) => string,
  clusters: readonly string[] = [],
): Pick<RequestMetrics, 'upstreamError' | 'rejection'> {
  const errors = counter(
    registry,
    'upstream_errors_total',
    'Requests that could not be passed to an API server, or whose response could not be passed to the client: `connect`, `timeout`, `reset`, `tls`, `busy`, `own_token_refused`, `own_account_refused` …',
    ['cluster', 'kind'],
  );
  for (const name of clusters) errors.inc({ cluster: name, kind: 'connect' }, 0);
  const rejections = counter(registry, 'refusals_total', 'Rejected requests, sign-ins and refreshes.', ['reason']);
  for (const alerted of ALERTED_REASONS) rejections.inc({ reason: alerted }, 0);
  const errorKind = boundedLabel();
  const reason = boundedLabel(undefined, ALERTED_REASONS);
  return {
    upstreamError: (name, kind) => errors.inc({ cluster: cluster(name), kind: errorKind(kind) }),
    rejection: (why) => rejections.inc({ reason: reason(why) }),
  };
}
