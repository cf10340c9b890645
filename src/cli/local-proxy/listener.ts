/**
 * The local listener: on a port of 127.0.0.1 with TLS and a secret, or on a Unix socket. Never on any other
 * address.
 */
import { chmodSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { cliError } from '../errors.ts';
import { codeOf } from '../session/private-files.ts';
import type { CredentialKeeper } from './credential-keeper.ts';
import { Exchange, failureResponse, type UpstreamResponse } from './exchange.ts';
import { rejectionOf, type GuardPolicy } from './guard.ts';
import type { LoopbackCertificate } from './loopback-certificate.ts';
import { respond, respondOnSocket, joinTunnel, relayResponse, relayOnSocket } from './relay.ts';
import { localResponse, type LocalResponse } from './status.ts';

export type ListenAddress =
  | { readonly port: number; readonly secret: string; readonly certificate: LoopbackCertificate }
  | { readonly socket: string };

export interface LocalListener {
  /** 0 on a socket. */
  readonly port: number;
  /** Accepts nothing more and cuts everything that is open, streams and tunnels included. */
  close(): Promise<void>;
}

/**
 * A head is no longer than the server would accept. A connection must send its head within ten seconds, because
 * anyone on this machine can open one. A whole request has no time limit, because an upload or a watch may last for
 * hours.
 */
const LIMITS = { headerBytes: 16_384, headMs: 10_000, idleMs: 60_000, connections: 512, requests: 256 };

/**
 * The protocols of the API server in addition to HTTP. A request to upgrade to another is handled as an ordinary
 * request (RFC 9110 §7.8).
 */
const PROTOCOLS: ReadonlySet<string> = new Set(['websocket', 'spdy/3.1']);

/** @throws AppError `conflict` when the port or the socket is taken, `bad_request` when it cannot be used */
export async function listenLocally(
  address: ListenAddress,
  keeper: CredentialKeeper,
  limits: Partial<typeof LIMITS> = {},
): Promise<LocalListener> {
  const { headerBytes, headMs, idleMs, connections, requests } = { ...LIMITS, ...limits };
  const options: ServerOptions = {
    maxHeaderSize: headerBytes,
    headersTimeout: headMs,
    connectionsCheckingInterval: headMs / 2,
    requestTimeout: 0,
    keepAliveTimeout: idleMs,
    shouldUpgradeCallback: (req) => PROTOCOLS.has(protocolOf(req)),
  };
  const server =
    'socket' in address
      ? createHttpServer(options)
      : createHttpsServer({
          ...options,
          cert: address.certificate.cert,
          key: address.certificate.key,
          minVersion: 'TLSv1.2',
          handshakeTimeout: headMs,
        });
  server.maxConnections = connections;
  const handler = new ConnectionHandler(keeper, requests);
  server.on('connection', (socket: Socket) => handler.connected(socket));
  server.on('secureConnection', (socket: TLSSocket) => handler.secured(socket));
  server.on('request', (req, res) => handler.request(req, res));
  // A client that sent `Expect: 100-continue` gets its 100 once the request is accepted.
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => handler.request(req, res, true));
  server.on('upgrade', (req, socket, head) => handler.upgrade(req, socket, head));
  server.on('connect', (req: IncomingMessage, socket: Duplex) => handler.connect(req, socket));
  const port = await listen(server, address);
  handler.policy = policyFor(address, port);
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        handler.cut();
      }),
  };
}

function policyFor(address: ListenAddress, port: number): GuardPolicy {
  if ('socket' in address) {
    const hosts = new Set(['localhost', '127.0.0.1']);
    return { hosts, origins: new Set() };
  }
  const hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`]);
  return { hosts, origins: new Set([...hosts].map((host) => `https://${host}`)), secret: address.secret };
}

class ConnectionHandler {
  policy: GuardPolicy = { hosts: new Set(), origins: new Set(), secret: '' };
  readonly #keeper: CredentialKeeper;
  readonly #most: number;
  readonly #sockets = new Set<Socket>();
  /** Those over a TCP socket, once their handshake is over. */
  readonly #secured = new Set<TLSSocket>();
  readonly #open = new Set<Exchange>();
  readonly #tunnels = new Set<() => void>();

  constructor(keeper: CredentialKeeper, most: number) {
    this.#keeper = keeper;
    this.#most = most;
  }

