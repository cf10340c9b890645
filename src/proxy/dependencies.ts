/** What the data plane is given. main.ts hands in the real things; the room itself reads no file and no environment. */
import type { Caller, CredentialRejection } from '../core/credential/credential.ts';
import type { Result } from '../core/result.ts';
import type { Clock } from '../contracts/clock.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import type { AuditTrail } from '../audit/audit.ts';
import type { ClusterConfig, Config } from '../config/config.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { SessionStore } from '../store/store.ts';
import type { Metrics } from '../telemetry/types.ts';

/** One API server behind the gate. */
export interface UpstreamCluster extends Pick<ClusterConfig, 'name' | 'hosts' | 'impersonate'> {
  /** `https://host:port`, without a path. */
  readonly server: string;
  /** PEM; absent: the system's authorities. */
  readonly ca?: string;
  /** Service accounts may pass with their own tokens; absent: no. */
  readonly serviceAccountPassthrough?: boolean;
  /** The gate's own credential there. Asked before each request, because the file is rotated under us. Throws when there is none. */
  token(): string | Promise<string>;
}

/** Every wait of the data plane, in milliseconds. */
export interface ProxyTiming {
  /** TCP towards the API server; and for TLS, which follows, as much again. */
  readonly connectMs: number;
  /** From the request to the API server's first header, where the request is not long-running. */
  readonly answerMs: number;
  /** Between two pieces of a body, where the request is not long-running. */
  readonly bodyMs: number;
  /** From an upgrade request to the API server's answer. */
  readonly upgradeMs: number;
  /** From a new connection, or from the first byte of a request on an old one, to the end of the request's head. */
  readonly headMs: number;
  /** From a new connection to the end of its PROXY header, which a load balancer sends with the first packet. */
  readonly proxyHeaderMs: number;
  /** Between two PINGs on an HTTP/2 connection. */
  readonly pingMs: number;
  /** An HTTP/2 connection gets its GOAWAY at random between this age and twice it. */
  readonly connectionAgeMs: number;
  /** From the head of a request to our own endpoints to the end of its body, which is a form or a few lines of JSON. */
  readonly machineBodyMs: number;
  /** For which a client takes nothing of a whole answer, or of an ordinary one that is under way. */
  readonly untakenMs: number;
  /** The same for what is left of a watch, a log or another request that lasts, when the API server has ended it. */
  readonly untakenStreamMs: number;
  /** The same for what the proxy says itself: refusals, and answers of our own endpoints. */
  readonly untakenOwnMs: number;
  /** A SubjectAccessReview or a TokenReview of the gate's, connecting included. */
  readonly reviewMs: number;
}

/**
 * `answerMs`: an API server ends an ordinary request after 60 s by itself (`--request-timeout`), so whoever is silent for longer is not
 * going to answer. `connectMs`: docs/protocols.md#limits.
 */
export const DEFAULT_TIMING: ProxyTiming = {
  connectMs: 10_000,
  answerMs: 75_000,
  bodyMs: 120_000,
  upgradeMs: 30_000,
  reviewMs: 5_000,
  machineBodyMs: 30_000,
  headMs: 20_000,
  proxyHeaderMs: 5_000,
  pingMs: 30_000,
  connectionAgeMs: 300_000,
  untakenMs: 120_000,
  untakenStreamMs: 1_800_000,
  untakenOwnMs: 20_000,
};

export interface ProxyLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
  error(facts: Record<string, unknown>, message: string): void;
}

export type ProxyMetrics = Pick<
  Metrics,
  'request' | 'sensitiveRequest' | 'upstreamError' | 'streamOpened' | 'cut' | 'rejection' | 'sessionAddressesExceeded'
>;

/** PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface ApiListenerDeps {
  /** The web listener's public URL: what `portcullis login --server` takes. */
  readonly publicUrl: Config['publicUrl'];
  /** Why a session has ended that its provider or a rule refused, where this process knows it; without I/O. Absent: it knows of none. */
  readonly whyEnded?: (session: string) => string | undefined;
  /** Names of third-party clients by `client_id`, for what their users are told. Absent: there are none. */
  readonly thirdParties?: ReadonlyMap<string, string>;
  readonly limits: Pick<Config['limits'], 'headerBytes' | 'connections'> & {
    /** Absent: 400. */
    readonly inFlightPerPerson?: number;
    /** Seconds after which a connection without a request is closed. Absent: 600. */
    readonly idle?: number;
  };
  readonly tls: ServerCertificate;
  /** CIDRs of load balancers, each of whose connections begins with a PROXY header; nobody else may connect then. Absent: no header is read. */
  readonly proxiesFrom?: readonly string[];
  readonly clusters: readonly UpstreamCluster[];
  readonly authenticate: Authenticate;
  readonly guard: RevocationGuard;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead' | 'blocked'>;
  /** Absent: no rules, exec's commands are counted, and changes are written ahead. */
  readonly auditPolicy?: Partial<Pick<Config['audit'], 'policy' | 'execCommands' | 'writeAhead'>>;
  readonly metrics: ProxyMetrics;
  readonly logger: ProxyLogger;
  /** Serves every path under `/-/`: the machine-to-machine OAuth endpoints and the admin API for programs. */
  readonly machineHandler: (req: IncomingMessage, res: ServerResponse) => void;
  /** Epoch milliseconds. */
  readonly clock: Clock;
  readonly timing?: Partial<ProxyTiming>;
}

export interface AuthenticatorDeps {
  readonly guard: Pick<RevocationGuard, 'check' | 'onChange'>;
  readonly sessions: Pick<SessionStore, 'read'>;
  /** Our `iss`. */
  readonly issuer: string;
  /** The public halves of every signing key that may still have signed a live token; `keys` is read at each token. */
  readonly keys: JSONWebKeySet;
  readonly clock: Clock;
  /** `client_id`s whose tokens are let in without a binding; nobody else's is. Absent: none. */
  readonly unboundClients?: ReadonlySet<string>;
  /** Why a session has ended that its provider or a rule refused; for who has proven to hold it. Absent: nobody knows. */
  readonly whyEnded?: (session: string) => Promise<string | undefined>;
  /** Names of third-party clients by `client_id`, for what their users are told. Absent: there are none. */
  readonly thirdParties?: ReadonlyMap<string, string>;
}

export type AuthenticationRejection = CredentialRejection | 'fenced';

export interface AuthenticationQuestion {
  /** Compact JWS. Never logged. */
  readonly token: string;
  /** The one audience that is asked for: `clusterAudience(NAME)` or `ADMIN_AUDIENCE`. */
  readonly audience: string;
  /** SHA-256 of the connection's client certificate, base64url; undefined where none was presented. */
  readonly thumbprint: string | undefined;
}

/**
 * @returns the caller, or a reason for the record; the wire sees vaguer words
 * @throws SessionUnread `store_unavailable` where the session could not be read; AppError `unauthenticated` with a message for
 *   the user where the session was ended because their provider or a rule refused them
 */
export type Authenticate = (question: AuthenticationQuestion) => Promise<Authentication>;

/** A refusal with the client that the token was issued to, where it is one of ours and there are third-party clients. */
export type Authentication = Result<Caller, AuthenticationRejection> & { readonly client?: string };
