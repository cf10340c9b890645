/** Answers on a socket that Node's HTTP server has handed over: refused upgrades, and what it could not parse. */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { refusalHeaders, statusBody } from './status.ts';
import type { Refusal } from './status.ts';

/**
 * The head of an answer as bytes.
 * @param headers flat list, one character a byte, already known to hold no CR, LF or NUL
 */
export function rawHead(code: number, headers: readonly string[]): Buffer {
  const lines = [`HTTP/1.1 ${code} ${STATUS_CODES[code] ?? 'Unknown'}`];
  for (let index = 0; index + 1 < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** Writes a Status and ends the connection. */
export function endWithStatus(socket: Duplex, refusal: Refusal, auditId?: string): void {
  const body = Buffer.from(`${JSON.stringify(statusBody(refusal, auditId))}\n`);
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
  if (auditId !== undefined) headers.push('Audit-Id', auditId);
  headers.push(...refusalHeaders({ ...refusal, retry: false }), 'Connection', 'close');
  if (refusal.retry) headers.push('Retry-After', '1');
  socket.end(Buffer.concat([rawHead(refusal.code, headers), body]));
}
