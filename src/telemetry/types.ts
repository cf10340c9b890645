/** The shapes of this module: every metric as a typed function, and its parameters. */
import type { RoleUsage } from '../core/access/role-usage.ts';
import type { Exposition } from './exposition.ts';

/** `exec`: a command, an attachment or a tunnel into a pod. `secrets`: a read of Secrets. */
export type SensitiveKind = (typeof SENSITIVE_KINDS)[number];

export const SENSITIVE_KINDS = ['exec', 'secrets'] as const;

/** The first two count tokens that the provider has signed, the third valid ones; anyone can cause the others. */
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

/**
 * As in the audit log; and `not_carried_out` for a valid token that could not be acted on, `not_verified` if
 * verification was impossible.
 */
export type LogoutRefused = (typeof LOGOUT_REFUSED)[number];

export const ACCESS_OUTCOMES = ['requested', 'approved', 'denied', 'withdrawn', 'expired', 'refused'] as const;
export const GRANT_EVENTS = ['begun', 'ended'] as const;
export const NOTICE_OUTCOMES = ['delivered', 'failed', 'dropped'] as const;
export const STEP_UP_OUTCOMES = ['done', 'refused'] as const;

export interface Metrics {
  /** One Kubernetes request has ended. */
  request(request: EndedRequest): void;
  /** The API server has accepted a command, a tunnel or a read of Secrets. */
  sensitiveRequest(kind: SensitiveKind): void;
  /** A request of a delegated session was compared with its limits. */
  delegatedRequest(cluster: string, verdict: 'allowed' | 'refused'): void;
  /** The API server could not be used. `kind` such as `connect`, `timeout`, `reset`, `tls`. */
  upstreamError(cluster: string, kind: string): void;
  /**
   * A stream is open now. `kind` in Kubernetes' terms: `watch`, `log`, `exec`, `attach`, `portforward`, `proxy`.
   * @returns a function to call when it has closed; further calls do nothing
   */
  streamOpened(kind: string): () => void;
  /**
   * A sign-in or a workload's exchange has ended. `provider` is the configured name of a provider or a rule,
   * `unknown` if there is none.
   */
  signIn(provider: string, outcome: string): void;
  /**
   * Login transactions were dropped, because others needed their space in the store.
   * @param kind of artefact, as the store names it
   */
  signInsDisplaced(kind: string, count: number): void;
  /** A provider has just been called: whether it responded at all, including a rejection. */
  providerAnswered(provider: string, answered: boolean): void;
  /** An admin had a cluster or a provider checked. */
  componentChecked(kind: 'cluster' | 'provider', name: string, up: boolean): void;
  /** A logout that a provider reported, or an attacker in its name, was not acted on. */
  logoutRefused(provider: string, reason: LogoutRefused): void;
  refresh(outcome: string): void;
  /** A delegated session was made, or not. */
  delegation(outcome: string): void;
  /** What became of an access request. `role` is a configured name. */
  accessRequest(role: string, outcome: (typeof ACCESS_OUTCOMES)[number]): void;
  accessGrant(role: string, event: (typeof GRANT_EVENTS)[number]): void;
  /** Grants whose end is not written yet, by role. */
  accessGrantsActive(counts: ReadonlyMap<string, number>): void;
  /** A role without approval was taken. */
  accessBreakGlass(role: string): void;
  /** By role. */
  roleUsage(usage: ReadonlyMap<string, RoleUsage>): void;
  /** A notice to the receiver of this name: `failed` counts attempts. */
  accessNotice(receiver: string, outcome: (typeof NOTICE_OUTCOMES)[number]): void;
  stepUp(outcome: (typeof STEP_UP_OUTCOMES)[number]): void;
  /** A request was rejected, because its user has to step up first. */
  stepUpNeeded(cluster: string): void;
  /** A session was used from more networks than one user's devices explain. */
  sessionAddressesExceeded(): void;
  /** A request or a stream was cut while it ran; `reason` as in the audit log. */
  cut(reason: string): void;
  /** Something was rejected; `reason` in snake_case, as in the audit log. */
  rejection(reason: string): void;
  /** A revocation was run. `target` is its kind: `session`, `account`, `provider`, `all`, `grant`. */
  revocation(target: string, seconds: number): void;
  auditEvent(sink: string, outcome: string, events?: number): void;
  /** A request without a valid credential has no separate audit event, because too many came. */
  rejectionOmitted(): void;
  /** Read at each scrape; when it throws, the gauge is absent from that scrape. */
  observeSessions(read: () => number | Promise<number>): void;
  /** As above, for the used part of the store's memory, from 0 to 1. */
  observeStore(read: () => number | Promise<number>): void;
  /** Read at each scrape. */
  observeView(read: () => ViewState): void;
  /** Read at each scrape. */
  observeAudit(read: () => AuditState): void;
  /**
   * Reads the certificate in use at each scrape.
   * @param kind `api`, `web` or `upstream_ca`; of several with one kind the first to expire counts
   * @param read PEM; of a listener's chain the first certificate to expire counts, because the chain expires with
   * it; of a CA bundle the one that lasts longest, because an old one left in it does no harm
   */
  observeCertificate(kind: string, read: () => string): void;
  /** @param kind `signing`, `sealing` or `audit`; `madeAt` in epoch seconds */
  observeKey(kind: string, madeAt: () => number): void;
  /** Read at each scrape: how many live replicas cannot read a new key of this kind, which is therefore not used. */
  observeLackedKey(kind: string, replicas: () => number): void;
  /**
   * Files have changed: their new content is in use, or is invalid so that the old one stays in use, or is again
   * the content in use.
   * @param kind as above, or `certificate` or `authorities`
   * @param files names them; no label
   */
  keysChanged(kind: string, outcome: KeyChange, files: string): void;
  /**
   * Read at each scrape: how many values an older sealing key had sealed at the last check; it throws before the
   * first check.
   */
  observeSealed(read: () => number): void;
  /** Renders everything in the format that this `Accept` header asks for. */
  render(accept?: string): Promise<Exposition>;
  /** Returns each of our registered metrics, for the reference. */
  describe(): readonly MetricDescription[];
}

