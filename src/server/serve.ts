/**
 * Server: connects the modules. Only `serve` and the demo load it, so that the command line on a user's machine
 * never does.
 *
 * Owns which real dependency each module is given, the order of start and stop, readiness, and which files are
 * watched. Must not know how any module does its work; no decision about a user or a request is made here.
 */
import type { RequestListener } from 'node:http';
import { hostname } from 'node:os';
import type { AuditTrail } from '../audit/audit.ts';
import type { Address, Config } from '../config/config.ts';
import { consoleClient, DRILL_CLIENT_ID } from '../core/core.ts';
import { allowed, outboundProxiesOf, stepUpSettings, upstreamClusters } from './dependencies.ts';
import { audiences } from '../oauth/audiences.ts';
import { mintUnboundToken } from '../oauth/console-token.ts';
import { unboundDelegationClients } from '../oauth/delegation/clients.ts';
import { thirdPartyNames, unboundClientIds } from '../oauth/public-clients.ts';
import {
  closedReporter,
  createApiListener,
  createAuthenticator,
  takePartInDrills,
  type ApiListener,
  type Authenticate,
  type UpstreamCluster,
} from '../proxy/proxy.ts';
import { recordServerEvent, recordConfiguration } from './server-events.ts';
import type { KeyTiming } from './keys.ts';
import { createReadiness } from './readiness.ts';
import type { Reloading } from './reload.ts';
import { startReencryption } from './reencryption.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import { observeCaBundles } from './server-metrics.ts';
import type { Store } from '../store/store.ts';
import { createOpsListener } from '../telemetry/telemetry.ts';
import { FEW_PIPELINED, limitUnreadResponses } from './unread-responses.ts';
import { keepSpace } from './connection-space.ts';
import { close, listen, webListener } from './web-listener.ts';
import { openContext, type ServerContext } from './server-context.ts';
import { createSignIn } from './sign-in.ts';

