/**
 * Server: the gate put together. Loaded by `serve` and by the demo only, so that a laptop never pays for it.
 *
 * Owns: which real dependency each room is given, the order of start and stop, readiness, and what is read again when its file changes.
 * Must not know: how any room does its work; no decision about a person or a request is made here.
 */
import type { RequestListener } from 'node:http';
import { hostname, uptime } from 'node:os';
import {
  createAuditTrail,
  createLiveAuditLog,
  createLiveTails,
  createRecentRequests,
  limitRejections,
  startAnchors,
  type AuditTrail,
} from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { AppError } from '../core/errors.ts';
import { consoleClient, DRILL_CLIENT_ID } from '../core/core.ts';
import { componentHealth } from './component-health.ts';
import {
  allowed,
  consolesOf,
  identityProviders,
  openStore,
  optional,
  upstreamClusters,
  workloadRules,
} from './dependencies.ts';
import { audiences } from '../oauth/audiences.ts';
import { createConsoleTokens, mintUnboundToken } from '../oauth/console-token.ts';
import { createRecheck, type Recheck } from '../oauth/recheck.ts';
import { thirdPartyNames, unboundClientIds } from '../oauth/public-clients.ts';
import { createAuthorizationServer } from '../oauth/server.ts';
import { createStreamRecheck, type StreamRecheck } from '../oauth/stream-recheck.ts';
import { createWorkloadExchange } from '../oauth/workload/exchange.ts';
import {
  createApiListener,
  createAuthenticator,
  takePartInDrills,
  type ApiListener,
  type Authenticate,
  type UpstreamCluster,
} from '../proxy/proxy.ts';
import { addressSet } from '../proxy/listener/proxy-protocol.ts';
import { followServerKeys } from './keys.ts';
import { fenceRecord, say, sayConfiguration, sayEnded, type Said } from './server-events.ts';
import { createReadiness } from './readiness.ts';
import { createReloading, type Reloading } from './reload.ts';
import { startResealing } from './reencryption.ts';
import { createRevocationGuard, type RevocationGuard } from '../revocation/revocation.ts';
import {
  costlyRules,
  displacedSignIns,
  observeAuthorities,
  observedProviders,
  observeAuditLog,
  observeStore,
  prepare,
  refusedSignIns,
  serverMetrics,
} from './server-metrics.ts';
import { createEndingReasons } from '../store/ending-reasons.ts';
import type { Store } from '../store/store.ts';
import { createLogger, createOpsListener } from '../telemetry/telemetry.ts';
import { createWeb, errorDocument, type Web } from '../web/web.ts';
import { limitUntakenAnswers } from './unread-responses.ts';
import { close, listen, webListener } from './web-listener.ts';

const UNFIT: ReadonlySet<string> = new Set(['redis_cluster_mode', 'redis_too_old', 'redis_evicts']);

