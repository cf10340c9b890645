/**
 * The server, put together: every room is given its real dependencies here and nowhere else. Loaded by `serve` and by the demo only,
 * so that a laptop never pays for it.
 */
import { createSecretKey, hkdfSync } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { createAuditTrail, type AuditTrail } from './audit/audit.ts';
import type { Address, Config } from './config/config.ts';
import { loadSealingKeys, loadSigningKeys, type SealingKeys } from './config/keys.ts';
import { readSecretFile, watchedFile } from './config/files.ts';
import { gateEvent, type GateEventName } from './core/audit-event.ts';
import { consoleClient } from './core/core.ts';
import { compileAllow, compileMapping, mayUse } from './core/claims.ts';
import type { Identity } from './core/identity.ts';
import type { IdentityProviders } from './idp/idp.ts';
import { createOidcProvider } from './idp/oidc.ts';
import { audiences } from './oauth/audiences.ts';
import { createConsoleTokens } from './oauth/console-token.ts';
import { createAuthorizationServer } from './oauth/server.ts';
import { createApiListener, createAuthenticator, type UpstreamCluster } from './proxy/proxy.ts';
import { createReloading, renewContext, type CertificatePair, type Reloading } from './reload.ts';
import { createGate, type Gate } from './revocation/revocation.ts';
import { createMemoryStore } from './store/memory/memory.ts';
import { createRedisStore } from './store/redis/redis.ts';
import type { Store } from './store/store.ts';
import { createHealth, createLogger, createMetrics, createOpsListener, type Logger } from './telemetry/telemetry.ts';
import type { Console } from './web/consoles/deps.ts';
import { createWeb, errorDocument } from './web/web.ts';

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
  const apiCa = await optional(config.listen.api.publicCaFile);
  const allows = allowed(config);
  const authenticate = createAuthenticator({
    gate,
    sessions: store.sessions,
    issuer: config.publicUrl,
    keys: { keys: [...signing.publicJwks.keys] },
    clock,
    unboundClients: new Set(config.consoles.map(({ name }) => consoleClient(name))),
  });
  const providers = await identityProviders(config);
  const authorizationServer = createAuthorizationServer({
    config,
    store,
    providers,
    gate,
    audit,
    signingJwks: signing.privateJwks,
    cookieKeys: [cookieKey(sealing)],
    mayUse: allows,
    ...(apiCa === undefined ? {} : { apiCa }),
    now: clock.now,
    log: logger,
    countRefresh: (outcome) => metrics.refresh(outcome),
    renderErrorPage: errorDocument,
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
    consoles: {
      consoles: await consolesOf(config),
      gate,
      mayUse: allows,
      mintToken: createConsoleTokens({
        config,
        sessions: store.sessions,
        gate,
        audiences: audiences(config, allows),
        signingKey: () => signing.current,
        now: clock.now,
      }),
    },
  });
  const machineHandler: RequestListener = (req, res) => {
    if ((req.url ?? '').startsWith('/-/oauth/')) authorizationServer.handleApi(req, res);
    else if (req.url === '/-/ca.crt' && apiCa !== undefined)
      res.writeHead(200, { 'content-type': 'application/x-pem-file' }).end(apiCa);
    else web.adminApi(req, res);
  };
  const reloading = createReloading(logger);
  const clusters = upstreamClusters(config, reloading);
  const apiCertificate = reloading.certificate(config.listen.api);
  const api = createApiListener({
    publicUrl: config.publicUrl,
    limits: config.limits,
    tls: apiCertificate.current(),
    ...(config.listen.api.proxyProtocol === 'required' ? { proxiesFrom: config.listen.trustedProxies } : {}),
    clusters,
    authenticate,
    gate,
    audit,
    metrics,
    logger,
    machineHandler,
    clock,
  });
  apiCertificate.onChange((pair) => api.useCertificate(pair));
  const webServer = webListener(config, reloading);
  web.serve(webServer);
  const health = createHealth();
  health.add('store', () =>
    store.ping().then(
      () => undefined,
      () => 'the store does not answer',
    ),
  );
  health.add('lease', () => (gate.fenced ? 'no fresh lease: this replica refuses everything' : undefined));
  health.add('audit', () => (audit.blocked ? 'the audit record cannot be written' : undefined));
  const ops = createOpsListener({ metrics, health, logger });
  metrics.observeSessions(() => store.sessions.count());
  metrics.observeView(() => ({ stalenessSeconds: gate.stalenessSeconds, fenced: gate.fenced }));

  const say = (event: GateEventName): void =>
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
  const ports = {
    ops: await listen(ops, config.listen.ops.address),
    api: (await api.listen(config.listen.api.address)).port,
    web: await listen(webServer, config.listen.web.address),
  };
  say('server-started');
  const ready = gate.start();
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    health.drain();
    await api.drain(config.shutdown);
    reloading.stop();
    await gate.stop();
    await Promise.all([close(webServer), close(ops)]);
    say('server-stopped');
    await audit.close();
    await store.close();
  };
  return { audit, gate, store, ready, ports, stop: () => (stopping ??= stop()) };
}