export interface RunningServer {
  readonly audit: AuditTrail;
  readonly guard: RevocationGuard;
  readonly store: Store;
  /** Resolves with the first lease; until then every response is 503. */
  readonly ready: Promise<void>;
  readonly ports: { readonly api: number; readonly web: number; readonly ops: number };
  /** Drains as `shutdown` says, then closes everything. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Builds and starts a server. Resolves when all three listeners listen; until the first lease it responds with 503
 * and is not ready.
 * @param replica its name for display, in receipts and in the audit log: a pod's
 * @param keyTiming only tests give it
 * @throws when a file that the configuration names cannot be used or a port is taken
 */
export async function startServer(
  config: Config,
  replica: string = hostname(),
  keyTiming: KeyTiming = {},
): Promise<RunningServer> {
  // Closed in the opposite order, each whatever happens to the others: by `stop`, or here if the start fails.
  // Anything left open would keep the process alive, and a supervisor would think that it serves.
  await using opening = new AsyncDisposableStack();
  const context = await openContext(config, replica, opening, keyTiming);
  const { audit, guard, store, metrics, logger, reloading } = context;
  // Of what is made further down, which has the authenticator.
  let suspectGrants: (session: string) => void = () => undefined;
  const authenticate = createAuthenticator({
    guard,
    sessions: store.sessions,
    issuer: config.publicUrl,
    whyEnded: (session) => context.endings.ofSession(session),
    thirdParties: thirdPartyNames(config.sessions),
    keys: context.keys.verifying,
    clock: context.clock,
    access: {
      roles: config.access.roles,
      monotonicMs: () => performance.now(),
      onIneligibleGrant: (_grant, { id }) => suspectGrants(id),
    },
    unboundClients: new Set([
      DRILL_CLIENT_ID,
      ...config.consoles.map(({ name }) => consoleClient(name)),
      ...unboundClientIds(config.sessions),
      ...unboundDelegationClients(config.delegation),
    ]),
  });
  const clusters = upstreamClusters(config, reloading);
  const leaving = new AbortController();
  const given = { authenticate, clusters, leaving: leaving.signal };
  const { web, machineHandler, streams, access } = await createSignIn(config, context, given);
  suspectGrants = (session) => access.endings.suspect(session);
  opening.defer(() => access.notices.close());
  const certificate = reloading.certificate(config.listen.api);
  const api = apiListener(config, context, { clusters, certificate, authenticate, machineHandler });
  opening.defer(() => api.close());
  const webServer = webListener(config, reloading, metrics);
  web.serve(webServer);
  const health = createReadiness({ ...context, monotonicMs: () => performance.now() });
  const ops = createOpsListener({ metrics, health, logger }, FEW_PIPELINED);
  // A page takes 0.3 ms, and metrics 1.7 ms, where a rejection of the api listener takes 0.1 ms.
  limitUnreadResponses(webServer, { weight: 4 });
  limitUnreadResponses(ops, { weight: 16 });
  keepSpace(webServer, { onClosed: closedReporter(context, 'limits.connections at the web listener') });
  let isStarted = false;
  opening.defer(() => {
    if (isStarted) recordServerEvent(context, 'server-stopped');
  });
  opening.defer(async () => void (await Promise.all([close(webServer), close(ops)])));
  const ports = {
    ops: await listen(ops, config.listen.ops.address),
    api: (await api.listen(config.listen.api.address)).port,
    web: await listen(webServer, config.listen.web.address),
  };
  isStarted = true;
  recordServerEvent(context, 'server-started');
  logger.info(
    {
      api: addressOf(config.listen.api.address, ports.api),
      web: addressOf(config.listen.web.address, ports.web),
      ops: addressOf(config.listen.ops.address, ports.ops),
    },
    'listening',
  );
  const { digest, version } = recordConfiguration(context, config, context.keys);
  const { signing, sealing } = context.keys;
  // Names that the log's redaction accepts: ids of keys are no secrets.
  const kids = { signingKeyId: signing.current.kid, sealingKeyId: sealing.current.kid };
  logger.info({ digest, version, ...kids }, 'configuration loaded');
  for (const facts of outboundProxiesOf(config)) logger.info(facts, 'using an outbound proxy');
  opening.defer(() => guard.stop());
  opening.defer(drills(config, context, { port: ports.api, certificate: () => certificate.current().cert }));
  const serving = guard.start().then(() => context.fences.started());
  const ready = serving.then(() => access.usage.start());
  opening.defer(() => access.usage.stop());
  streams.start();
  opening.defer(() => streams.stop());
  access.endings.start();
  opening.defer(() => access.endings.stop());
  opening.defer(startReencryption({ ...context, sealing: context.keys.sealing }));
  const opened = opening.move();
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    logger.info({ replica }, 'shutting down');
    health.drain();
    leaving.abort();
    context.tails.stop();
    try {
      await api.drain(config.shutdown);
    } finally {
      await opened.disposeAsync();
    }
  };
  return { audit, guard, store, ready, ports, stop: () => (stopping ??= stop()) };
}

const addressOf = ({ host }: Address, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

function apiListener(
  config: Config,
  { guard, audit, metrics, logger, clock, endings }: ServerContext,
  given: {
    readonly clusters: readonly UpstreamCluster[];
    readonly certificate: ReturnType<Reloading['certificate']>;
    readonly authenticate: Authenticate;
    readonly machineHandler: RequestListener;
  },
): ApiListener {
  const { clusters, certificate, authenticate, machineHandler } = given;
  observeCaBundles(metrics, clusters);
  metrics.observeCertificate('api', () => certificate.current().cert);
  const api = createApiListener({
    publicUrl: config.publicUrl,
    whyEnded: (session) => endings.here(session),
    thirdParties: thirdPartyNames(config.sessions),
    delegation: config.delegation,
    stepUp: stepUpSettings(config),
    access: { roles: config.access.roles, workloads: new Set(config.workload.map(({ name }) => name)) },
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

/**
 * Makes this replica take part in drills.
 * @returns a function that ends it
 */
function drills(
  config: Config,
  { store, guard, keys, logger, clock }: ServerContext,
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
    listener: { address: { host: LOCAL_ADDRESS[address.host] ?? address.host, port }, certificate },
    behindProxies: proxyProtocol === 'required',
    mintToken: ({ session, cluster }) =>
      mintUnboundToken(tokens, { session, cluster, client: DRILL_CLIENT_ID, lifeSeconds: 60 }),
    logger,
  });
}

/** Addresses at which this process reaches its listener if that listens on all addresses. */
const LOCAL_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
