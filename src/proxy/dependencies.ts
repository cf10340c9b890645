/**
 * What the data plane is given. `main.ts` passes the real dependencies; the module itself reads no file and no
 * environment.
 */
import type { GrantSettings } from './admission/granted.ts';
import type { AccessRole } from '../core/access/role.ts';
import type { DelegationBounds } from '../core/delegation/bounds.ts';
import type { Caller, CredentialRejection } from '../core/credential/credential.ts';
import type { StepUpRule } from '../core/step-up/rule.ts';
import type { Result } from '../core/result.ts';
import type { Awaitable } from '../core/awaitable.ts';
import type { Clock } from '../contracts/clock.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import type { AuditTrail } from '../audit/audit.ts';
import type { ClusterConfig, Config } from '../config/config.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { SessionStore } from '../store/store.ts';
import type { SystemBuffers } from './listener/system-buffers.ts';
import type { Metrics } from '../telemetry/types.ts';

/** One API server behind the proxy. */
export interface UpstreamCluster extends Pick<ClusterConfig, 'name' | 'hosts' | 'impersonate'> {
  /** `https://host:port`, without a path. */
  readonly server: string;
  /** PEM. Absent: the CAs of the system. */
  readonly ca?: string;
  /** True if service accounts may pass with their own tokens. Absent: they may not. */
  readonly serviceAccountPassthrough?: boolean;
  /**
   * Returns the proxy's own credential at the cluster. Called before each request, because the file is rotated.
   * Throws if there is none.
   */
  token(): Awaitable<string>;
}

/** The time limits of the data plane, in milliseconds. */
export interface ProxyTiming {
  /** For TCP to the API server, and as much again for the TLS that follows. */
  readonly connectMs: number;
  /** From the request to the first header of the API server, if the request is not long-running. */
  readonly responseMs: number;
  /** For a request that is not long-running: until a connection to the API server is free for it. */
  readonly waitMs: number;
  /** Between two pieces of a response's body, if the request is not long-running. */
  readonly bodyMs: number;
  /** From the admission to the first piece of the request's body, and between two, if it is not long-running. */
  readonly uploadMs: number;
  /** From an upgrade request to the response of the API server. */
  readonly upgradeMs: number;
  /** From a new connection, or from the first byte of a request on an old one, to the end of the request's head. */
  readonly headMs: number;
  /** From a new connection to the end of its PROXY header, which a load balancer sends with the first packet. */
  readonly proxyHeaderMs: number;
  /** How long a connection may wait for its client even where there are too many. */
  readonly giveWayMs: number;
  /** Between two PINGs on an HTTP/2 connection. */
  readonly pingMs: number;
  /** An HTTP/2 connection gets its GOAWAY at random between this age and twice it. */
  readonly connectionAgeMs: number;
  /**
   * From the head of a request to our own endpoints to the end of its body, which is a form or a few lines of JSON.
   */
  readonly machineBodyMs: number;
  /** How long a client may read nothing of a whole response, or of an ordinary one that is under way. */
  readonly unreadMs: number;
  /** The same for the rest of a watch, a log or another long-running request whose API server has ended it. */
  readonly unreadStreamMs: number;
  /** The same for responses of the proxy itself: rejections, and responses of our own endpoints. */
  readonly unreadLocalMs: number;
  /** For a SubjectAccessReview or a TokenReview of the proxy, connecting included. */
  readonly reviewMs: number;
}

/**
 * `responseMs`: an API server ends an ordinary request after 60 s by itself (`--request-timeout`), so one that is
 * silent for longer is not going to respond. `uploadMs`: half of that, for one pause of a client. `waitMs`: longer than
 * `connectMs` for TCP and for TLS, so that an API server that cannot be reached is not called a busy one. `connectMs`:
 * docs/protocols.md#limits.
 */
export const DEFAULT_TIMING: ProxyTiming = {
  connectMs: 10_000,
  responseMs: 75_000,
  waitMs: 30_000,
  bodyMs: 120_000,
  uploadMs: 30_000,
  upgradeMs: 30_000,
  reviewMs: 5_000,
  machineBodyMs: 30_000,
  headMs: 20_000,
  proxyHeaderMs: 5_000,
  giveWayMs: 2_000,
  pingMs: 30_000,
  connectionAgeMs: 300_000,
  unreadMs: 120_000,
  unreadStreamMs: 1_800_000,
  unreadLocalMs: 20_000,
};

export interface ProxyLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
  error(facts: Record<string, unknown>, message: string): void;
}

export type ProxyMetrics = Pick<
  Metrics,
  | 'request'
  | 'sensitiveRequest'
  | 'delegatedRequest'
  | 'upstreamError'
  | 'streamOpened'
  | 'cut'
  | 'rejection'
  | 'sessionAddressesExceeded'
> & {
  /** Counts a request that needed a more recent proof. Absent: it is not counted. */
  readonly stepUpNeeded?: (cluster: string) => void;
};

/** PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What step-up is judged by. */
export interface StepUpSettings {
  readonly rules: readonly StepUpRule[];
  /** Names of the identity providers that say when a user has authenticated. */
  readonly proving: ReadonlySet<string>;
  /** Names of the other identity providers; what is in neither is a workload rule. */
  readonly silent: ReadonlySet<string>;
  /** Seconds. */
  readonly clockSkew: number;
}

/** Roles that users may ask for. */
export interface AccessHints {
  /** `access.roles`. */
  readonly roles: readonly AccessRole[];
  /** Names of `workload` rules, whose sessions may ask for nothing. */
  readonly workloads: ReadonlySet<string>;
}

export interface ApiListenerDeps {
  /** The public URL of the web listener, as `portcullis login --server` takes it. */
  readonly publicUrl: Config['publicUrl'];
  /**
   * Returns why a session has ended that its provider or a rule rejected, if this process knows it. Without I/O.
   * Absent: never known.
   */
  readonly whyEnded?: (session: string) => string | undefined;
  /** Names of third-party clients by `client_id`, for the messages to their users. Absent: there are none. */
  readonly thirdParties?: ReadonlyMap<string, string>;
  /** For users whom a cluster denies something. Absent: there are no roles to ask for. */
  readonly access?: AccessHints;
  /** What the configuration allows delegated sessions. */
  readonly delegation: DelegationBounds;
  /** What needs a recent proof. Absent: nothing. */
  readonly stepUp?: StepUpSettings;
  readonly limits: Pick<Config['limits'], 'headerBytes' | 'connections'> & {
    /** Absent: 400. */
    readonly inFlightPerUser?: number;
    /** Seconds after which a connection without a request is closed. Absent: 600. */
    readonly idle?: number;
  };
  readonly tls: ServerCertificate;
  /**
   * CIDRs of load balancers, each of whose connections starts with a PROXY header. No other address may connect
   * then. Absent: no header is read.
   */
  readonly proxiesFrom?: readonly string[];
  readonly clusters: readonly UpstreamCluster[];
  readonly authenticate: Authenticate;
  readonly guard: RevocationGuard;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead' | 'blocked' | 'backlogged'>;
  /** Absent: no rules, the commands of exec are counted, and changes are written ahead. */
  readonly auditPolicy?: Partial<Pick<Config['audit'], 'policy' | 'execCommands' | 'writeAhead'>>;
  readonly metrics: ProxyMetrics;
  readonly logger: ProxyLogger;
  /** Serves every path under `/-/`: the OAuth endpoints for programs and the admin API. */
  readonly machineHandler: (req: IncomingMessage, res: ServerResponse) => void;
  /** Epoch milliseconds. */
  readonly clock: Clock;
  readonly timing?: Partial<ProxyTiming>;
  /** Default: `listener/memory.ts`. */
  readonly memoryInUse?: () => number;
  /** Default: `listener/system-buffers.ts`. */
  readonly systemBuffers?: SystemBuffers;
}

export interface AuthenticatorDeps {
  readonly guard: Pick<RevocationGuard, 'check' | 'onChange'>;
  readonly sessions: Pick<SessionStore, 'read'>;
  /** Our `iss`. */
  readonly issuer: string;
  /**
   * The public halves of every signing key that may still have signed a live token. `keys` is read for each token.
   */
  readonly keys: JSONWebKeySet;
  readonly clock: Clock;
  /** Absent: there are no roles, so no grant gives anything. */
  readonly access?: GrantSettings;
  /** `client_id`s whose tokens are accepted without a binding; those of other clients are not. Absent: none. */
  readonly unboundClients?: ReadonlySet<string>;
  /**
   * Returns why a session has ended that its provider or a rule rejected, for a user who has proven to hold it.
   * Absent: never known.
   */
  readonly whyEnded?: (session: string) => Promise<string | undefined>;
  /** Names of third-party clients by `client_id`, for the messages to their users. Absent: there are none. */
  readonly thirdParties?: ReadonlyMap<string, string>;
}

export type AuthenticationRejection = CredentialRejection | 'fenced';

export interface AuthenticationRequest {
  /** Compact JWS. Never logged. */
  readonly token: string;
  /** The one audience that the token must have: `clusterAudience(NAME)` or `ADMIN_AUDIENCE`. */
  readonly audience: string;
  /** SHA-256 of the connection's client certificate, base64url. Undefined if none was presented. */
  readonly thumbprint: string | undefined;
}

/**
 * @returns the caller, or a reason for the audit log; the client gets a vaguer message. In the same tick if token and
 *   session are cached
 * @throws SessionUnread `store_unavailable` if the session could not be read; AppError `unauthenticated` with a
 *   message for the user if the session was ended because their provider or a rule rejected them
 */
export type Authenticate = (question: AuthenticationRequest) => Awaitable<Authentication>;

/**
 * A rejection with the client that the token was issued to, if we issued it and there are third-party clients; and with
 * the actors of a delegated session.
 */
export type Authentication = Result<Caller, AuthenticationRejection> & {
  readonly client?: string;
  readonly actor?: string | undefined;
};
