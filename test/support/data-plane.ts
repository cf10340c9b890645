/** The data plane as in production, with the memory store and a recording upstream: for tests of the modules proxy and revocation. */
import { randomUUID, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { CryptoKey, JWTPayload } from 'jose';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { certificateThumbprint } from '../../src/core/credential/thumbprint.ts';
import { clusterAudience, PLUGIN_CLIENT_ID } from '../../src/core/core.ts';
import type { Identity } from '../../src/core/identity/identity.ts';
import { createApiListener, createAuthenticator } from '../../src/proxy/proxy.ts';
import type { ApiListener, ApiListenerDeps, Authenticate, GrantSettings, ProxyTiming } from '../../src/proxy/proxy.ts';
import { createRevocationGuard } from '../../src/revocation/guard.ts';
import type { RevocationGuard } from '../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import type { RevocationLog, SessionRecord, SessionStore, Store } from '../../src/store/store.ts';
import { tokenClaims } from './token-claims.ts';
import { DELEGATION } from './delegation-settings.ts';
import { HOST } from './raw-connection.ts';
import { makeCertificate, startUpstream } from './upstream.ts';
import type { RecordingUpstream, TestCertificate } from './upstream.ts';

export { HOST, rawConnection, type RawConnection } from './raw-connection.ts';

const PUBLIC_URL = 'https://portcullis.test';

export const ALICE: Identity = {
  username: 'corp:alice@example.com',
  uid: 'corp/alice',
  groups: ['corp:developers', 'corp:on-call, nights'],
  extra: {},
};

export interface Counted {
  readonly rejections: string[];
  readonly upstreamErrors: string[];
  /** Cluster and verdict of each. */
  readonly delegated: string[];
  readonly requests: { cluster: string; verb: string; code: number; seconds?: number }[];
  /** The cluster of each request that needed a more recent proof. */
  readonly stepUpNeeded: string[];
  /** Streams open now. */
  streams: number;
  /** Sessions that were used from too many addresses. */
  manyAddresses: number;
}

export interface TestPlane {
  readonly store: Store;
  readonly guard: RevocationGuard;
  readonly authenticate: Authenticate;
  readonly listener: ApiListener;
  readonly port: number;
  readonly ca: string;
  readonly upstream: RecordingUpstream;
  readonly audited: AuditEvent[];
  /** What was written before the API server was asked. */
  readonly ahead: AuditEvent[];
  readonly counted: Counted;
  /** Moves the wall clock. */
  advance(seconds: number): void;
  readonly signingKey: CryptoKey;
  close(): Promise<void>;
}

export interface PlaneOptions {
  /** To share a store and an upstream between replicas. */
  readonly beside?: TestPlane;
  /** One of its own, such as Redis; anyone who opens it closes it. */
  readonly store?: Store;
  /** Wraps the log, for a store that is unavailable. */
  readonly log?: (log: RevocationLog) => RevocationLog;
  /** Wraps the reading of sessions, for a store that is slow. */
  readonly read?: (read: SessionStore['read']) => SessionStore['read'];
  /** Wraps the question of the revocation guard, which can so be shut before anything has cut what is in flight. */
  readonly check?: (check: RevocationGuard['check']) => RevocationGuard['check'];
  readonly stalenessSeconds?: number;
  readonly timing?: Partial<ProxyTiming>;
  readonly memoryInUse?: () => number;
  readonly systemBuffers?: ApiListenerDeps['systemBuffers'];
  readonly auditBlocked?: () => boolean;
  readonly auditBacklogged?: (account: string) => boolean;
  /** Absent: it is written. */
  readonly recordAhead?: ApiListenerDeps['audit']['recordAhead'];
  readonly auditPolicy?: NonNullable<ApiListenerDeps['auditPolicy']>;
  readonly cluster?: Partial<ApiListenerDeps['clusters'][number]>;
  /** Clusters in addition to `prod`. */
  readonly otherClusters?: ApiListenerDeps['clusters'];
  readonly limits?: Partial<ApiListenerDeps['limits']>;
  readonly proxiesFrom?: readonly string[];
  readonly machineHandler?: ApiListenerDeps['machineHandler'];
  readonly thirdParties?: ReadonlyMap<string, string>;
  readonly delegation?: Partial<ApiListenerDeps['delegation']>;
  /** Roles that users may ask for, and what is told of a grant that is to be ended. */
  readonly access?: Omit<GrantSettings, 'monotonicMs'>;
  /** Requests that need a recent proof. */
  readonly stepUp?: NonNullable<ApiListenerDeps['stepUp']>;
  /** Names of workload rules. */
  readonly workloads?: readonly string[];
  /** Absent: that of the process. */
  readonly monotonicMs?: () => number;
}

export async function startPlane(options: PlaneOptions = {}): Promise<TestPlane> {
  const { beside } = options;
  let skew = 0;
  const clock = { nowMs: () => Date.now() + skew };
  const { access = { roles: [] }, monotonicMs = () => performance.now() } = options;
  const store = options.store ?? beside?.store ?? createMemoryStore({ clock });
  const upstream = beside?.upstream ?? (await startUpstream());
  const keys = await generateKeyPair('ES256', { extractable: true });
  const signingKey = beside?.signingKey ?? keys.privateKey;
  const { kty, crv, x, y } = await exportJWK(signingKey);
  const jwk = { ...defined({ kty, crv, x, y }), kid: 'k1', alg: 'ES256', use: 'sig' };
  const certificate = await makeCertificate(HOST);
  const guard = createRevocationGuard({
    log: options.log?.(store.log) ?? store.log,
    stalenessSeconds: options.stalenessSeconds ?? 2,
    replicaName: beside === undefined ? 'replica-a' : 'replica-b',
    monotonicMs,
    // Not the one that tests move: a jump of it is a fence.
    clock: { nowMs: Date.now },
    sessions: store.sessions,
    isFirstGeneration: options.store === undefined,
    longestTokenSeconds: 600,
  });
  if (options.check !== undefined) guard.check = options.check(guard.check.bind(guard));
  const audited: AuditEvent[] = [];
  const ahead: AuditEvent[] = [];
  const counted: Counted = {
    rejections: [],
    upstreamErrors: [],
    delegated: [],
    requests: [],
    stepUpNeeded: [],
    streams: 0,
    manyAddresses: 0,
  };
  const thirdParties = options.thirdParties ?? new Map<string, string>();
  const read: SessionStore['read'] = (id) => store.sessions.read(id);
  const authenticate = createAuthenticator({
    guard,
    sessions: { read: options.read?.(read) ?? read },
    issuer: PUBLIC_URL,
    keys: { keys: [jwk] },
    clock,
    thirdParties,
    access: { ...access, monotonicMs },
  });
  const listener = createApiListener({
    publicUrl: PUBLIC_URL,
    thirdParties,
    delegation: { ...DELEGATION, ...options.delegation },
    access: { roles: access.roles, workloads: new Set(options.workloads) },
    limits: { headerBytes: 16_384, connections: 1000, ...options.limits },
    tls: certificate,
    clusters: [
      {
        name: 'prod',
        hosts: [HOST],
        server: upstream.server,
        ca: upstream.ca,
        token: () => 'upstream-token',
        impersonate: { groups: '*', extra: [], constrained: 'off' },
        ...options.cluster,
      },
      ...(options.otherClusters ?? []),
    ],
    authenticate,
    guard,
    audit: {
      record: (event) => void audited.push(event),
      recordAhead: async (event) => {
        ahead.push(event);
        return (await options.recordAhead?.(event)) ?? true;
      },
      get blocked() {
        return options.auditBlocked?.() ?? false;
      },
      backlogged: (account) => options.auditBacklogged?.(account) ?? false,
    },
    metrics: {
      request: (counts) => void counted.requests.push(counts),
      rejection: (reason) => void counted.rejections.push(reason),
      sensitiveRequest: () => undefined,
      delegatedRequest: (cluster, verdict) => void counted.delegated.push(`${cluster} ${verdict}`),
      cut: () => undefined,
      stepUpNeeded: (cluster) => void counted.stepUpNeeded.push(cluster),
      sessionAddressesExceeded: () => void (counted.manyAddresses += 1),
      upstreamError: (_cluster, kind) => void counted.upstreamErrors.push(kind),
      streamOpened: () => {
        counted.streams += 1;
        return () => void (counted.streams -= 1);
      },
    },
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    machineHandler: options.machineHandler ?? ((_req, res) => void res.writeHead(204).end()),
    clock,
    ...(options.timing === undefined ? {} : { timing: options.timing }),
    ...defined({ memoryInUse: options.memoryInUse, systemBuffers: options.systemBuffers }),
    ...(options.proxiesFrom === undefined ? {} : { proxiesFrom: options.proxiesFrom }),
    ...(options.auditPolicy === undefined ? {} : { auditPolicy: options.auditPolicy }),
    ...(options.stepUp === undefined ? {} : { stepUp: options.stepUp }),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  await guard.start();
  return {
    store,
    guard,
    authenticate,
    listener,
    port,
    ca: certificate.cert,
    upstream,
    audited,
    ahead,
    counted,
    signingKey,
    advance: (seconds) => void (skew += seconds * 1000),
    close: async () => {
      await listener.close();
      await guard.stop();
      if (beside === undefined) await upstream.close();
    },
  };
}

/** One user with one client certificate. */
export interface TestUser {
  readonly session: SessionRecord;
  readonly certificate: TestCertificate;
  readonly thumbprint: string;
  readonly token: string;
}

export const thumbprintOf = (pem: string): string => certificateThumbprint(new X509Certificate(pem).raw);

export interface SignInOptions {
  readonly subject?: string;
  readonly identity?: Identity;
  /** Seconds from now. */
  readonly sessionLife?: number;
  readonly idleSeconds?: number;
  /** The certificate to use, where it is not a new one. */
  readonly at?: TestUser;
}

/** Opens a session and mints its first token, as sign-in and the token endpoint do. */
export async function signIn(plane: TestPlane, options: SignInOptions = {}): Promise<TestUser> {
  const certificate = options.at?.certificate ?? (await makeCertificate('client.test'));
  const thumbprint = thumbprintOf(certificate.cert);
  const subject = options.subject ?? 'alice';
  const now = Math.floor(Date.now() / 1000);
  const id = randomUUID();
  const opened = await plane.store.sessions.open(
    {
      id,
      account: `corp/${subject}`,
      provider: 'corp',
      subject,
      client: PLUGIN_CLIENT_ID,
      identity: options.identity ?? ALICE,
      createdAt: now,
      expiresAt: now + (options.sessionLife ?? 86_400),
      idleSeconds: options.idleSeconds ?? 43_200,
      address: '127.0.0.1',
      userAgent: 'test',
      startedAt: await plane.store.log.position(),
      // As at a provider that asked again: earlier tests may have revoked the account.
      authTime: now,
    },
    {},
  );
  if (!opened.ok) throw new Error(opened.reason);
  return mint(plane, { id, certificate, thumbprint });
}

export async function mint(
  plane: TestPlane,
  {
    id,
    certificate,
    thumbprint,
  }: { readonly id: string; readonly certificate: TestCertificate; readonly thumbprint: string },
): Promise<TestUser> {
  const minted = await plane.store.sessions.mint(id, { thumbprint });
  if (!minted.ok) throw new Error(minted.reason);
  const claims = claimsOf(minted.record, thumbprint, minted.position);
  return { session: minted.record, certificate, thumbprint, token: await sign(plane.signingKey, claims) };
}

export function claimsOf(
  record: SessionRecord,
  thumbprint: string,
  position: { readonly epoch: string; readonly number: number },
): JWTPayload {
  const audience = clusterAudience('prod');
  return tokenClaims({ record, thumbprint, position, issuer: PUBLIC_URL, audience, lifeSeconds: 300 });
}

export function sign(key: CryptoKey, claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k1', ...header }).sign(key);
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly token?: string | null;
  /** null: no client certificate. */
  readonly certificate?: TestCertificate | null;
  readonly host?: string;
  readonly body?: string;
  /** Of the client, such as 127.0.0.2. */
  readonly from?: string;
}

export interface Called {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The body as JSON. */
  json(): { readonly kind?: string; readonly message?: string; readonly reason?: string; readonly code?: number };
}

/** One request on its own connection, as kubectl would send it. */
export async function call(plane: TestPlane, user: TestUser, path: string, options: CallOptions = {}): Promise<Called> {
  const req = open(plane, user, path, options);
  req.end(options.body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const text = await textOf(res);
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    text,
    json: () => JSON.parse(text) as ReturnType<Called['json']>,
  };
}

/** The same, not yet ended. */
export function open(
  plane: TestPlane,
  user: TestUser,
  path: string,
  options: CallOptions = {},
): ReturnType<typeof request> {
  const certificate = options.certificate === undefined ? user.certificate : options.certificate;
  const token = options.token === undefined ? user.token : options.token;
  const req = request({
    host: '127.0.0.1',
    port: plane.port,
    servername: HOST,
    ca: plane.ca,
    agent: false,
    ...(options.from === undefined ? {} : { localAddress: options.from }),
    path,
    method: options.method ?? 'GET',
    headers: {
      host: options.host ?? HOST,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...options.headers,
    },
    ...certificate,
  });
  // A cut reaches the request as an error even when its response has begun; a test that waits for one receives it all the same.
  req.on('error', () => undefined);
  return req;
}

/** A flat header list as pairs. */
export function pairsOf(raw: readonly string[] = []): (readonly [string, string])[] {
  return raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ''] as const] : []));
}

async function textOf(res: IncomingMessage): Promise<string> {
  let text = '';
  res.setEncoding('utf8');
  for await (const chunk of res as AsyncIterable<string>) text += chunk;
  return text;
}

/** Waits until `condition` is true; looks at each turn of the event loop. */
export async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** Waits until a number stops changing: nothing is in transit any more. */
export async function standstill(count: () => number): Promise<void> {
  let [before, still] = [-1, 0];
  const isStill = (): boolean => {
    still = before === count() ? still + 1 : 0;
    before = count();
    return still > 100;
  };
  await until(isStill, 'a standstill', 30_000);
}

function defined<T extends Record<string, unknown>>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return values as { [K in keyof T]: Exclude<T[K], undefined> };
}
