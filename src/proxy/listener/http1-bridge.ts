/**
 * Our own endpoints (`/-/`) over HTTP/2. They are written for Node's HTTP/1.1 classes: Express does not run on the
 * compatibility classes of `node:http2`, and clients that offer h2 (undici, Go, curl) do not all retry by
 * themselves when the server asks for HTTP/1.1. So a request is converted to HTTP/1.1 here, within the process,
 * between Node's own client and Node's own server.
 *
 * A converted request takes 50 kB, and an attacker needs no credential for it. So one is converted only when its whole
 * body is there (`endpoint-requests.ts`). `Connection: close` ends what converts it with the response, whether or not the
 * client reads that.
 */
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import { duplexPair } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { pairs } from '../../core/http/header-names.ts';
import type { Client } from './client.ts';
import { valuesOf } from '../raw-headers.ts';

/** By the bytes of the target: any other spelling is a Kubernetes path, and judged as one. */
export const isMachinePath = (target: string | undefined): boolean => target?.startsWith('/-/') === true;

export interface BridgedRequest {
  readonly client: Client;
  /** Empty where there is none. */
  readonly body: Buffer;
  /** Of the connection, whose certificate the endpoints check. */
  readonly socket: Pick<TLSSocket, 'getPeerCertificate'>;
  /** Of the client. */
  readonly address: string;
}

/**
 * @returns a function that serves one request; the method, the target and each header have passed nghttp2, and pass
 *   the checks of Node's client as well
 */
export function createMachineBridge(handler: RequestListener, headerBytes: number): (bridged: BridgedRequest) => void {
  const server = createServer({ maxHeaderSize: headerBytes, requireHostHeader: false }, handler);
  return ({ client, body, socket, address }) => {
    const { response } = client;
    const [here, there] = duplexPair();
    // The endpoints read these from a TLS socket. They are the connection's, so a token bound to its certificate is
    // verified as over HTTP/1.1.
    const identity = { remoteAddress: address, getPeerCertificate: () => socket.getPeerCertificate() };
    // What is written here may lie in the client's stream for long, and then in its connection, so a revocation resets
    // those (`http/revocable-response.ts`).
    const stream = {
      cut: () => response.cut(),
      onSent: (listener: () => void) => response.onClose(() => response.whenSent(listener)),
    };
    server.emit('connection', Object.assign(there, identity, { stream }));
    const ended = (): void => {
      here.destroy();
      there.destroy();
    };
    response.onClose(ended);
    for (const side of [here, there]) side.on('error', () => undefined);
    try {
      const outgoing = httpRequest({ ...headOf(client, body), createConnection: () => here });
      outgoing.on('response', (reply) => relay(reply, client));
      outgoing.on('error', () => response.reset());
      outgoing.end(body);
    } catch {
      // A target that Node's client does not write.
      response.start(400, [], { early: false });
      response.end();
      ended();
    }
  };
}

function headOf(
  { request }: Client,
  body: Buffer,
): { readonly method: string; readonly path: string; readonly headers: string[] } {
  const headers = [...pairs(request.raw)].filter(([name]) => name !== 'expect' && name !== 'te').flat();
  const framed = valuesOf(request.raw, 'content-length').length > 0;
  if (request.hasBody && !framed) headers.push('Content-Length', String(body.length));
  return { method: request.method, path: request.target, headers: [...headers, 'Connection', 'close'] };
}

function relay(reply: IncomingMessage, { response }: Client): void {
  const headers = [...pairs(reply.rawHeaders)].filter(([name]) => name.toLowerCase() !== 'connection').flat();
  response.start(reply.statusCode ?? 500, headers, { early: true });
  reply.on('data', (chunk: Buffer) => {
    if (response.write(chunk)) return;
    reply.pause();
    response.onDrain(() => reply.resume());
  });
  reply.on('end', () => response.end());
  // Half a response must not look like a whole one.
  reply.on('error', () => response.reset());
}
