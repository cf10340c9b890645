/**
 * Responses on a socket that Node's HTTP server has passed on: rejected upgrades, and requests that it could not
 * parse.
 */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ClientConnection } from './connection.ts';
import { rejectionHeaders, statusBody } from '../status.ts';
import type { Rejection } from '../status.ts';

/**
 * Returns the head of a response as bytes.
 * @param headers flat list, one character a byte, already known to hold no CR, LF or NUL
 */
export function rawHead(code: number, headers: readonly string[]): Buffer {
  const lines = [`HTTP/1.1 ${code} ${STATUS_CODES[code] ?? 'Unknown'}`];
  for (let index = 0; index + 1 < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** How long a client may take to read the last of a response and to close its side. */
const CLOSE_GRACE_MS = 10_000;

/** Writes a Status and ends the connection. */
export function endWithStatus(
  socket: Duplex,
  rejection: Rejection,
  { auditId, connection }: { readonly auditId: string; readonly connection: Pick<ClientConnection, 'reset'> },
): void {
  const body = Buffer.from(`${JSON.stringify(statusBody(rejection, auditId))}\n`);
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length), 'Audit-Id', auditId];
  headers.push(...rejectionHeaders(rejection));
  if (rejection.retry !== 'elsewhere') headers.push('Connection', 'close');
  socket.write(Buffer.concat([rawHead(rejection.code, headers), body]));
  endHandedOver(socket, connection);
}

/**
 * Ends a socket after the data that was written to it.
 *
 * Nothing reads such a socket, and none of Node's timeouts holds for it. An attacker without a credential keeps its
 * side open, or sends one byte before it leaves, which hides its end, on every connection there may be; so the rest
 * is read and dropped, and a timer resets the connection.
 */
export function endHandedOver(socket: Duplex, connection: Pick<ClientConnection, 'reset'>): void {
  socket.end();
  // Whatever still comes is dropped, so that the end is seen.
  socket.resume();
  const timer = setTimeout(() => connection.reset(), CLOSE_GRACE_MS);
  socket.once('close', () => clearTimeout(timer));
}
