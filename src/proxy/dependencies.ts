/** What the data plane is given. main.ts hands in the real things; the room itself reads no file and no environment. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import type { AuditTrail } from '../audit/audit.ts';
import type { ClusterConfig, Config } from '../config/config.ts';
import type { Gate } from '../revocation/revocation.ts';
import type { SessionStore } from '../store/store.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Authenticate } from './authenticate.ts';

/** One API server behind the gate. */
export interface UpstreamCluster extends Pick<ClusterConfig, 'name' | 'hosts' | 'impersonate'> {
  /** `https://host:port`, without a path. */
  readonly server: string;
  /** PEM; absent: the system's authorities. */
  readonly ca?: string;
  /** The gate's own credential there. Asked before each request, because the file is rotated under us. Throws when there is none. */
  token(): string | Promise<string>;
}

/** Every wait of the data plane, in milliseconds. */
export interface ProxyTiming {
  /** TCP and TLS towards the API server. */
  readonly connectMs: number;
  /** From the request to the API server's first header, where the request is not long-running. */
  readonly answerMs: number;
  /** Between two pieces of a body, where the request is not long-running. */
  readonly bodyMs: number;
  /** From an upgrade request to the API server's answer. */
  readonly upgradeMs: number;
}

/**
 * `answerMs`: an API server ends an ordinary request after 60 s by itself (`--request-timeout`), so whoever is silent for longer is not
 * going to answer. `connectMs`: DESIGN 9.
 */
export const DEFAULT_TIMING: ProxyTiming = { connectMs: 10_000, answerMs: 75_000, bodyMs: 120_000, upgradeMs: 30_000 };

export interface ProxyLogger {
  info(facts: Record<string, unknown>, message: string): void;
  warn(facts: Record<string, unknown>, message: string): void;
  error(facts: Record<string, unknown>, message: string): void;
}

export type ProxyMetrics = Pick<Metrics, 'request' | 'upstreamError' | 'streamOpened' | 'refusal'>;

export type Clock = { now(): number };

export interface ApiListenerDeps {
  /** The web listener's public URL: what `portcullis login --server` takes. */
  readonly publicUrl: Config['publicUrl'];
  readonly limits: Pick<Config['limits'], 'headerBytes' | 'connections'>;
  /** PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
  readonly clusters: readonly UpstreamCluster[];
  readonly authenticate: Authenticate;
  readonly gate: Gate;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly metrics: ProxyMetrics;
  readonly logger: ProxyLogger;
  /** Serves every path under `/-/`: the machine-to-machine OAuth endpoints and the admin API for programs. */
  readonly machineHandler: (req: IncomingMessage, res: ServerResponse) => void;
  /** Epoch milliseconds. */
  readonly clock: Clock;
  readonly timing?: Partial<ProxyTiming>;
}

export interface AuthenticatorDeps {
  readonly gate: Pick<Gate, 'check' | 'onChange'>;
  readonly sessions: Pick<SessionStore, 'read'>;
  /** Our `iss`. */
  readonly issuer: string;
  /** The public halves of every signing key that may still have signed a live token. */
  readonly keys: JSONWebKeySet;
  readonly clock: Clock;
}
