/** The client's body on its way up, with a check before each piece. */
import type { IncomingMessage } from 'node:http';
import type { Exchange } from './exchange.ts';

/** True where the head announces a body (RFC 9112 §6.3). */
export function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? '0') > 0;
}

/**
 * Hands the body on piece by piece. It is pulled, so nothing is read that the API server cannot take, and the check stands between the
 * buffer and the write: a stream in between would hold pieces that were checked long before they are sent.
 */
export async function* checkedBody(req: IncomingMessage, exchange: Exchange): AsyncGenerator<Buffer, void> {
  // When the API server ends early, this must not destroy the request: the client's connection still has to carry the answer.
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (!exchange.mayPass()) throw new Error('the request was cut');
    exchange.record.bytesIn += chunk.length;
    yield chunk;
  }
}
