/** Every metric that this program has, by name, as typed functions. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { boundedLabel, codeLabel, verbLabel } from './labels.ts';

export interface Metrics {
  /**
   * One Kubernetes request has ended.
   * @param request `cluster` is a configured name, `none` where no cluster was found; `seconds` from the first byte to the last,
   *   absent for what is long-running by nature (watch, logs, exec), which would drown the others
   */
  request(request: { cluster: string; verb: string; code: number; seconds?: number }): void;
  /** The API server could not be used. `kind` such as `connect`, `timeout`, `reset`, `tls`. */
  upstreamError(cluster: string, kind: string): void;
  /**
   * A stream is open now. `kind` by Kubernetes' words: `watch`, `log`, `exec`, `attach`, `portforward`, `proxy`.
   * @returns to be called when it has closed; calling it again does nothing
   */
  streamOpened(kind: string): () => void;
  /** A sign-in has ended. `provider` is a configured name, `unknown` where it had not come so far as to name one. */
  signIn(provider: string, outcome: string): void;
  refresh(outcome: string): void;
  /** Something was refused; `reason` in snake_case, as in the audit record. */
  refusal(reason: string): void;
  /** A revocation was answered. `target` is its kind: `session`, `account`, `provider`, `all`. */
  revocation(target: string, seconds: number): void;
  auditEvent(sink: string, outcome: string): void;
  /** Asked at each scrape; when it throws, the gauge is left out of that scrape. */
  observeSessions(read: () => number | Promise<number>): void;
  /** Asked at each scrape. */
  observeView(read: () => { readonly stalenessSeconds: number; readonly fenced: boolean }): void;
  /** `Content-Type` of `render`. */
  readonly contentType: string;
  /** The Prometheus text format. */
  render(): Promise<string>;
}

/** Seconds. The gate's own share is below a millisecond, an API server's answer between milliseconds and its timeout of a minute. */
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Seconds. Milliseconds when all replicas answer; three seconds and a little when one is silent. */
const REVOCATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 10];
/** What is cut by a revocation must be seen to fall, so known kinds stand at 0 from the start. */
const STREAM_KINDS = ['watch', 'log', 'exec', 'attach', 'portforward', 'proxy', 'other'] as const;

/**
 * Makes the metrics on a registry of their own, Node's included, so that several can live in one process.
 * @param known the configured names; any other cluster or provider is then counted as `other`
 */
export function createMetrics(
  known: { readonly clusters?: readonly string[]; readonly providers?: readonly string[] } = {},
): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    ...requestMetrics(registry, known.clusters),
    ...sessionMetrics(registry, known.providers),
    ...revocationMetrics(registry),
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}

function requestMetrics(
  registry: Registry,
  clusters: readonly string[] | undefined,
): Pick<Metrics, 'request' | 'upstreamError' | 'streamOpened' | 'refusal'> {
  const requests = counter(registry, 'requests_total', 'Kubernetes requests that have ended.', [
    'cluster',
    'verb',
    'code',
  ]);
  const durations = new Histogram({
    name: 'portcullis_request_duration_seconds',
    help: 'Time from the first byte of a request to the last byte of its answer, without long-running requests.',
    buckets: REQUEST_BUCKETS,
    registers: [registry],
  });
  const errors = counter(registry, 'upstream_errors_total', 'Requests that an API server could not be given.', [
    'cluster',
    'kind',
  ]);
  const streams = gauge(registry, 'streams_open', 'Long-running requests that are open.', ['kind']);
  const refusals = counter(registry, 'refusals_total', 'Requests, sign-ins and refreshes refused.', ['reason']);
  for (const kind of STREAM_KINDS) streams.set({ kind }, 0);

  const cluster = boundedLabel(clusters && [...clusters, 'none']);
  const errorKind = boundedLabel();
  const streamKind = boundedLabel(STREAM_KINDS);
  const reason = boundedLabel();
  return {
    request(request) {
      requests.inc({
        cluster: cluster(request.cluster),
        verb: verbLabel(request.verb),
        code: codeLabel(request.code),
      });
      if (request.seconds !== undefined) durations.observe(request.seconds);
    },
    upstreamError: (name, kind) => errors.inc({ cluster: cluster(name), kind: errorKind(kind) }),
    streamOpened(kind) {
      const labels = { kind: streamKind(kind) };
      let open = true;
      streams.inc(labels);
      return () => {
        if (open) streams.dec(labels);
        open = false;
      };
    },
    refusal: (why) => refusals.inc({ reason: reason(why) }),
  };
}

function sessionMetrics(
  registry: Registry,
  providers: readonly string[] | undefined,
): Pick<Metrics, 'signIn' | 'refresh' | 'auditEvent' | 'observeSessions'> {
  const signIns = counter(registry, 'sign_ins_total', 'Sign-ins that have ended.', ['provider', 'outcome']);
  const refreshes = counter(registry, 'refreshes_total', 'Uses of a refresh token.', ['outcome']);
  const auditEvents = counter(registry, 'audit_events_total', 'Audit events by what became of them.', [
    'sink',
    'outcome',
  ]);
  const provider = boundedLabel(providers && [...providers, 'unknown']);
  const signInOutcome = boundedLabel();
  const refreshOutcome = boundedLabel();
  const sink = boundedLabel();
  const auditOutcome = boundedLabel();
  return {
    signIn: (name, outcome) => signIns.inc({ provider: provider(name), outcome: signInOutcome(outcome) }),
    refresh: (outcome) => refreshes.inc({ outcome: refreshOutcome(outcome) }),
    auditEvent: (name, outcome) => auditEvents.inc({ sink: sink(name), outcome: auditOutcome(outcome) }),
    observeSessions(read) {
      observed(registry, 'sessions_active', 'Sessions that have not ended.', read);
    },
  };
}

function revocationMetrics(registry: Registry): Pick<Metrics, 'revocation' | 'observeView'> {
  const revocations = counter(registry, 'revocations_total', 'Revocations that were answered.', ['target']);
  const durations = new Histogram({
    name: 'portcullis_revocation_duration_seconds',
    help: 'Time from the request for a revocation to its answer.',
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
      observed(registry, 'fenced', '1 while this replica has no lease and refuses everything.', () =>
        read().fenced ? 1 : 0,
      );
    },
  };
}

function counter<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[],
): Counter<L> {
  return new Counter({ name: `portcullis_${name}`, help, labelNames, registers: [registry] });
}

function gauge<L extends string>(registry: Registry, name: string, help: string, labelNames: readonly L[]): Gauge<L> {
  return new Gauge({ name: `portcullis_${name}`, help, labelNames, registers: [registry] });
}

/** A gauge that is read when it is asked for. What cannot be read is absent: neither stale nor zero, and it fails no scrape. */
function observed(registry: Registry, name: string, help: string, read: () => number | Promise<number>): void {
  const measured = new Gauge({
    name: `portcullis_${name}`,
    help,
    registers: [registry],
    async collect() {
      try {
        measured.set(await read());
      } catch {
        measured.remove();
      }
    },
  });
}
