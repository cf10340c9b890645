/** The api listener: TLS, limits, and who gets which event of Node's server. */
import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Address, Config } from '../config/config.ts';
import { ConnectionTable } from './connection.ts';
import type { ClientConnection } from './connection.ts';
import { DataPlane, isMachinePath } from './data-plane.ts';
import type { ApiListenerDeps } from './dependencies.ts';
import { endWithStatus } from './raw-response.ts';
import { malformed } from './status.ts';
import type { Refusal } from './status.ts';

/** A person's network is slow at most; who needs longer for a handshake or for a head is holding a place. */
const HANDSHAKE_MS = 10_000;
const HEADERS_MS = 20_000;
/** Above the pauses of client-go's keep-alive use, so that it is hardly ever this end that closes first. */
const IDLE_MS = 90_000;
const SWEEP_MS = 5_000;

export interface ApiListener {
  readonly server: Server;
  /** @returns the port, which the system has chosen where it was 0 */
  listen(address: Address): Promise<{ readonly port: number }>;
  /**
   * Goes on for `delay` seconds as if nothing had happened, so that load balancers can look away; then accepts nothing, ends watches between two
   * events and closes connections after their answer; cuts what is left `grace` seconds after the call.
   */
  drain(times: Config['shutdown']): Promise<void>;
  /** At once: cuts everything. */
  close(): Promise<void>;
}

/** @see dependencies.ts for what it is given; nothing is served before `listen` */
export function createApiListener(deps: ApiListenerDeps): ApiListener {
  const server = createServer(serverOptions(deps));
  server.maxConnections = deps.limits.connections;
  server.timeout = 0;
  const plane = new DataPlane(deps);
  const connections = new ConnectionTable(server);
  route(server, { deps, plane, connections });
  const shut = async (): Promise<void> => {
    plane.cutAll();
    const closed = stopAccepting(server);
    server.closeAllConnections();
    await closed;
    await plane.close();
  };
  return {
    server,
    listen: (address) => listen(server, address),
    drain: async ({ delay, grace }) => {
      const cutAt = timer(grace * 1000);
      await Promise.race([timer(delay * 1000).done, cutAt.done]);
      plane.drain();
      void stopAccepting(server);
      await Promise.race([plane.empty(), cutAt.done]);
      cutAt.stop();
      await shut();
    },
    close: shut,
  };
}

function serverOptions({ tls, limits }: ApiListenerDeps): ServerOptions {
  return {
    ...tls,
    minVersion: 'TLSv1.3',
    // A resumed session shows the certificate of the first one without a new proof of its key, so there is none: Node keeps no sessions
    // on the server, and without tickets there is nothing to resume from.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ALPNProtocols: ['http/1.1'],
    // Any certificate is let in and none is judged by an authority: the token says which one it must be (RFC 8705).
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: HEADERS_MS,
    // The whole of a request may take as long as it likes: an upload, or the stdin of an attach.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: SWEEP_MS,
    // A missing Host is answered by the same code as a wrong one.
    requireHostHeader: false,
    insecureHTTPParser: false,
  };
}

interface Routes {
  readonly deps: ApiListenerDeps;
  readonly plane: DataPlane;
  readonly connections: ConnectionTable;
}

function route(server: Server, { deps, plane, connections }: Routes): void {
  // A fault of ours must neither end the process nor leave somebody waiting.
  const guard = (work: Promise<void>, connection: ClientConnection): void => {
    work.catch((error: unknown) => {
      deps.logger.error({ err: error }, 'a request failed in the gate itself; its connection is closed');
      connection.reset();
    });
  };
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const connection = connections.of(req.socket);
    if (connection === undefined) req.socket.destroy();
    else if (isMachinePath(req.url)) deps.machineHandler(req, res);
    else guard(plane.request(req, res, connection), connection);
  };
  server.on('request', onRequest);
  // Handled like any other: `100 Continue` is sent when the request has been let in, not before.
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    const connection = connections.of(req.socket);
    if (connection === undefined) req.socket.destroy();
    else plane.refuseExpectation(req, res, connection);
  });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = connections.of(socket);
    if (connection === undefined) socket.destroy();
    else guard(plane.upgrade(req, socket, head, connection), connection);
  });
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    const connection = connections.of(socket);
    if (connection === undefined) socket.destroy();
    else plane.refuseConnect(req, socket, connection);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    answerParseError(error, socket, { deps, connections });
  });
}

function answerParseError(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  { deps, connections }: Pick<Routes, 'deps' | 'connections'>,
): void {
  const refusal = parseRefusal(error.code);
  const connection = connections.of(socket);
  if (refusal === undefined || connection === undefined || !socket.writable) {
    socket.destroy();
    return;
  }
  deps.metrics.refusal(refusal.auditReason);
  // An answer may be half-way out on this connection; words of ours in the middle of it would be taken for its body.
  if (connection.openExchanges > 0) connection.reset();
  else endWithStatus(socket, refusal);
}

function parseRefusal(code: string | undefined): Refusal | undefined {
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  if (code === 'HPE_HEADER_OVERFLOW') return malformed('the headers are too large', 'headers_too_large', 431);
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return malformed('the request did not come in time', 'request_too_slow', 408);
  return malformed('the request is not HTTP as this gate reads it', 'malformed_request');
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

function stopAccepting(server: Server): Promise<void> {
  if (!server.listening) return Promise.resolve();
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function timer(ms: number): { readonly done: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const handle = setTimeout(resolve, ms);
  return { done: promise, stop: () => clearTimeout(handle) };
}
