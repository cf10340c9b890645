/**
 * The api listener: TLS, limits, and its end. HTTP/1.1 and HTTP/2 share one port by ALPN.
 */
import { constants } from 'node:crypto';
import { createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import type { Address, Config } from '../../config/config.ts';
import { orElse } from '../../core/awaitable.ts';
import { acceptOn } from './accept.ts';
import { closedReporter, ConnectionLimit } from './connection-limit.ts';
import { memoryInUse } from './memory.ts';
import { ConnectionTable } from './connection.ts';
import { dropReporter } from './drops.ts';
import { DataPlane } from '../data-plane.ts';
import { DEFAULT_TIMING } from '../dependencies.ts';
import type { ApiListenerDeps, ServerCertificate } from '../dependencies.ts';
import { headersFlood, headersTooLarge, hostRejection, http2Rejection, MAX_HEADERS } from './framing.ts';
import { recordMalformed, routeHttp1 } from './http1-routes.ts';
import type { Routes } from './http1-routes.ts';
import { http2Client } from './http2-client.ts';
import { Http2Sessions } from './http2-sessions.ts';
import type { OnStream } from './http2-sessions.ts';
import { createMachineBridge, isMachinePath } from './http1-bridge.ts';
import { limitPipelining, noteEachPiece } from './pipelining.ts';

/** A user's network is slow at most. An attacker who needs longer for a handshake holds a connection. */
const HANDSHAKE_MS = 10_000;
const SWEEP_MS = 5_000;
const IDLE_SECONDS = 600;
/** After the last response: for connections that their clients are asked to close. */
const LINGER_MS = 2_000;
const IDLE_SWEEP_MS = 250;
/** For the resets of HTTP/2 streams to be read. */
const RESETS_READ_MS = 200;

export interface ApiListener {
  readonly server: Server;
  /** @returns the port, which the system has chosen if it was 0 */
  listen(address: Address): Promise<{ readonly port: number }>;
  /**
   * Uses the certificate from the next handshake on.
   * @throws if the two do not belong together or cannot be read; the old ones then stay
   */
  useCertificate(certificate: ServerCertificate): void;
  /**
   * Goes on for `delay` seconds, so that load balancers can choose other replicas. In the second half of it each
   * response asks its client to connect again. Then accepts nothing, ends watches between two events and closes
   * connections after their response. Cuts the rest `grace` seconds after the delay.
   */
  drain(times: Config['shutdown']): Promise<void>;
  /** Cuts everything immediately. */
  close(): Promise<void>;
}

/** Creates the listener. Nothing is served before `listen`. */
export function createApiListener(deps: ApiListenerDeps): ApiListener {
  const timing = { ...DEFAULT_TIMING, ...deps.timing };
  const idleMs = (deps.limits.idle ?? IDLE_SECONDS) * 1000;
  const limit = new ConnectionLimit({
    most: deps.limits.connections,
    waitMs: timing.giveWayMs,
    memoryInUse: deps.memoryInUse ?? (() => memoryInUse()),
    onClosed: closedReporter(deps, 'limits.connections'),
  });
  const onDropped = dropReporter(deps);
  const connections = new ConnectionTable(
    limit,
    {
      isBehind: () => plane.isBehind,
      isHeldBack: (account) => deps.audit.backlogged(account),
    },
    deps.systemBuffers,
  );
  const server = createServer({
    ...serverOptions(deps, { headMs: timing.headMs, idleMs }),
    ...limitPipelining((socket) => connections.of(socket)?.isFull === true),
  });
  server.maxConnections = deps.limits.connections;
  server.timeout = 0;
  // Beyond so many Node ends the connection, or (20) drops each line, an `Impersonate-User` as well: framing.ts rejects each
  // request that has as many. An attacker whose head never ends would have it keep 8,000, 650 kB on each connection.
  server.maxHeadersCount = MAX_HEADERS + 1;
  const plane = new DataPlane(deps);
  const guard: Routes['guard'] = (work, reset) => {
    void orElse(work, (error) => {
      deps.logger.error({ err: error }, 'request failed');
      reset();
    });
  };
  const limits = { headerBytes: deps.limits.headerBytes, firstRequestMs: timing.headMs, idleMs };
  const sessions = new Http2Sessions(
    { ...limits, pingMs: timing.pingMs, ageMs: timing.connectionAgeMs },
    serveStream({ deps, plane, guard }),
    { onHeadFlood: (connection) => void recordMalformed(deps, connection, headersFlood()), onDropped },
  );
  acceptOn(server, {
    connections,
    serveHttp2: (socket, connection) => sessions.serve(socket, connection),
    proxiesFrom: deps.proxiesFrom,
    proxyHeaderMs: timing.proxyHeaderMs,
    handshakeMs: HANDSHAKE_MS,
    onDropped,
  });
  routeHttp1(server, { deps, plane, connections, onDropped, guard });
  return apiListenerOf({ server, plane, sessions, connections });
}

function serverOptions(
  { tls, limits }: ApiListenerDeps,
  { headMs, idleMs }: { readonly headMs: number; readonly idleMs: number },
): ServerOptions {
  return {
    ...secureContext(tls),
    ALPNProtocols: ['h2', 'http/1.1'],
    // Any certificate is accepted and no CA verifies it: the token names the one that it must be (RFC 8705).
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: headMs,
    // A whole request may take any time: an upload, or the stdin of an attach.
    requestTimeout: 0,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: Math.min(SWEEP_MS, headMs),
    // A missing Host gets the same code as a wrong one.
    requireHostHeader: false,
    insecureHTTPParser: false,
  };
}

/** All options each time: an option that a renewed context does not set returns to Node's default. */
const secureContext = ({ cert, key }: ServerCertificate): SecureContextOptions => ({
  cert,
  key,
  minVersion: 'TLSv1.3',
  // A resumed session presents the certificate of the first one without a new proof of its key, so there is no
  // resumption: Node keeps no sessions on the server, and without tickets there is nothing to resume from.
  secureOptions: constants.SSL_OP_NO_TICKET,
});

function serveStream({ deps, plane, guard }: Pick<Routes, 'deps' | 'plane' | 'guard'>): OnStream {
  const { headerBytes } = deps.limits;
  const toMachine = createMachineBridge(deps.machineHandler, headerBytes);
  return ({ stream, raw, isTooLarge, connection, socket, shared }) => {
    const client = http2Client(stream, raw, shared);
    connection.requestBegun(raw, client.request.target.length);
    if (client.request.hasBody) noteEachPiece(stream, (isEnd) => connection.pieceRead(isEnd));
    const machine = isMachinePath(client.request.target);
    const rejection = isTooLarge
      ? headersTooLarge()
      : (http2Rejection(client.request, raw) ?? (machine ? hostRejection(client.request.raw) : undefined));
    if (rejection === undefined && machine) {
      plane.machineRequest(client, connection, (body) => {
        toMachine({ client, body, socket, address: connection.address });
        if (plane.leaving) shared.retire();
      });
    } else
      guard(
        () => plane.request(client, connection, rejection),
        () => client.response.reset(),
      );
  };
}

interface Parts {
  readonly connections: ConnectionTable;
  readonly server: Server;
  readonly plane: DataPlane;
  readonly sessions: Http2Sessions;
}

function apiListenerOf({ server, plane, sessions, connections }: Parts): ApiListener {
  const close = async (): Promise<void> => {
    plane.cutAll();
    const closed = stopAccepting(server);
    server.closeAllConnections();
    connections.endUnbegun();
    sessions.endAll();
    await Promise.race([closed, timer(RESETS_READ_MS).done]);
    sessions.resetAll();
    await closed;
    plane.close();
  };
  return {
    server,
    listen: (address) => listen(server, address),
    useCertificate: (certificate) => {
      const context = secureContext(certificate);
      // Tested first, so that a broken pair changes nothing.
      createSecureContext(context);
      server.setSecureContext(context);
    },
    drain: async (times) => {
      await drain({ server, plane, sessions, connections }, times);
      await close();
    },
    close,
  };
}

async function drain({ server, plane, sessions }: Parts, { delay, grace }: Config['shutdown']): Promise<void> {
  const over = timer((delay + grace) * 1000);
  const wait = (...ends: readonly Promise<void>[]): Promise<void> => Promise.race([...ends, over.done]);
  await wait(timer(delay * 500).done);
  plane.leave();
  await wait(timer(delay * 500).done);
  plane.drain();
  const closed = stopAccepting(server);
  sessions.retireAll();
  // A connection whose response had started before all this may be kept alive by it.
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
  do {
    await wait(plane.empty());
    // The last responses are still on their way out, and a request that crossed the GOAWAY may come in.
    await wait(closed, timer(LINGER_MS).done);
  } while (!plane.isEmpty && !over.isUp);
  clearInterval(sweep);
  over.stop();
}

function listen(server: Server, { host, port }: Address): Promise<{ readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({ port: (server.address() as AddressInfo).port });
    });
  });
}

const closings = new WeakMap<Server, Promise<void>>();

/** Resolves when the last connection has closed. */
function stopAccepting(server: Server): Promise<void> {
  const known = closings.get(server);
  if (known !== undefined) return known;
  if (!server.listening) return Promise.resolve();
  const closing = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  closings.set(server, closing);
  return closing;
}

interface Timer {
  readonly done: Promise<void>;
  readonly isUp: boolean;
  stop(): void;
}

function timer(ms: number): Timer {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isUp = false;
  const handle = setTimeout(() => {
    isUp = true;
    resolve();
  }, ms);
  return {
    done: promise,
    get isUp() {
      return isUp;
    },
    stop: () => clearTimeout(handle),
  };
}