export type KeyChange = 'taken' | 'refused' | 'restored';

export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

/** Configured names: any other cluster or provider is counted as `other`. Known ones exist with 0 from the start. */
export interface KnownNames {
  readonly clusters?: readonly string[];
  readonly providers?: readonly string[];
  /** Of `access.roles`, and of `access.notify`. */
  readonly roles?: readonly string[];
  readonly receivers?: readonly string[];
  /** Types of audit sinks. */
  readonly sinks?: readonly string[];
  /** Version of this program. */
  readonly version?: string;
}

export interface AuditState {
  /** No request is served because the audit log cannot be written. */
  readonly blocked: boolean;
  /** Bytes that wait to be written, in memory or in a spool, by the sink's type. Absent: unknown. */
  readonly queuedBytes?: ReadonlyMap<string, number>;
  /** 1 for a sink, by its type, that cannot be written or cannot deliver, 0 for one that can. Absent: unknown. */
  readonly failing?: ReadonlyMap<string, number>;
  /** Seconds for which files of a limited size hold an event, by the sink's type. Absent: unknown. */
  readonly holdsForSeconds?: ReadonlyMap<string, number>;
}

export interface EndedRequest {
  /** A configured name, `none` if no cluster was found. */
  readonly cluster: string;
  readonly verb: string;
  readonly code: number;
  /**
   * From the first byte to the last; absent for long-running requests (watch, logs, exec), which would hide the
   * others.
   */
  readonly seconds?: number;
  /** Id of the audit event: the exemplar that leads from a slow bucket to the event. */
  readonly auditId?: string;
  /** Of the caller's `traceparent`: 32 lower-case hexadecimal digits. */
  readonly traceId?: string | undefined;
}

export interface ViewState {
  readonly stalenessSeconds: number;
  readonly fenced: boolean;
}
