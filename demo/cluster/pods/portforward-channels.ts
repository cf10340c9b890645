/**
 * pods/portforward over plain WebSocket channels, which clients other than kubectl use: for the Nth port in the query channel 2N
 * carries the connection and 2N+1 its errors. Each begins with the port's number, two bytes, the lower first. One connection a port.
 */
import { Duplex } from 'node:stream';

import type { WebSocket } from 'ws';

import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest } from '../objects/status.ts';
import { helloServer, isListening, refusedConnection } from './hello.ts';

export const PORT_FORWARD_CHANNELS = 'v4.channel.k8s.io';

const NORMAL_CLOSURE = 1000;

/** Channels are named by one byte. */
const MAX_PORTS = 64;

/** @throws StatusError 400; asked before the protocols are switched */
export function portsOf(query: URLSearchParams): readonly string[] {
  const ports = query.getAll('ports').flatMap((value) => value.split(','));
  const good = ports.every((port) => /^\d{1,5}$/.test(port) && Number(port) > 0 && Number(port) < 65_536);
  if (ports.length === 0 || ports.length > MAX_PORTS || !good) throw badRequest('query parameter "ports" is required');
  return ports;
}

/** One connection, as a stream. */
class ChannelStream extends Duplex {
  readonly #socket: WebSocket;
  readonly #channel: number;

  constructor(socket: WebSocket, channel: number) {
    super();
    this.#socket = socket;
    this.#channel = channel;
  }

  receive(bytes: Buffer): void {
    if (!this.push(bytes)) this.#socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, sent: (error?: Error | null) => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return sent(new Error('the connection is closed'));
    this.#socket.send(Buffer.concat([Buffer.from([this.#channel]), chunk]), sent);
  }
}

export function forwardChannels(socket: WebSocket, ports: readonly string[], pod: KubeObject): void {
  const hello = helloServer(pod);
  const streams = new Map<number, ChannelStream>();
  const open = new Set<number>();
  // A channel has no end of its own here, so a client learns that the last connection has ended by the end of them all.
  const closeWhenDone = (): void => {
    if (open.size === 0) socket.close(NORMAL_CLOSURE);
  };
  ports.forEach((port, index) => {
    const [data, error] = [2 * index, 2 * index + 1];
    const number = Number(port);
    for (const channel of [data, error]) socket.send(Buffer.from([channel, number & 0xff, number >> 8]));
    if (!isListening(port)) {
      socket.send(Buffer.concat([Buffer.from([error]), Buffer.from(refusedConnection(pod, port))]));
      return;
    }
    const stream = new ChannelStream(socket, data);
    stream.on('error', () => stream.destroy());
    streams.set(data, stream);
    open.add(data);
    stream.once('finish', () => {
      open.delete(data);
      closeWhenDone();
    });
    hello.emit('connection', stream);
  });
  closeWhenDone();
  socket.on('message', (data: Buffer) => streams.get(data[0] ?? -1)?.receive(data.subarray(1)));
  socket.on('error', () => socket.terminate());
  socket.once('close', () => {
    for (const stream of streams.values()) stream.destroy();
    hello.close();
  });
}
