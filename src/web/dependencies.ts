/**
 * The dependencies of the web module. `server` builds the real parts; this module opens no connection and reads
 * only its own assets.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { AdminApiDeps } from '../api/api.ts';
import type { AdminConfig, RevocationResults } from '../services/admin/admin.ts';
import type { Config } from '../config/config.ts';
import type { Authorizations, DeviceRequests } from '../contracts/authorization.ts';
import type { StepUps } from '../services/step-up/step-up.ts';
import type { EndingReasons } from '../store/store.ts';
import type { Metrics } from '../telemetry/types.ts';
import type { RecheckBrowser } from './browser/recheck.ts';
import type { ConsoleParts } from './consoles/dependencies.ts';

/** The parts of the configuration that the pages need. */
export type WebConfig = AdminConfig &
  Pick<Config, 'limits' | 'contact' | 'installUrl' | 'delegation'> & {
    readonly access: Pick<Config['access'], 'roles' | 'freshness'>;
    readonly providers: readonly Pick<Config['providers'][number], 'name' | 'type' | 'freshness'>[];
  };

export type SignInOutcome = 'ok' | 'refused' | 'unavailable';

interface WebMetrics extends Pick<Metrics, 'logoutRefused'> {
  /** `provider` is a configured name, or `unknown`. */
  signIn(provider: string, outcome: SignInOutcome): void;
  /** Absent: it is not counted. */
  stepUp?(outcome: 'done' | 'refused'): void;
}

export interface WebDeps extends AdminApiDeps {
  readonly config: WebConfig;
  readonly authorizations: Authorizations;
  /** Of the replicas together, the one to sign with first. */
  readonly cookieKeys: () => readonly string[];
  /** Absent: no provider is asked again. */
  readonly recheck?: RecheckBrowser;
  /** Absent: there are no sign-ins by device code. */
  readonly devices?: DeviceRequests;
  /** Absent: no session is proven again. */
  readonly stepUps?: StepUps;
  readonly metrics: WebMetrics;
  /**
   * Serves `/oauth/…` and `/.well-known/…`. It receives the request before any of our handlers has read the body.
   *
   * @param address of the client, as this listener determined it
   */
  readonly oauthHandler: (req: IncomingMessage, res: ServerResponse, address: string) => void;
  /**
   * Counts a sign-in that is rejected because its address has begun too many. Both listeners share one count.
   *
   * @returns how many of that address to audit now; undefined: none
   */
  readonly tooManySignIns: (address: string) => number | undefined;
  /** PEM of the CA that a kubeconfig should trust for the api listener; undefined: the system's. */
  readonly apiCa?: () => string | undefined;
  /**
   * Keeps and returns why a session was ended because its provider or a rule rejected the user, or with its account. Absent: no
   * reasons are shown.
   */
  readonly endings?: Pick<EndingReasons, 'ofSession' | 'keep'>;
  /** In-cluster web consoles, each on a host name of its own; absent: none. */
  readonly consoles?: ConsoleParts;
  /** Where receipts are kept, if another module writes some too. Absent: there are those of admins only. */
  readonly results?: RevocationResults;
  /** Further APIs for programs below `/-/`; each passes on what is not its own. Absent: there is the admin API only. */
  readonly programs?: readonly RequestHandler[];
  /** `listen.trustedProxies`: the proxies whose forwarded address the web listener believes. Absent: none. */
  readonly isTrustedProxy?: (address: string) => boolean;
}
