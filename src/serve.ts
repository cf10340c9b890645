/**
 * The server, put together: every room is given its real dependencies here and nowhere else. Loaded by `serve` and by the demo only,
 * so that a laptop never pays for it.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { createAuditTrail, type AuditTrail } from './audit/audit.ts';
import type { Address, Config } from './config/config.ts';
import { loadSealingKeys, loadSigningKeys } from './config/keys.ts';
import { gateEvent, type GateEventName } from './core/audit-event.ts';
import { consoleClient } from './core/core.ts';
import {
  allowed,
  consolesOf,
  cookieKey,
  identityProviders,
  openStore,
  optional,
  upstreamClusters,
} from './dependencies.ts';
import { audiences } from './oauth/audiences.ts';
import { createConsoleTokens } from './oauth/console-token.ts';
import { createAuthorizationServer } from './oauth/server.ts';
import { createApiListener, createAuthenticator, type ApiListener, type Authenticate } from './proxy/proxy.ts';
import { createReloading, renewContext, type CertificatePair, type Reloading } from './reload.ts';
import { createGate, type Gate } from './revocation/revocation.ts';
import type { Store } from './store/store.ts';
import { createHealth, createLogger, createMetrics, createOpsListener, type Health } from './telemetry/telemetry.ts';
import { createWeb, errorDocument, type Web } from './web/web.ts';

/** Clocks of replicas and clients may differ by this much (seconds). */
const SKEW_SECONDS = 60;

export interface RunningServer {
  readonly audit: AuditTrail;
  readonly gate: Gate;
  readonly store: Store;
  /** Resolves with the first lease; until then everything is answered 503. */
  readonly ready: Promise<void>;
  readonly ports: { readonly api: number; readonly web: number; readonly ops: number };
  /** Drains as `shutdown` says, then closes everything. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Builds and starts a server. Resolves when all three listeners listen; until the first lease it answers 503 and is not ready.
 * @throws when a file that the configuration names cannot be used or a port is taken
 */
export async function startServer(config: Config): Promise<RunningServer> {
  const ground = await layGround(config);
  const { audit, gate, store, metrics, logger } = ground;
  const reloading = createReloading(logger);
  const authenticate = createAuthenticator({
    gate,
    sessions: store.sessions,
    issuer: config.publicUrl,
    keys: { keys: [...ground.signing.publicJwks.keys] },
    clock: ground.clock,
    unboundClients: new Set(config.consoles.map(({ name }) => consoleClient(name))),
  });
  const { web, machineHandler } = await signInRooms(config, ground, authenticate);
  const api = apiListener(config, ground, { reloading, authenticate, machineHandler });
  const webServer = webListener(config, reloading);
  web.serve(webServer);
  const health = healthOf(ground);
  const ops = createOpsListener({ metrics, health, logger });
  const ports = {
    ops: await listen(ops, config.listen.ops.address),
    api: (await api.listen(config.listen.api.address)).port,
    web: await listen(webServer, config.listen.web.address),
  };
  say(ground, 'server-started');
  const ready = gate.start();
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    health.drain();
    await api.drain(config.shutdown);
    reloading.stop();
    await gate.stop();
    await Promise.all([close(webServer), close(ops)]);
    say(ground, 'server-stopped');
    await audit.close();
    await store.close();
  };
  return { audit, gate, store, ready, ports, stop: () => (stopping ??= stop()) };
}

type Ground = Awaited<ReturnType<typeof layGround>>;

/** What every room stands on: the log, the numbers, the keys, the record, the store and the gate. */
async function layGround(config: Config) {
  const clock = { now: Date.now };
  const logger = createLogger({ level: config.telemetry.logLevel });
  const metrics = createMetrics({
    clusters: config.clusters.map(({ name }) => name),
    providers: config.providers.map(({ name }) => name),
  });
  const [signing, sealing] = await Promise.all([
    loadSigningKeys(config.keys.signingDir),
    loadSealingKeys(config.keys.sealingDir),
  ]);
  const audit = createAuditTrail({ sinks: config.audit.sinks, onFailure: config.audit.onFailure, metrics, logger });
  const store = await openStore(config, sealing, logger);
  const gate = createGate({
    log: store.log,
    stalenessSeconds: config.revocation.staleness,
    replicaName: hostname(),
    monotonic: () => performance.now(),
    clock,
    entryLifeSeconds: config.sessions.accessToken + SKEW_SECONDS,
    logger,
    metrics,
  });
  metrics.observeSessions(() => store.sessions.count());
  metrics.observeView(() => ({ stalenessSeconds: gate.stalenessSeconds, fenced: gate.fenced }));
  return { clock, logger, metrics, signing, sealing, audit, store, gate };
}

