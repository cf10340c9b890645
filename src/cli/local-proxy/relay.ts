/**
 * The two ways back to a client: an answer, streamed as it comes, and a tunnel after a 101. Either side's end is the other's.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { frameByFrame } from './frame-writes.ts';
import { rawHead, towardsClient } from './headers.ts';
import type { LocalResponse } from './status.ts';

export interface RelayEnds {
  /** The gate has cut what had begun. */
  readonly onCut: () => void;
  /** Whether it was ended from here. */
  readonly abandoned: () => boolean;
}

/** Relays an answer with backpressure: what the client does not read is not read from the gate. */
export function relayResponse(response: IncomingMessage, res: ServerResponse, ends: RelayEnds): void {
  // What is left of a body that nobody wants would be read and thrown away for as long as it lasts.
  if (!res.req.complete) res.shouldKeepAlive = false;
  res.writeHead(response.statusCode ?? 502, towardsClient(response.rawHeaders));
  // A watch has a head long before its first event.
  res.flushHeaders();
  response.on('error', () => {
    if (!ends.abandoned()) ends.onCut();
  });
  // Of half an answer the connection is cut: with its usual end it would look like a whole one.
  response.once('close', () => void (response.complete || res.destroy()));
  // A client may leave by the last word of a session that was revoked, before the cut behind it is seen: so it is looked for.
  res.once('close', () => response.resume());
  response.pipe(res);
}

/** Answers by itself, and ends the connection. */
export function respond({ code, headers, body }: LocalResponse, res: ServerResponse): void {
  if (res.headersSent) return void res.destroy();
  const { socket } = res.req;
  // A client that goes on sending would keep the connection.
  if (!res.req.complete) res.once('finish', () => socket.destroySoon());
  res.writeHead(code, [...headers]);
  res.end(body);
}

/** The same on a connection that Node has handed over. */
export function respondOnSocket({ code, headers, body }: LocalResponse, socket: Duplex): void {
  if (socket.destroyed) return;
  socket.write(rawHead(code, 'Refused', headers));
  socket.write(body);
  endSoon(socket);
}

/** An answer that is no 101: relayed, and the connection ends after it. */
export function relayOnSocket(response: IncomingMessage, socket: Duplex, ends: RelayEnds): void {
  const { statusCode = 502, statusMessage = '', rawHeaders } = response;
  // Without a length the end of the connection is the end of the body (RFC 9112 §6.3).
  socket.write(rawHead(statusCode, plainReason(statusMessage), [...towardsClient(rawHeaders), 'Connection', 'close']));
  // There is no new protocol for what the client sends, and a client that leaves meanwhile is to be seen.
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
  /** What the client has sent after its request's head. */
  readonly clientHead: Buffer;
  readonly server: Duplex;
  readonly serverHead: Buffer;
  /** The 101. */
  readonly response: IncomingMessage;
}

/**
 * Joins the two connections. Nothing of the client's was sent on before: until the 101 it could be read as a request of its own.
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
  // The first frames behind the head must not share its TLS record either.
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
  // Each of these alone can be missing, by who ended it and how. What was received before an end is handed on first.
  server.once('close', () => void (begun && endOnward()));
  client.once('close', () => {
    if (server.closed) return;
    // As with an answer: the cut may be yet to come.
    server.resume();
    server.end();
    // Nobody is left whom it would matter to, where the other side does not read.
    const late = setTimeout(() => server.destroy(), FLUSH_MS);
    server.once('close', () => clearTimeout(late));
  });
  client.pipe(server);
  return () => void server.destroy();
}

/** Milliseconds in which the other side may still take what was sent before an end. */
const FLUSH_MS = 10_000;

/**
 * Waits for the client's own end. A connection that is closed with something of the client's unread is reset, and the client loses what it
 * has not read yet.
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

/** The reason phrase is the other side's words, and stands in a line of its own. */
const plainReason = (text: string): string => text.replaceAll(/[^\t\u0020-\u007e]/g, '');