export interface RunningServer {
  readonly audit: AuditTrail;
  readonly guard: RevocationGuard;
  readonly store: Store;
  /** Resolves with the first lease; until then everything is answered 503. */
  readonly ready: Promise<void>;
  readonly ports: { readonly api: number; readonly web: number; readonly ops: number };
  /** Drains as `shutdown` says, then closes everything. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Builds and starts a server. Resolves when all three listeners listen; until the first lease it answers 503 and is not ready.
 * @param replica its name for people, in receipts and in the record: a pod's
 * @throws when a file that the configuration names cannot be used or a port is taken
 */
export async function startServer(config: Config, replica: string = hostname()): Promise<RunningServer> {
  // Closed in the opposite order, each whatever becomes of the others: by `stop`, or here where the start fails. What stayed open then
  // would keep the process alive, and whoever supervises it would take it for a gate that serves.
  await using opening = new AsyncDisposableStack();
  const ground = await layGround(config, replica, opening);
  const { audit, guard, store, metrics, logger, reloading } = ground;
  const authenticate = createAuthenticator({
    guard,
    sessions: store.sessions,
    issuer: config.publicUrl,
    whyEnded: (session) => ground.endings.ofSession(session),
    thirdParties: thirdPartyNames(config.sessions),
    keys: ground.keys.verifying,
    clock: ground.clock,
    unboundClients: new Set([
      DRILL_CLIENT_ID,
      ...config.consoles.map(({ name }) => consoleClient(name)),
      ...unboundClientIds(config.sessions),
    ]),
  });
  const clusters = upstreamClusters(config, reloading);
  const leaving = new AbortController();
  const given = { authenticate, clusters, leaving: leaving.signal };
  const { web, machineHandler, streams } = await signInBudgets(config, ground, given);
  const certificate = reloading.certificate(config.listen.api);
  const api = apiListener(config, ground, { clusters, certificate, authenticate, machineHandler });
  opening.defer(() => api.close());
  const webServer = webListener(config, reloading, metrics);
  web.serve(webServer);
  const health = createReadiness({ ...ground, monotonic: () => performance.now() });
  const ops = createOpsListener({ metrics, health, logger });
  for (const server of [webServer, ops]) limitUntakenAnswers(server);
  let isStarted = false;
  opening.defer(() => {
    if (isStarted) say(ground, 'server-stopped');
  });
  opening.defer(async () => void (await Promise.all([close(webServer), close(ops)])));
  const ports = {
    ops: await listen(ops, config.listen.ops.address),
    api: (await api.listen(config.listen.api.address)).port,
    web: await listen(webServer, config.listen.web.address),
  };
  isStarted = true;
  say(ground, 'server-started');
  sayConfiguration(ground, config, ground.keys);
  opening.defer(() => guard.stop());
  opening.defer(drills(config, ground, { port: ports.api, certificate: () => certificate.current().cert }));
  const ready = guard.start().then(() => ground.fences.begun());
  streams.start();
  opening.defer(() => streams.stop());
  opening.defer(startResealing({ ...ground, sealing: ground.keys.sealing }));
  const opened = opening.move();
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    health.drain();
    leaving.abort();
    ground.tails.stop();
    try {
      await api.drain(config.shutdown);
    } finally {
      await opened.disposeAsync();
    }
  };
  return { audit, guard, store, ready, ports, stop: () => (stopping ??= stop()) };
}

type Ground = Awaited<ReturnType<typeof layGround>>;

