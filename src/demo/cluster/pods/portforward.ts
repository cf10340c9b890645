/**
 * pods/portforward over SPDY/3.1: for each connection a data stream and an error stream with the same request id.
 *
 * Behind the ports stands no network, only a small web server in this process.
 */
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';

import type { KubeObject } from '../objects/kube-object.ts';
import { acceptSpdy } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';

export const PORT_FORWARD_PROTOCOL = 'portforward.k8s.io';

/** Ports on which every container listens. */
const PORTS = new Set(['80', '8080']);

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
}

function refuse(pair: Required<Pair>, pod: KubeObject, port: string): void {
  const { uid } = pod.metadata;
  pair.error.end(
    `error forwarding port ${port} to pod ${uid}, uid : failed to connect to localhost:${port} inside the pod: connect: connection refused`,
  );
  pair.data.resume();
  pair.data.end();
}

/** @param head bytes that came with the request */
export function forwardPorts(transport: Duplex, head: Buffer, pod: KubeObject): void {
  const hello = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`Hello from ${pod.metadata.name} in ${pod.metadata.namespace}. You asked for ${request.url}\n`);
  });
  const pairs = new Map<string, Pair>();

  const connect = (pair: Required<Pair>): void => {
    const port = pair.data.headers.get('port') ?? '';
    if (!PORTS.has(port)) return refuse(pair, pod, port);
    hello.emit('connection', pair.data);
    // An error stream that ends without a word says that all went well.
    pair.data.once('close', () => pair.error.end());
  };

  acceptSpdy(transport, head, (stream) => {
    const id = stream.headers.get('requestid') ?? '';
    const type = stream.headers.get('streamtype');
    const pair = pairs.get(id) ?? {};
    pairs.set(id, pair);
    if (type === 'data') pair.data = stream;
    else if (type === 'error') pair.error = stream;
    else return stream.destroy();
    if (type === 'error') stream.resume();
    const { data, error } = pair;
    if (data === undefined || error === undefined) return;
    pairs.delete(id);
    connect({ data, error });
  });
  transport.once('close', () => hello.close());
}
