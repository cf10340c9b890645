/**
 * Limits responses of the web and ops listeners that their client does not read, and the requests that are read at once.
 *
 * An attacker without a credential sends thousands of requests in one packet and reads nothing: each request of 27
 * bytes costs a page of kilobytes, which Node queues for as long as the connection lasts, and none of Node's time
 * limits applies to a connection with a pending response. Half a megabyte of requests took half a gigabyte
 * permanently. So a connection may have few pending responses, and a finished one that the client does not read
 * ends it.
 */
import type { IncomingMessage, RequestListener, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer, TLSSocket } from 'node:tls';
import { plainAddress, siteOf } from '../core/http/address.ts';
import { limitPipelining, noteEachPiece, SharedReading } from '../proxy/proxy.ts';
import { limitKeyUpdates } from '../timing/key-updates.ts';
import { noteEachRead, readerOf } from '../timing/reader.ts';

/**
 * Pending responses of one connection. Browsers, proxies and scrapers do not pipeline (RFC 9112 §9.3.2): at most
 * two are pending, if the next request is read before the last bytes of the previous response are known to be
 * sent.
 */
const MOST_OF_A_CONNECTION = 4;
/** How long nothing of a finished response may be read. Node counts bytes that the kernel accepts as progress. */
const UNREAD_MS = 60_000;

interface Connection {
  /** Responses that are pending; an upgrade is one for ever. */
  open: number;
  /** Of the connections of its server. */
  readonly reading: SharedReading;
}

const connections = new WeakMap<Socket, Connection>();

/** For `createServer`: the request that is one too many is the last that is read of its connection. */
export const FEW_PIPELINED: ServerOptions = limitPipelining(
  (socket) => (connections.get(socket)?.open ?? 0) >= MOST_OF_A_CONNECTION,
);

/**
 * An attacker sends a form on each of a thousand connections in one instant: as at the api listener, few requests are
 * read in one turn.
 */
function shareReading(server: Server): void {
  const reading = new SharedReading();
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket | TLSSocket) => {
    const reader = readerOf(socket);
    connections.set(socket, { open: 0, reading });
    reading.add(reader, siteOf(plainAddress(socket.remoteAddress ?? '')));
    noteEachRead(socket, (bytes) => {
      reading.pieceRead(false);
      if (connections.get(socket)?.open === 0) reading.headRead(bytes);
    });
    if (socket instanceof TLSSocket)
      limitKeyUpdates(
        socket,
        () => reading.keyUpdated(),
        () => socket.destroy(),
      );
    socket.once('close', () => reading.remove(reader));
  });
}

export interface ResponseLimits {
  /** How many rejections of the api listener the dearest request costs, of those that anyone may make. */
  readonly weight: number;
  /** Only tests set another. */
  readonly unreadMs?: number;
}

/**
 * Runs before every listener for requests and upgrades that the server has now. Of an upgraded connection, what is read
 * is counted, and no response.
 */
export function limitUnreadResponses(server: Server, { weight, unreadMs = UNREAD_MS }: ResponseLimits): void {
  const first = (listeners: readonly RequestListener[]): RequestListener => {
    return (req, res) => {
      const { socket } = req;
      const connection = connections.get(socket);
      // It was there before the server was given its limits.
      if (connection === undefined) return void socket.destroy();
      connection.open += 1;
      connection.reading.begun(req.rawHeaders.length / 2, { target: req.url?.length ?? 0 }, weight);
      if (hasBody(req)) noteEachPiece(req, (isEnd) => connection.reading.pieceRead(isEnd));
      res.once('close', () => (connection.open -= 1));
      // It is this response's turn, and all of it has been written.
      res.once('prefinish', () => socket.setTimeout(unreadMs));
      // Before Node's own listener, which starts the idle timeout of the connection if there is no request yet.
      res.prependOnceListener('finish', () => socket.setTimeout(server.timeout));
      for (const listener of listeners) listener.call(server, req, res);
    };
  };
  shareReading(server);
  const listeners = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request');
  server.on('request', first(listeners));
  // Without a listener Node makes no upgrades, and ends what is too many.
  if (server.listenerCount('upgrade') > 0) server.prependListener('upgrade', (req) => countUpgrade(req, weight));
  // Node would respond to these itself, without counting them.
  server.on('checkExpectation', first([expectationFailed]));
}

/** Counts the request. What comes behind it is counted with each read, and is no head any more. */
function countUpgrade({ socket, rawHeaders, url }: IncomingMessage, weight: number): void {
  const connection = connections.get(socket);
  if (connection === undefined) return;
  connection.open += 1;
  connection.reading.begun(rawHeaders.length / 2, { target: url?.length ?? 0 }, weight);
}

/** RFC 9112 §6.3. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** RFC 9110 §10.1.1. */
function expectationFailed(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(417, { 'Content-Length': 0 }).end();
}
