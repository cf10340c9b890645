/** Channels over SPDY/3.1: one stream each, told apart by the header `streamtype`. */
import type { Duplex } from 'node:stream';

import { acceptSpdy } from '../spdy/connection.ts';
import type { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { endOutputs } from './channels.ts';
import type { RemoteChannels, StreamOptions } from './channels.ts';

/** The fifth version is the fourth over WebSocket; over SPDY the two are alike. */
export const SPDY_PROTOCOLS: readonly string[] = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

/** How long a client may take to open its streams, as with the kubelet. */
const OPENING_MS = 30_000;

function expectedTypes(options: StreamOptions): Set<string> {
  const types = new Set(['error']);
  for (const type of ['stdin', 'stdout', 'stderr'] as const) if (options[type]) types.add(type);
  if (options.tty) types.add('resize');
  return types;
}

/** The streams by type, once all that the options speak of are open; undefined where the client does not open them. */
function openedStreams(
  transport: Duplex,
  head: Buffer,
  expected: ReadonlySet<string>,
): Promise<{ connection: SpdyConnection; streams: Map<string, SpdyStream> } | undefined> {
  const streams = new Map<string, SpdyStream>();
  return new Promise((resolve) => {
    const timer = setTimeout(() => transport.destroy(), OPENING_MS);
    transport.once('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    const connection = acceptSpdy(transport, head, (stream) => {
      const type = stream.headers.get('streamtype') ?? '';
      if (!expected.has(type) || streams.has(type)) {
        stream.destroy();
        return;
      }
      streams.set(type, stream);
      if (streams.size < expected.size) return;
      clearTimeout(timer);
      // The constructor has returned by the next turn, whatever came in the first bytes.
      setImmediate(() => resolve({ connection, streams }));
    });
  });
}

/** @param head bytes that came with the request */
export async function spdyChannels(
  transport: Duplex,
  head: Buffer,
  options: StreamOptions,
): Promise<RemoteChannels | undefined> {
  const closing = new AbortController();
  transport.once('close', () => closing.abort());
  const opened = await openedStreams(transport, head, expectedTypes(options));
  if (opened === undefined) return undefined;
  const { connection, streams } = opened;
  streams.get('resize')?.resume();

  return {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    closed: closing.signal,
    async finish(status) {
      await endOutputs([streams.get('stdout'), streams.get('stderr')]);
      const error = streams.get('error');
      error?.write(JSON.stringify(status));
      await endOutputs([error]);
      connection.close();
    },
  };
}
