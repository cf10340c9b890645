/** From a TCP connection to a protocol: PROXY header, TLS, ALPN. */
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { siteOf } from '../../core/http/address.ts';
import { prepareSocket } from './connection.ts';
import type { ClientConnection, ConnectionTable } from './connection.ts';
import { handshakesInTurns, takeOver } from './handshakes.ts';
import type { DropReason, OnDropped } from './drops.ts';
import { limitKeyUpdates } from '../../timing/key-updates.ts';
import { noteEachRead } from '../../timing/reader.ts';
import { flightOf, SecondFlights, tlsBegunBy } from './second-flights.ts';
import type { Flight } from './second-flights.ts';
import { addressSet, readProxyHeader } from './proxy-protocol.ts';

export interface AcceptOptions {
  readonly connections: ConnectionTable;
  readonly serveHttp2: (socket: TLSSocket, connection: ClientConnection) => void;
  /** CIDRs whose PROXY header is required; undefined: none is read. */
  readonly proxiesFrom: readonly string[] | undefined;
  readonly proxyHeaderMs: number;
  /** How long a client may take for its ClientHello. */
  readonly handshakeMs: number;
  readonly onDropped: OnDropped;
}

/**
 * Inserts itself before Node's own listeners and calls them. The server still listens by itself, because only then
 * does Node enforce the limit for the head of a request on its connections; a server that is only given connections
 * forgets it.
 */
export function acceptOn(server: Server, options: AcceptOptions): void {
  const { connections, serveHttp2, proxiesFrom, onDropped } = options;
  const flights = new SecondFlights();
  const handshaking = new WeakMap<Socket, Flight>();
  const handshakeOver = (socket: Socket | undefined): void => {
    const flight = socket && handshaking.get(socket);
    if (flight !== undefined) flights.remove(flight);
  };
  const dropped = (reason: DropReason, socket: Socket): void => onDropped(reason, connections.clientAddress(socket));
  const tls = takeOver(server, 'connection');
  const beginHandshake = (socket: Socket): void => {
    connections.handshakeBegun(socket);
    const made = tlsBegunBy(() => tls(socket));
    // Fail closed: a connection whose handshake cannot be bounded is not accepted.
    if (made === undefined) {
      dropped('handshake_failed', socket);
      return void socket.destroy();
    }
    const flight = flightOf(socket, {
      tls: made,
      site: siteOfClient(socket),
      onTurn: () => connections.clientAwaited(socket),
      onRead: (bytes) => connections.handshakeRead(socket, bytes),
      onTooLarge: () => dropped('handshake_too_large', socket),
    });
    handshaking.set(socket, flight);
    flights.add(flight);
    socket.once('close', () => handshakeOver(socket));
  };
  const siteOfClient = (socket: Socket): string => siteOf(connections.clientAddress(socket));
  const startTls = handshakesInTurns(beginHandshake, {
    helloMs: options.handshakeMs,
    onDropped: dropped,
    siteOf: siteOfClient,
  });
  const serveHttp1 = takeOver(server, 'secureConnection');
  const proxied = proxiesFrom && { isTrusted: addressSet(proxiesFrom), timeoutMs: options.proxyHeaderMs };
  server.on('connection', (socket: Socket) => {
    prepareSocket(socket);
    if (proxied === undefined) {
      connections.remember(socket);
      startTls(socket);
      return;
    }
    readProxyHeader(socket, proxied, (source) => {
      if (source.ok) {
        connections.remember(socket, source.value);
        startTls(socket);
      } else {
        onDropped(`proxy_header_${source.reason}`, socket.remoteAddress ?? '');
        socket.destroy();
      }
    });
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    handshakeOver(connections.tcpOf(socket));
    const paired = connections.pair(socket);
    // Fail closed: a connection that cannot be reset is not accepted.
    if (!paired.ok) {
      dropped(paired.reason, socket);
      return void socket.destroy();
    }
    const connection = paired.value;
    limitKeyUpdates(
      socket,
      () => connection.keyUpdated(),
      () => {
        if (connection.ended) return;
        onDropped('key_updates', connection.address);
        connection.reset();
      },
    );
    connection.begin(() => {
      if (socket.alpnProtocol === 'h2') return serveHttp2(socket, connection);
      noteEachRead(socket, (bytes) => connection.read(bytes));
      serveHttp1(socket);
    });
  });
}
