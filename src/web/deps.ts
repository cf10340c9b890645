/**
 * What the web room is given. main.ts hands in the real things; the room itself builds no connection and reads no file but its
 * own assets.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuditTrail } from '../audit/audit.ts';
import type { LiveTails } from '../audit/live/live-tails.ts';
import type { Config } from '../config/config.ts';
import type { Caller } from '../core/credential/credential.ts';
import type { Result } from '../core/result.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import type { Gate } from '../revocation/revocation.ts';
import type { EndingReasons, Store } from '../store/store.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsoleParts } from './consoles/deps.ts';

/** The parts of the configuration that pages and the admin API need. */
export type WebConfig = Pick<
  Config,
  'publicUrl' | 'clusters' | 'admin' | 'sessions' | 'limits' | 'clockSkew' | 'contact'
> & {
  readonly providers: readonly Pick<Config['providers'][number], 'name' | 'type'>[];
  readonly workload: readonly Pick<Config['workload'][number], 'name' | 'role' | 'clusters'>[];
};

/** An authorization request of an OAuth client that waits for its person. Same shape as room `oauth` spells it. */
export interface PendingAuthorization {
  readonly uid: string;
  readonly clientId: string;
  readonly clientName: string;
  /** Not yet checked. */
  readonly providerHint?: string;
  /** The client asks for a sign-in that proves anew who the person is (`prompt=login`, or `max_age=0`). */
  readonly fresh?: true;
}

/** The seam to our authorization server. The two rooms never import each other, so the shape is declared on both sides. */
export interface Authorizations {
  /** Throws `AppError` `sign_in_expired` when unknown, too old, or without the cookie of the browser that began it. */
  pending(req: IncomingMessage, res: ServerResponse): Promise<PendingAuthorization>;
  grant(
    req: IncomingMessage,
    res: ServerResponse,
    session: { readonly id: string; readonly account: string },
  ): Promise<void>;
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: { readonly error: string; readonly description: string },
  ): Promise<void>;
}

/** A device that waits for its code to be typed (RFC 8628). Same shape as room `oauth` spells it. */
export interface DeviceRequest {
  readonly clientId: string;
  readonly clientName: string;
  readonly address: string;
  /** The device's own words. */
  readonly userAgent: string;
  /** Names of the clusters that it asks for; absent: all that the person may use. */
  readonly audiences?: readonly string[];
}

/** Each throws `AppError` `sign_in_expired` for a code that is unknown, expired or decided about. */
export interface DeviceRequests {
  find(userCode: string): Promise<DeviceRequest>;
  allow(userCode: string, session: { readonly id: string; readonly account: string }): Promise<void>;
  refuse(userCode: string, description?: string): Promise<void>;
}

/** As pino has it. */
interface Logger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export type SignInOutcome = 'ok' | 'refused' | 'unavailable';

interface WebMetrics extends Pick<Metrics, 'logoutRefused'> {
  /** `provider` is a configured name, or `unknown`. */
  signIn(provider: string, outcome: SignInOutcome): void;
}

/** Checks an access token as the data plane does. `reason` is for the record only. @throws SessionUnread where the store is unavailable */
type Authenticate = (request: {
  readonly token: string;
  readonly audience: string;
  /** SHA-256 of the connection's client certificate, base64url. */
  readonly thumbprint: string | undefined;
}) => Promise<Result<Caller, string>>;

export interface WebDeps {
  readonly config: WebConfig;
  readonly store: Pick<Store, 'artefacts' | 'sessions' | 'locks' | 'freshSignIns' | 'recent'> & {
    readonly log: Pick<Store['log'], 'position' | 'announceDrill' | 'hasWritten'>;
  };
  readonly providers: IdentityProviders;
  readonly authorizations: Authorizations;
  /** Absent: nobody signs in by a code. */
  readonly devices?: DeviceRequests;
  readonly gate: Pick<
    Gate,
    | 'position'
    | 'fenced'
    | 'check'
    | 'revoke'
    | 'hold'
    | 'answer'
    | 'onAnswer'
    | 'onChange'
    | 'replicas'
    | 'refresh'
    | 'sessionsInFlight'
  >;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly logger: Logger;
  readonly metrics: WebMetrics;
  /** Milliseconds since the epoch. */
  readonly clock: { now(): number };
  readonly authenticate: Authenticate;
  /**
   * Serves `/oauth/…` and `/.well-known/…`; sees the request before anything of ours has read its body.
   * @param address where the client is, as this listener knows it
   */
  readonly oauthHandler: (req: IncomingMessage, res: ServerResponse, address: string) => void;
  /**
   * Counts a sign-in that is refused because its address has begun too many. One for both listeners.
   * @returns how many of that address to audit now; undefined: none
   */
  readonly tooManySignIns: (address: string) => number | undefined;
  /** PEM of the CA that a kubeconfig should trust for the api listener; undefined: the system's. */
  readonly apiCa?: () => string | undefined;
  /** Why a session has ended that its provider or a rule refused; absent: nobody is told. */
  readonly endings?: Pick<EndingReasons, 'ofSession'>;
  /** In-cluster web consoles, each on a host name of its own; absent: none. */
  readonly consoles?: ConsoleParts;
  /** Tails of the live record; absent: there are none. */
  readonly tails?: LiveTails;
  /** Whether clusters and identity providers answer, as this replica sees it; absent: nobody has looked. */
  readonly health?: Health;
  /** `listen.trustedProxies`: who may say at the web listener where a browser is; absent: nobody. */
  readonly isTrustedProxy?: (address: string) => boolean;
  /** Aborts when this replica begins to leave: event streams then end in good order, so that their readers go elsewhere. */
  readonly leaving?: AbortSignal;
}

/** One cluster or identity provider, as this replica found it when it last looked. */
export interface ComponentHealth {
  readonly name: string;
  readonly state: 'up' | 'down';
  /** Epoch seconds of the look. */
  readonly checkedAt: number;
  /** How long the answer took. */
  readonly ms?: number;
  /** Of `down`: what went wrong, in words that name no address and quote nothing that was sent. */
  readonly problem?: string;
}

/** A look is made when somebody asks, costs one request at each component, and stands for ten seconds. Never rejects. */
export interface Health {
  clusters(): Promise<readonly ComponentHealth[]>;
  providers(): Promise<readonly ComponentHealth[]>;
}

/** Epoch seconds, the unit of everything that is stored. */
export const nowSeconds = (deps: Pick<WebDeps, 'clock'>): number => Math.floor(deps.clock.now() / 1000);
