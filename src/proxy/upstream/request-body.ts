/** The client's body on its way up, with a check before each piece. */
import type { ClientRequest } from '../listener/client.ts';
import type { Exchange } from '../exchange.ts';

/**
 * Hands the body on piece by piece. It is pulled, so nothing is read that the API server cannot take, and the check
 * stands between the buffer and the write: a stream in between would hold pieces that were checked long before they
 * are sent.
 */
export async function* checkedBody(request: ClientRequest, exchange: Exchange): AsyncGenerator<Buffer, void> {
  for await (const chunk of request.pieces()) {
    if (!exchange.mayPass()) throw new Error('the request was cut');
    exchange.audit.bytesIn += chunk.length;
    yield chunk;
  }
}