/** What every room stands on: the log, the numbers, the keys, the record, the store and the gate. */
async function layGround(config: Config, replica: string, opening: AsyncDisposableStack) {
  const clock = { now: Date.now };
  const logger = createLogger({ level: config.telemetry.logLevel });
  const metrics = serverMetrics(config);
  const audited = (...about: Said): void => say({ audit, clock, replica }, ...about);
  const keys = await followServerKeys(config, {
    clock,
    logger,
    metrics,
    changed: (directory) => audited('files-reloaded', { files: directory }),
  });
  opening.defer(() => keys.stop());
  const reloading = createReloading({
    logger,
    metrics,
    reloaded: (files) => audited('files-reloaded', { files: files.join(' ') }),
  });
  opening.defer(() => reloading.stop());
  const store = openStore(config, keys.sealing, logger, {
    reloading,
    onEpoch: ({ why, knowsLocks }) => audited('epoch-began', { reason: why, survivor: String(knowsLocks) }),
    onDisplaced: displacedSignIns(metrics, clock, (facts) => audited('sign-ins-displaced', facts)),
  });
  opening.defer(() => store.close());
  const live = createLiveAuditLog({ metrics, logger });
  const { sinks, onFailure, writeAhead, rejectionsPerMinute } = config.audit;
  const chain = keys.signingRecord({ replica });
  const syncAhead = writeAhead === 'sync';
  const trail = createAuditTrail({ sinks, onFailure, syncAhead, metrics, logger, chain });
  observeAuditLog(metrics, trail);
  const recent = createRecentRequests({ logger });
  // Outermost, so that live views are no more flooded than files are.
  const audit = limitRejections(recent.wrap(live.wrap(trail)), {
    perMinute: rejectionsPerMinute,
    metrics,
    nowMs: clock.now,
  });
  // Behind the end of the record, so that the last anchor holds the whole of it.
  opening.defer(startAnchors(keys.signingRecord({ trail, replica, store: store.anchors, logger })));
  opening.defer(() => audit.close());
  await refuseUnfit(store);
  recent.start(store.recent);
  const fences = fenceRecord({ audit, clock, replica });
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: config.revocation.staleness,
    replicaName: replica,
    monotonic: () => performance.now(),
    clock,
    uptime: () => uptime() * 1000,
    firstLife: config.store.kind === 'memory',
    longestTokenSeconds: config.sessions.accessToken,
    logger,
    metrics,
    onFenced: (fence) => fences.serves(fence),
    onSessionEnded: (ended) => sayEnded({ audit, clock, replica }, ended),
  });
  live.start(store.live, guard.incarnation);
  guard.onChange((change) => fences.looked(change === undefined && guard.fenced));
  observeStore(metrics, store);
  metrics.observeView(() => ({ stalenessSeconds: guard.stalenessSeconds, fenced: guard.fenced }));
  const tails = createLiveTails(store.live);
  opening.defer(async () => void (await Promise.all([live.stop(), recent.stop()])));
  const endings = createEndingReasons(store.artefacts, clock.now);
  return { replica, clock, logger, metrics, keys, reloading, audit, tails, store, guard, fences, endings };
}

/**
 * A store that is away is waited for; one that can never be used is a mistake that somebody should see at once.
 * @throws AppError `store_unavailable` for Redis Cluster, a server that is too old, or one that evicts what may not be forgotten
 */
async function refuseUnfit(store: Store): Promise<void> {
  const fault = await store.ping().catch((error: unknown) => error);
  if (fault instanceof AppError && UNFIT.has(fault.reason)) throw fault;
}

/** Our authorization server, the pages and the admin API, and the way from `/-/` on the api listener to both. */
async function signInBudgets(
  config: Config,
  ground: Ground,
  {
    authenticate,
    clusters,
    leaving,
  }: {
    readonly authenticate: Authenticate;
    readonly clusters: readonly UpstreamCluster[];
    readonly leaving: AbortSignal;
  },
): Promise<{ readonly web: Web; readonly machineHandler: RequestListener; readonly streams: StreamRecheck }> {
  const { clock, logger, metrics, keys, reloading, store, guard, audit, endings } = ground;
  const apiCa = await optional(config.listen.api.publicCaFile);
  const allows = allowed(config, costlyRules(logger, clock));
  const providers = observedProviders(identityProviders(config, reloading, logger), { metrics, logger, clock });
  prepare(providers, logger);
  const workloads = new Set(config.workload.map(({ name }) => name));
  const recheck = createRecheck({ sessions: store.sessions, providers, workloads, clock, endings });
  const rules = workloadRules(config, reloading);
  const tooManySignIns = refusedSignIns(metrics, clock);
  const { publicUrl, clockSkew } = config;
  const exchange = createWorkloadExchange({ rules, publicUrl, store, guard, clock, clockSkew });
  const authorizationServer = createAuthorizationServer({
    config,
    store,
    recheck,
    endings,
    exchange,
    guard,
    audit,
    signingKeys: keys.signing,
    cookieKeys: keys.cookieKeys,
    mayUse: allows,
    ...(apiCa === undefined ? {} : { apiCa }),
    clock,
    log: logger,
    countRefresh: (outcome) => metrics.refresh(outcome),
    countExchange: (rule, outcome) => metrics.signIn(rule, outcome),
    tooManySignIns,
    renderErrorPage: (error) => errorDocument(error, config.contact),
  });
  const mintToken = createConsoleTokens({
    config,
    sessions: store.sessions,
    guard,
    audiences: audiences(config, allows),
    signingKey: () => keys.signing.current,
    clock,
  });
  const web = createWeb({
    config,
    store,
    providers,
    authorizations: authorizationServer.authorizations,
    devices: authorizationServer.devices,
    guard,
    audit,
    logger,
    metrics,
    clock,
    authenticate,
    oauthHandler: (...request) => authorizationServer.handleWeb(...request),
    tooManySignIns,
    apiCa: () => apiCa,
    consoles: { consoles: consolesOf(config, reloading), guard, mayUse: allows, mintToken },
    tails: ground.tails,
    endings,
    health: componentHealth(config, clusters, ground),
    isTrustedProxy: addressSet(config.listen.trustedProxies),
    leaving,
  });
  const machineHandler: RequestListener = (req, res) => {
    if ((req.url ?? '').startsWith('/-/oauth/')) authorizationServer.handleApi(req, res);
    else if (req.url === '/-/ca.crt' && apiCa !== undefined)
      res.writeHead(200, { 'content-type': 'application/x-pem-file' }).end(apiCa);
    else web.adminApi(req, res);
  };
  return { web, machineHandler, streams: streamRecheck(config, ground, recheck) };
}

