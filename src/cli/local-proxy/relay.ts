/**
 * The two ways back to a client: a response, streamed as it arrives, and a tunnel after a 101. The end of either
 * side ends the other.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { frameByFrame } from './frame-writes.ts';
import { rawHead, towardsClient } from './headers.ts';
import type { LocalResponse } from './status.ts';

export interface RelayEnds {
  /** The server has cut a response that had begun. */
  readonly onCut: () => void;
  /** Whether it was ended from here. */
  readonly abandoned: () => boolean;
}

/** Relays a response with backpressure: it reads from the server only as fast as the client reads. */
export function relayResponse(response: IncomingMessage, res: ServerResponse, ends: RelayEnds): void {
  // Otherwise the unread rest of a body would be read and discarded for as long as it lasts.
  if (!res.req.complete) res.shouldKeepAlive = false;
  res.writeHead(response.statusCode ?? 502, towardsClient(response.rawHeaders));
  // A watch sends its head long before its first event.
  res.flushHeaders();
  response.on('error', () => {
    if (!ends.abandoned()) ends.onCut();
  });
  // After half a response the connection is cut: a normal end would make it look complete.
  response.once('close', () => void (response.complete || res.destroy()));
  // A client may close because of a termination notice, before the server's cut is seen, so reading continues until
  // the cut.
  res.once('close', () => response.resume());
  response.pipe(res);
}

/** Responds without the server, and ends the connection. */
export function respond({ code, headers, body }: LocalResponse, res: ServerResponse): void {
  if (res.headersSent) return void res.destroy();
  const { socket } = res.req;
  // A client that keeps sending would keep the connection.
  if (!res.req.complete) res.once('finish', () => socket.destroySoon());
  res.writeHead(code, [...headers]);
  res.end(body);
}

/** Does the same on a connection that Node has handed over. */
export function respondOnSocket({ code, headers, body }: LocalResponse, socket: Duplex): void {
  if (socket.destroyed) return;
  socket.write(rawHead(code, 'Refused', headers));
  socket.write(body);
  endSoon(socket);
}

/** Relays a response other than 101, and ends the connection after it. */
export function relayOnSocket(response: IncomingMessage, socket: Duplex, ends: RelayEnds): void {
  const { statusCode = 502, statusMessage = '', rawHeaders } = response;
  // Without a length the end of the connection is the end of the body (RFC 9112 §6.3).
  socket.write(rawHead(statusCode, plainReason(statusMessage), [...towardsClient(rawHeaders), 'Connection', 'close']));
  // The client's data belongs to no protocol, and a client that closes has to be noticed.
  socket.resume();
  response.on('error', () => {
    if (!ends.abandoned()) ends.onCut();
    socket.destroy();
  });
  response.pipe(socket, { end: false });
  response.once('end', () => endSoon(socket));
}

export interface Tunnel {
  readonly client: Duplex;
  /** Data that the client sent after the head of its request. */
  readonly clientHead: Buffer;
  readonly server: Duplex;
  readonly serverHead: Buffer;
  /** The 101. */
  readonly response: IncomingMessage;
}

/**
 * Joins the two connections. Nothing of the client's data was sent on before: until the 101 an attacker could have
 * it read as another request.
 * @returns cuts them
 */
export function joinTunnel(
  { client, clientHead, server, serverHead, response }: Tunnel,
  ends: Pick<RelayEnds, 'onCut'>,
): () => void {
  const { rawHeaders, headers } = response;
  const upgraded = ['Connection', 'Upgrade', 'Upgrade', headers.upgrade ?? ''];
  const head = rawHead(101, 'Switching Protocols', [...towardsClient(rawHeaders), ...upgraded]);
  const onward = headers.upgrade?.toLowerCase() === 'websocket' ? frameByFrame(client) : client;
  const endOnward = (): void => {
    onward.end();
    if (client.writableFinished) partFrom(client);
    else client.once('finish', () => partFrom(client));
  };
  let begun = false;
  // The first frames after the head must not share its TLS record either.
  client.write(head, () => {
    begun = true;
    if (serverHead.length > 0) onward.write(serverHead);
    server.pipe(onward);
    if (server.closed) endOnward();
  });
  if (clientHead.length > 0) server.write(clientHead);
  server.on('error', () => {
    ends.onCut();
    client.destroy();
  });
  client.on('error', () => server.destroy());
  // Each of these events can be missing, depending on which side ended and how. Data that arrived before an end is
  // passed on first.
  server.once('close', () => void (begun && endOnward()));
  client.once('close', () => {
    if (server.closed) return;
    // As with a response: the cut may still follow.
    server.resume();
    server.end();
    // No one is waiting any more where the other side does not read.
    const late = setTimeout(() => server.destroy(), FLUSH_MS);
    server.once('close', () => clearTimeout(late));
  });
  client.pipe(server);
  return () => void server.destroy();
}

/** Milliseconds in which the other side may still read data that was sent before an end. */
const FLUSH_MS = 10_000;

/**
 * Waits for the client's own end. Closing a connection with unread data of the client resets it, and the client
 * loses data that it has not read yet.
 */
function partFrom(client: Duplex): void {
  client.resume();
  const late = setTimeout(() => client.destroy(), FLUSH_MS).unref();
  client.once('close', () => clearTimeout(late));
}

function endSoon(socket: Duplex): void {
  if (socket instanceof Socket) socket.destroySoon();
  else socket.end();
}

/** The reason phrase is text of the other side, so it must not leave its line. */
const plainReason = (text: string): string => text.replaceAll(/[^\t\u0020-\u007e]/g, '');
