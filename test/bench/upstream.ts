/** The parts of an API server that nginx cannot play: watches that stay open, and upgraded connections; and a small object. Its own process. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CIPHERS } from './load/http1.ts';
import { serve } from './rpc.ts';

const FRAME_BYTES = 64 * 1024;

const event = (version: number): string =>
  `${JSON.stringify({ type: 'MODIFIED', object: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'small', namespace: 'default', resourceVersion: String(version) } } })}\n`;

type Response = ServerResponse | Http2ServerResponse;

const watches = new Set<Response>();
let version = 1;

function answer(url: string, res: Response): void {
  res.statusCode = 200;
  res.setHeader('content-type', 'application/json');
  write(res, event(version));
  if (!url.includes('watch=1')) return void res.end();
  watches.add(res);
  res.on('close', () => watches.delete(res));
  res.on('error', () => undefined);
}

/** Their `write` has overloads that no union joins. */
const write = (res: Response, line: string): boolean => ('stream' in res ? res.stream.write(line) : res.write(line));

/** A server's binary WebSocket frame (RFC 6455 §5.2) of zeros. */
function frame(): Buffer {
  const whole = Buffer.alloc(10 + FRAME_BYTES);
  whole.set([0x82, 127]);
  whole.writeBigUInt64BE(BigInt(FRAME_BYTES), 2);
  return whole;
}

/** Whole frames until there are at least `bytes`, no faster than they are taken. */
function pour(socket: Duplex, bytes: number): void {
  const piece = frame();
  let left = bytes;
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      left -= piece.length;
      if (!socket.write(piece)) return void socket.once('drain', more);
    }
  };
  socket.on('error', () => undefined);
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: 0\r\n' +
      'Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n',
  );
  more();
}

serve({
  async start({ cert, key }: { readonly cert: string; readonly key: string }) {
    // As API servers do, it offers HTTP/2 beside HTTP/1.1.
    const server = createSecureServer({ cert, key, ciphers: CIPHERS, minVersion: 'TLSv1.3', allowHTTP1: true });
    server.on('connection', (socket: Socket) => socket.setNoDelay(true));
    server.on('request', (req: IncomingMessage | Http2ServerRequest, res: Response) => answer(req.url ?? '', res));
    server.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
      pour(socket, Number(new URL(req.url ?? '', 'https://upstream').searchParams.get('bytes')));
    });
    server.listen(0, '127.0.0.1', 8192);
    await once(server, 'listening');
    return { port: (server.address() as AddressInfo).port };
  },

  /** Sends one event to every watch. @returns when that began, on the machine's monotonic clock in nanoseconds */
  async fire() {
    const at = Number(process.hrtime.bigint());
    version += 1;
    const line = event(version);
    for (const res of watches) write(res, line);
    return Promise.resolve({ at, watches: watches.size });
  },

  open: async () => Promise.resolve({ watches: watches.size }),
} satisfies LiveUpstream);

export interface LiveUpstream {
  start(tls: { readonly cert: string; readonly key: string }): Promise<{ readonly port: number }>;
  fire(nothing: Record<string, never>): Promise<{ readonly at: number; readonly watches: number }>;
  open(nothing: Record<string, never>): Promise<{ readonly watches: number }>;
}
