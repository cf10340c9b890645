/** The shapes of this module: every metric as a typed function, and what it is given. */
import type { Exposition } from './exposition.ts';

/** `exec`: a command, an attachment or a tunnel into a pod. `secrets`: a read of Secrets. */
export type SensitiveKind = (typeof SENSITIVE_KINDS)[number];

export const SENSITIVE_KINDS = ['exec', 'secrets'] as const;

/** The first two are said of tokens that the provider has signed, the third of those that were found good; anyone can cause the others. */
export const LOGOUT_REFUSED = [
  'logout_token_issued_at',
  'logout_token_expired',
  'not_carried_out',
  'logout_token_missing',
  'logout_token_too_large',
  'logout_token_malformed',
  'logout_token_type',
  'logout_token_algorithm',
  'logout_token_issuer',
  'logout_token_audience',
  'logout_token_events',
  'logout_token_nonce',
  'logout_token_subject',
  'logout_token_id',
  'logout_token_key_unknown',
  'logout_token_signature',
  'logout_token_replayed',
  'not_verified',
] as const;

/** As in the audit log; and `not_carried_out` for a good token that could not be acted on, `not_verified` where that could not be found out. */
export type LogoutRefused = (typeof LOGOUT_REFUSED)[number];

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
  rejection(reason: string): void;
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

export interface AuditState {
  /** Nothing is served because the record cannot be written. */
  readonly blocked: boolean;
  /** Bytes that wait to be written, in memory or in a spool, by the sink's type. Absent: not told. */
  readonly queuedBytes?: ReadonlyMap<string, number>;
  /** 1 for a sink, by its type, that cannot be written or cannot deliver, 0 for one that can. Absent: not told. */
  readonly failing?: ReadonlyMap<string, number>;
}

export interface EndedRequest {
  /** A configured name, `none` where no cluster was found. */
  readonly cluster: string;
  readonly verb: string;
  readonly code: number;
  /**
   * From the first byte to the last; absent for what is long-running by nature (watch, logs, exec), which would drown the others.
   */
  readonly seconds?: number;
  /** Of this request in the record: the exemplar that leads from a slow bucket to the line. */
  readonly auditId?: string;
  /** Of the caller's `traceparent`: 32 lower-case hexadecimal digits. */
  readonly traceId?: string;
}

export interface ViewState {
  readonly stalenessSeconds: number;
  readonly fenced: boolean;
}