async function openStore(config: Config, sealing: SealingKeys, logger: Logger): Promise<Store> {
  const clock = { now: Date.now };
  if (config.store.kind === 'memory') return createMemoryStore({ clock });
  const { url, prefix, usernameFile, passwordFile, caFile } = config.store;
  const [username, password, ca] = await Promise.all([secret(usernameFile), secret(passwordFile), optional(caFile)]);
  return createRedisStore({
    config: {
      url,
      prefix,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { ca }),
    },
    sealingKeys: sealing,
    clock,
    onError: (error) => logger.warn({ err: error }, 'store'),
  });
}

/** `clusters[].allow` by cluster name. The configuration has compiled each before, so a fault here is a fault of ours. */
function allowed(config: Config): (cluster: string, identity: Identity) => boolean {
  const rules = new Map(
    config.clusters.map(({ name, allow }) => {
      const rule = compileAllow(allow);
      if (!rule.ok) throw new Error(`clusters ${name}: ${rule.reason}`);
      return [name, rule.value];
    }),
  );
  return (cluster, identity) => {
    const rule = rules.get(cluster);
    return rule !== undefined && mayUse(rule, identity);
  };
}

async function identityProviders(config: Config): Promise<IdentityProviders> {
  const entries = config.providers.map(async (provider) => {
    const mapping = compileMapping({ ...provider, maxGroups: config.limits.groups });
    if (!mapping.ok) throw new Error(`providers ${provider.name}: ${JSON.stringify(mapping.reason)}`);
    const { clientSecretFile } = provider;
    const clientSecret = clientSecretFile === undefined ? undefined : watchedFile(clientSecretFile);
    const ca = await optional(provider.caFile);
    return [
      provider.name,
      createOidcProvider({
        name: provider.name,
        issuer: provider.issuer,
        clientId: provider.clientId,
        ...(clientSecret === undefined ? {} : { clientSecret: () => clientSecret() }),
        ...(ca === undefined ? {} : { ca }),
        hosts: provider.hosts,
        ...(provider.scopes === undefined ? {} : { scopes: provider.scopes }),
        redirectUri: `${config.publicUrl}/callback/${provider.name}`,
        mapping: mapping.value,
        now: Date.now,
      }),
    ] as const;
  });
  return new Map(await Promise.all(entries));
}

function upstreamClusters(config: Config, reloading: Reloading): readonly UpstreamCluster[] {
  return config.clusters.map(({ caFile, tokenFile, name, hosts, impersonate, server, serviceAccountPassthrough }) => {
    const rest = { name, hosts, impersonate, server, serviceAccountPassthrough, token: watchedFile(tokenFile) };
    if (caFile === undefined) return rest;
    const authorities = reloading.authorities(caFile);
    return {
      ...rest,
      get ca() {
        return authorities();
      },
    };
  });
}

async function consolesOf(config: Config): Promise<readonly Console[]> {
  return Promise.all(
    config.consoles.map(async ({ caFile, ...console }) => {
      const ca = await optional(caFile);
      return { ...console, ...(ca === undefined ? {} : { ca }) };
    }),
  );
}

/** Cookies must verify on every replica and after a restart, so their key is derived from the sealing key that all of them have. */
const cookieKey = (sealing: SealingKeys): string =>
  Buffer.from(
    hkdfSync('sha256', createSecretKey(sealing.current.key), new Uint8Array(), 'portcullis cookies', 32),
  ).toString('base64url');

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

const optional = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : readFile(path, 'utf8');

const secret = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : readSecretFile(path);
