/** Every metric that this program has, by name, as typed functions. */
import { collectDefaultMetrics, Registry, type OpenMetricsContentType } from 'prom-client';
import { auditMetrics, type AuditState } from './audit-metrics.ts';
import { componentMetrics } from './component-metrics.ts';
import { expose, type Exposition } from './exposition.ts';
import { gauge, type MetricsRegistry } from './instruments.ts';
import { requestMetrics, type EndedRequest, type SensitiveKind } from './request-metrics.ts';
import { revocationMetrics, type ViewState } from './revocation-metrics.ts';
import { sessionMetrics, type LogoutRefused } from './session-metrics.ts';
import { validityMetrics } from './validity-metrics.ts';

export interface Metrics {
  /** One Kubernetes request has ended. */
  request(request: EndedRequest): void;
  /** The API server has accepted a command, a tunnel or a read of Secrets. */
  sensitiveRequest(kind: SensitiveKind): void;
  /** The API server could not be used. `kind` such as `connect`, `timeout`, `reset`, `tls`. */
  upstreamError(cluster: string, kind: string): void;
  /**
   * A stream is open now. `kind` by Kubernetes' words: `watch`, `log`, `exec`, `attach`, `portforward`, `proxy`.
   * @returns to be called when it has closed; calling it again does nothing
   */
  streamOpened(kind: string): () => void;
  /** A sign-in or a workload's exchange has ended. `provider` is the configured name of a provider or a rule, `unknown` where none was found. */
  signIn(provider: string, outcome: string): void;
  /** Sign-ins under way were dropped, because others needed their room in the store. @param kind of artefact, as the store names it */
  signInsDisplaced(kind: string, count: number): void;
  /** A provider has just been asked for something: whether it answered at all, a no included. */
  providerAnswered(provider: string, answered: boolean): void;
  /** An admin wanted to know how a cluster or a provider is. */
  componentLooked(kind: 'cluster' | 'provider', name: string, up: boolean): void;
  /** A logout that a provider told of, or a stranger in its name, was not acted on. */
  logoutRefused(provider: string, reason: LogoutRefused): void;
  refresh(outcome: string): void;
  /** A session has been used from more networks than one person's devices explain. */
  sessionAddressesExceeded(): void;
  /** A request or a stream was ended while it ran; `reason` as in the audit record. */
  cut(reason: string): void;
  /** Something was refused; `reason` in snake_case, as in the audit record. */
  refusal(reason: string): void;
  /** A revocation was answered. `target` is its kind: `session`, `account`, `provider`, `all`. */
  revocation(target: string, seconds: number): void;
  auditEvent(sink: string, outcome: string, events?: number): void;
  /** A request without a good credential has no audit event of its own, because too many came. */
  rejectionOmitted(): void;
  /** Asked at each scrape; when it throws, the gauge is left out of that scrape. */
  observeSessions(read: () => number | Promise<number>): void;
  /** As above, for how much of the store's memory is used, from 0 to 1. */
  observeStore(read: () => number | Promise<number>): void;
  /** Asked at each scrape. */
  observeView(read: () => ViewState): void;
  /** Asked at each scrape. */
  observeAudit(read: () => AuditState): void;
  /**
   * Asked at each scrape for the certificate that is in use.
   * @param kind `api`, `web` or `upstream_ca`; several of one kind are told by the one that ends first
   * @param read PEM; of the chain of a listener the certificate that ends first counts, because the chain ends with it; of a bundle of
   *   authorities the one that lasts longest, because an old one left in it harms nobody
   */
  observeCertificate(kind: string, read: () => string): void;
  /** @param kind `signing`, `sealing` or `audit`; `madeAt` in epoch seconds */
  observeKey(kind: string, madeAt: () => number): void;
  /**
   * Files have changed: their new content is in use, or is no good and the old one stays, or is again what it was before it was no good.
   * @param kind as above, or `certificate` or `authorities`
   * @param files which they are; no label
   */
  keysChanged(kind: string, outcome: KeyChange, files: string): void;
  /** Asked at each scrape for how many values an older sealing key had sealed when last looked; it throws where nobody has looked. */
  observeSealed(read: () => number): void;
  /** Everything in the format that this `Accept` header asks for. */
  render(accept?: string): Promise<Exposition>;
  /** Each metric of ours that is registered now, for the reference. */
  describe(): readonly MetricDescription[];
}

export type KeyChange = 'taken' | 'refused' | 'restored';

export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

/** What is configured: any other cluster or provider is counted as `other`. Known ones stand at 0 from the start. */
export interface KnownNames {
  readonly clusters?: readonly string[];
  readonly providers?: readonly string[];
  /** Types of audit sinks. */
  readonly sinks?: readonly string[];
  /** Of this program. */
  readonly version?: string;
}

/** Makes the metrics on a registry of their own, Node's included, so that several can live in one process. */
export function createMetrics(known: KnownNames = {}): Metrics {
  const registry: MetricsRegistry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  collectDefaultMetrics({ register: registry });
  const build = gauge(registry, 'build_info', 'Always 1; its labels say what runs.', ['version', 'node']);
  build.set({ version: known.version ?? 'unknown', node: process.versions.node }, 1);
  return {
    ...requestMetrics(registry, known.clusters),
    ...sessionMetrics(registry, known.providers),
    ...revocationMetrics(registry),
    ...auditMetrics(registry, known.sinks),
    ...validityMetrics(registry),
    ...componentMetrics(registry, known),
    render: (accept) => expose(registry, accept),
    describe: () => described(registry),
  };
}

/** What prom-client keeps of a metric and does not declare. */
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

/** prom-client takes the ending off a counter's name when it writes OpenMetrics. */
const fullName = (name: string, type: string): string =>
  type === 'counter' && !name.endsWith('_total') ? `${name}_total` : name;