  connected(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  secured(socket: TLSSocket): void {
    this.#secured.add(socket);
    socket.once('close', () => this.#secured.delete(socket));
  }

  request(req: IncomingMessage, res: ServerResponse, expectsContinue = false): void {
    res.on('error', () => undefined); // Writing to a closed client is no error; `close` follows.
    const rejection = this.#rejection(req);
    if (rejection !== undefined) return respond(rejection, res);
    if (expectsContinue) res.writeContinue();
    const exchange = new Exchange(req, this.#keeper);
    const finish = this.#opened(exchange, req.socket, res);
    const ends = { onCut: () => this.#keeper.verify(), abandoned: () => exchange.abandoned };
    const relay = ({ response, upgraded }: UpstreamResponse): void => {
      if (!exchange.isClientClosed && upgraded === undefined) return relayResponse(response, res, ends);
      // The client requested no other protocol: what follows would not be HTTP.
      response.destroy();
      upgraded?.socket.destroy();
      res.destroy();
    };
    exchange
      .sendRequest()
      .then(relay)
      .catch((error: unknown) => {
        if (exchange.isClientClosed) finish();
        else respond(failureResponse(error), res);
      });
  }

  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const rejection = this.#rejection(req);
    if (rejection !== undefined) return respondOnSocket(rejection, socket);
    const protocol = protocolOf(req);
    const exchange = new Exchange(req, this.#keeper, req.headers.upgrade);
    this.#opened(exchange, socket);
    const ends = { onCut: () => this.#keeper.verify(), abandoned: () => exchange.abandoned };
    const relay = ({ response, upgraded }: UpstreamResponse): void => {
      if (exchange.isClientClosed || (upgraded !== undefined && protocolOf(response) !== protocol)) {
        response.destroy();
        upgraded?.socket.destroy();
        return void socket.destroy();
      }
      if (upgraded === undefined) return relayOnSocket(response, socket, ends);
      const { socket: upstream, head: serverHead } = upgraded;
      const cut = joinTunnel({ client: socket, clientHead: head, server: upstream, serverHead, response }, ends);
      this.#tunnels.add(cut);
      upstream.once('close', () => this.#tunnels.delete(cut));
    };
    exchange
      .sendRequest()
      .then(relay)
      .catch((error: unknown) => {
        if (!exchange.isClientClosed) respondOnSocket(failureResponse(error), socket);
      });
  }

  connect(req: IncomingMessage, socket: Duplex): void {
    socket.on('error', () => undefined);
    respondOnSocket(this.#rejection(req) ?? localResponse('MethodNotAllowed', 'CONNECT is not served here'), socket);
  }

  cut(): void {
    for (const exchange of this.#open) exchange.abandon();
    for (const cut of this.#tunnels) cut();
    // A normal close could look like the end of a response.
    for (const socket of this.#secured) resetConnection(socket);
    // What is left are handshakes, and connections of a Unix socket, which has no RST.
    for (const socket of this.#sockets) socket.destroy();
  }

  #rejection({ method = '', url = '', rawHeaders }: IncomingMessage): LocalResponse | undefined {
    const rejection = rejectionOf({ method, target: url, headers: rawHeaders }, this.policy);
    if (rejection !== undefined || this.#open.size < this.#most) return rejection;
    return localResponse('TooManyRequests', `more than ${this.#most} concurrent requests`);
  }

  /**
   * Counts the exchange until it has finished. Node does not always report the end of a response: after its
   * connection was handed over, no event follows. So the connection's own end counts too.
   */
  #opened(exchange: Exchange, socket: Duplex, res?: ServerResponse): () => void {
    this.#open.add(exchange);
    const finish = (): void => {
      socket.off('close', finish);
      if (this.#open.delete(exchange)) exchange.clientClosed();
    };
    socket.setMaxListeners(0); // A client may send many requests before it reads the first response.
    socket.once('close', finish);
    res?.once('close', finish);
    return finish;
  }
}

const protocolOf = ({ headers }: Pick<IncomingMessage, 'headers'>): string => headers.upgrade?.toLowerCase() ?? '';

function listen(server: Server, address: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(unavailable(address, cause)));
    const listening = (): void => {
      const bound = server.address();
      if ('socket' in address) chmodSync(address.socket, 0o600);
      resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
    };
    // Not `localhost`, which a hosts file can map to another address, and no address that other machines reach.
    if ('socket' in address) server.listen(address.socket, listening);
    else server.listen(address.port, '127.0.0.1', listening);
  });
}

function unavailable(address: ListenAddress, cause: unknown): Error {
  const code = codeOf(cause) ?? 'unknown error';
  const isSocket = 'socket' in address;
  const what = isSocket ? `The socket ${address.socket}` : `The port ${address.port} of 127.0.0.1`;
  if (code === 'EADDRINUSE') {
    const next = isSocket
      ? `if no other run listens there: rm ${address.socket}`
      : 'give another with --port, or leave it out';
    return cliError('conflict', `${what} is taken.`, next, { reason: 'address_taken', cause });
  }
  const next = isSocket ? 'give another with --socket' : 'give another with --port, or leave it out';
  return cliError('bad_request', `${what} cannot be listened on (${code}).`, next, {
    reason: 'address_unusable',
    cause,
  });
}