/** Our authorization server, the pages and the admin API, and the way from `/-/` on the api listener to both. */
async function signInRooms(
  config: Config,
  ground: Ground,
  authenticate: Authenticate,
): Promise<{ readonly web: Web; readonly machineHandler: RequestListener }> {
  const { clock, logger, metrics, signing, store, gate, audit } = ground;
  const apiCa = await optional(config.listen.api.publicCaFile);
  const allows = allowed(config);
  const providers = await identityProviders(config);
  const authorizationServer = createAuthorizationServer({
    config,
    store,
    providers,
    gate,
    audit,
    signingJwks: signing.privateJwks,
    cookieKeys: [cookieKey(ground.sealing)],
    mayUse: allows,
    ...(apiCa === undefined ? {} : { apiCa }),
    now: clock.now,
    log: logger,
    countRefresh: (outcome) => metrics.refresh(outcome),
    renderErrorPage: errorDocument,
  });
  const mintToken = createConsoleTokens({
    config,
    sessions: store.sessions,
    gate,
    audiences: audiences(config, allows),
    signingKey: () => signing.current,
    now: clock.now,
  });
  const web = createWeb({
    config,
    store,
    providers,
    authorizations: authorizationServer.authorizations,
    gate,
    audit,
    logger,
    metrics,
    clock,
    authenticate,
    oauthHandler: (req, res) => authorizationServer.handleWeb(req, res),
    apiCa: () => apiCa,
    consoles: { consoles: await consolesOf(config), gate, mayUse: allows, mintToken },
  });
  const machineHandler: RequestListener = (req, res) => {
    if ((req.url ?? '').startsWith('/-/oauth/')) authorizationServer.handleApi(req, res);
    else if (req.url === '/-/ca.crt' && apiCa !== undefined)
      res.writeHead(200, { 'content-type': 'application/x-pem-file' }).end(apiCa);
    else web.adminApi(req, res);
  };
  return { web, machineHandler };
}

function apiListener(
  config: Config,
  { gate, audit, metrics, logger, clock }: Ground,
  given: {
    readonly reloading: Reloading;
    readonly authenticate: Authenticate;
    readonly machineHandler: RequestListener;
  },
): ApiListener {
  const { reloading, authenticate, machineHandler } = given;
  const certificate = reloading.certificate(config.listen.api);
  const api = createApiListener({
    publicUrl: config.publicUrl,
    limits: config.limits,
    tls: certificate.current(),
    ...(config.listen.api.proxyProtocol === 'required' ? { proxiesFrom: config.listen.trustedProxies } : {}),
    clusters: upstreamClusters(config, reloading),
    authenticate,
    gate,
    audit,
    metrics,
    logger,
    machineHandler,
    clock,
  });
  certificate.onChange((pair) => api.useCertificate(pair));
  return api;
}

function healthOf({ store, gate, audit }: Ground): Health {
  const health = createHealth();
  health.add('store', () =>
    store.ping().then(
      () => undefined,
      () => 'the store does not answer',
    ),
  );
  health.add('lease', () => (gate.fenced ? 'no fresh lease: this replica refuses everything' : undefined));
  health.add('audit', () => (audit.blocked ? 'the audit record cannot be written' : undefined));
  return health;
}

/** A line of the record about this process itself. */
function say({ audit, clock }: Ground, event: GateEventName): void {
  audit.record(
    gateEvent({
      event,
      auditId: randomUUID(),
      at: clock.now(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      details: { replica: hostname() },
    }),
  );
}

function webListener(config: Config, reloading: Reloading): Server {
  const { tls } = config.listen.web;
  if (tls === undefined) return createHttpServer();
  const certificate = reloading.certificate(tls);
  const context = (pair: CertificatePair) => ({ ...pair, minVersion: 'TLSv1.2' }) as const;
  const server = createHttpsServer(context(certificate.current()));
  certificate.onChange((pair) => renewContext(server, context(pair)));
  return server;
}

async function listen(server: Server, { host, port }: Address): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  server.close();
  server.closeIdleConnections();
  // Pages are answered in milliseconds; what still hangs here hangs on a client.
  const timer = setTimeout(() => server.closeAllConnections(), 1_000);
  await once(server, 'close');
  clearTimeout(timer);
}
