/**
 * Channels over a WebSocket: each binary message is one byte that names the channel, then the bytes.
 * @see https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
import { PassThrough, Writable } from 'node:stream';

import type { WebSocket } from 'ws';

import { endOutputs } from './channels.ts';
import type { RemoteChannels, StreamOptions } from './channels.ts';

/** What this server speaks, best first. The fifth version lets a client end stdin alone. */
export const CHANNEL_PROTOCOLS: readonly string[] = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
/** 4 carries the size of the terminal, which this cluster's shell has no use for. */
const CLOSE = 255;

const NORMAL_CLOSURE = 1000;

const message = (channel: number, bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([channel]), bytes]);

const writer = (socket: WebSocket, channel: number): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, sent) {
      if (socket.readyState !== socket.OPEN) return sent(new Error('the connection is closed'));
      socket.send(message(channel, chunk), sent);
    },
    // Anyone who writes learns of a closed connection by `closed`.
  }).on('error', () => undefined);

export function websocketChannels(socket: WebSocket, options: StreamOptions): RemoteChannels {
  const closing = new AbortController();
  const stdin = options.stdin ? new PassThrough() : undefined;
  const halfCloses = socket.protocol === CHANNEL_PROTOCOLS[0];

  stdin?.on('drain', () => socket.resume());
  socket.on('message', (data: Buffer) => {
    const [channel] = data;
    if (channel === STDIN && stdin?.write(data.subarray(1)) === false) socket.pause();
    if (channel === CLOSE && halfCloses && data[1] === STDIN) stdin?.end();
  });
  socket.on('error', () => socket.terminate());
  socket.once('close', () => {
    stdin?.destroy();
    closing.abort();
  });
  // The API server's first message is an empty one, which tells the client that the streams stand.
  socket.send(message(options.stdout ? STDOUT : ERROR, Buffer.alloc(0)));

  const stdout = options.stdout ? writer(socket, STDOUT) : undefined;
  const stderr = options.stderr ? writer(socket, STDERR) : undefined;
  return {
    stdin,
    stdout,
    stderr,
    closed: closing.signal,
    async finish(status) {
      await endOutputs([stdout, stderr]);
      if (socket.readyState !== socket.OPEN) return;
      socket.resume();
      socket.send(message(ERROR, Buffer.from(JSON.stringify(status))), () => socket.close(NORMAL_CLOSURE));
    },
  };
}