/** People with open streams are asked about at their providers. */
const streamRecheck = (
  { sessions }: Config,
  { guard, store, audit, logger, clock }: Ground,
  recheck: Recheck,
): StreamRecheck =>
  createStreamRecheck({
    guard,
    sessions: store.sessions,
    recheck,
    audit,
    log: logger,
    everySeconds: sessions.recheck,
    graceSeconds: sessions.recheckGrace,
    clock,
    random: Math.random,
  });

function apiListener(
  config: Config,
  { guard, audit, metrics, logger, clock, endings }: Ground,
  given: {
    readonly clusters: readonly UpstreamCluster[];
    readonly certificate: ReturnType<Reloading['certificate']>;
    readonly authenticate: Authenticate;
    readonly machineHandler: RequestListener;
  },
): ApiListener {
  const { clusters, certificate, authenticate, machineHandler } = given;
  observeAuthorities(metrics, clusters);
  metrics.observeCertificate('api', () => certificate.current().cert);
  const api = createApiListener({
    publicUrl: config.publicUrl,
    whyEnded: (session) => endings.here(session),
    thirdParties: thirdPartyNames(config.sessions),
    limits: config.limits,
    tls: certificate.current(),
    ...(config.listen.api.proxyProtocol === 'required' ? { proxiesFrom: config.listen.trustedProxies } : {}),
    clusters,
    authenticate,
    guard,
    audit,
    auditPolicy: config.audit,
    metrics,
    logger,
    machineHandler,
    clock,
  });
  certificate.onChange((pair) => api.useCertificate(pair));
  return api;
}

/** This replica's part in drills. @returns ends it */
function drills(
  config: Config,
  { store, guard, keys, logger, clock }: Ground,
  { port, certificate }: { readonly port: number; readonly certificate: () => string },
): () => void {
  const tokens = {
    config,
    sessions: store.sessions,
    guard,
    audiences: audiences(config, allowed(config)),
    signingKey: () => keys.signing.current,
    clock,
  };
  const { address, proxyProtocol } = config.listen.api;
  return takePartInDrills({
    guard,
    artefacts: store.artefacts,
    clusters: config.clusters,
    listener: { address: { host: OWN_ADDRESS[address.host] ?? address.host, port }, certificate },
    behindProxies: proxyProtocol === 'required',
    mintToken: ({ session, cluster }) =>
      mintUnboundToken(tokens, { session, cluster, client: DRILL_CLIENT_ID, lifeSeconds: 60 }),
    logger,
  });
}

/** Where this process reaches a listener of its own that listens everywhere. */
const OWN_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
