/** pods/portforward over SPDY/3.1: for each connection a data stream and an error stream with the same request id. */
import type { Duplex } from 'node:stream';

import type { KubeObject } from '../objects/kube-object.ts';
import { acceptSpdy } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { helloServer, isListening, refusedConnection } from './hello.ts';

export const PORT_FORWARD_PROTOCOL = 'portforward.k8s.io';

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
}

function refuse(pair: Required<Pair>, pod: KubeObject, port: string): void {
  pair.error.end(refusedConnection(pod, port));
  pair.data.resume();
  pair.data.end();
}

/** @param head bytes that came with the request */
export function forwardPorts(transport: Duplex, head: Buffer, pod: KubeObject): void {
  const hello = helloServer(pod);
  const pairs = new Map<string, Pair>();

  const connect = (pair: Required<Pair>): void => {
    const port = pair.data.headers.get('port') ?? '';
    if (!isListening(port)) return refuse(pair, pod, port);
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
