/**
 * A worker thread: an API server that holds the bodies of its responses back until all requests are there, and then sends them at
 * once, in parts of one byte. Its CPU is none of the thread that reads them.
 */
import { createSecureServer } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { frame, HEADERS, repeatedField, SETTINGS } from '../../support/http2-frames.ts';
import { CIPHER, recordsOf, TICKETS } from '../../support/key-updates.ts';
import { makeCertificate } from '../../support/upstream.ts';

/**
 * `lonely frames`: of streams that have a connection each. `key updates`: of TLS, and no part of a response. `fields`: the same
 * one over and over, which HTTP does not allow, in a head over HTTP/2 that does not end.
 */
export type HowHeldBack = 'chunks' | 'records' | 'frames' | 'lonely frames' | 'key updates' | 'fields';

export interface HeldBack {
  readonly how: HowHeldBack;
  readonly requests: number;
  /** Of each response. */
  readonly parts: number;
  /** Set to 1 once all is on its way. */
  readonly sent: Int32Array;
}

const { how, requests, parts, sent } = workerData as HeldBack;
const certificate = await makeCertificate('api.cluster.test');
const heads = {
  chunks: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  records: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
};
type Waiting = TLSSocket | ServerHttp2Stream;
const waiting: Waiting[] = [];
const secrets = new Map<TLSSocket, Buffer>();
/** By the port of the client. */
const connections = new Map<number | undefined, Socket>();

function arrived(one: Waiting): void {
  one.on('error', () => undefined);
  waiting.push(one);
  if (waiting.length === requests) parentPort?.postMessage('all', []);
}

/** @returns the types of the frames that come together, behind the preface if it is there */
function frames(bytes: Buffer): number[] {
  const types: number[] = [];
  let at = bytes.subarray(0, 3).equals(Buffer.from('PRI')) ? 24 : 0;
  for (; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes.readUInt8(at + 3));
  return types;
}

const isHttp2 = how === 'frames' || how === 'lonely frames';
const settings = how === 'lonely frames' ? { settings: { maxConcurrentStreams: 1 } } : {};
const server = isHttp2
  ? createSecureServer({ ...certificate, ...settings })
  : createServer({
      ...certificate,
      ...(how === 'key updates' && CIPHER),
      ...(how === 'fields' && { ALPNProtocols: ['h2'] }),
    });
server.on('connection', (socket: Socket) => void connections.set(socket.remotePort, socket));
server.on('keylog', (line: Buffer, socket: TLSSocket) => {
  const [label, , value = ''] = String(line).trim().split(' ');
  if (label === 'SERVER_TRAFFIC_SECRET_0') secrets.set(socket, Buffer.from(value, 'hex'));
});
/** SETTINGS_MAX_CONCURRENT_STREAMS: each has a connection of its own. */
const ONE_STREAM = frame(SETTINGS, 0, 0, Buffer.from([0, 3, 0, 0, 0, 1]));

server.on('secureConnection', (socket: TLSSocket) => {
  if (isHttp2) return;
  if (how === 'fields') {
    socket.setNoDelay(true).write(ONE_STREAM);
    // Its preface, and in the next turn, once it knows that it may, its request.
    let isWhole = false;
    socket.on('data', (bytes: Buffer) => {
      if (isWhole || !frames(bytes).includes(HEADERS)) return;
      isWhole = true;
      arrived(socket);
    });
    return;
  }
  socket.setNoDelay(true).once('data', () => {
    if (how !== 'key updates') socket.write(heads[how]);
    arrived(socket);
  });
});
server.on('stream', (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  arrived(stream);
});

/** Writes that are made while another one is under way are joined by Node. */
async function sendParts(one: Waiting, prepared: Buffer | undefined): Promise<void> {
  if (prepared !== undefined) return void connections.get((one as TLSSocket).remotePort)?.write(prepared);
  if (how === 'fields') return void one.write(repeatedField(1, parts));
  if (how === 'chunks') return void one.write('1\r\na\r\n'.repeat(parts));
  for (let part = 0; part < parts; part += 1) await new Promise((done) => void one.write('a', done));
}

async function sendAll(): Promise<void> {
  // To prepare updates takes seconds.
  const prepared = waiting.map((one) => {
    const secret = secrets.get(one as TLSSocket);
    return how === 'key updates' && secret !== undefined ? recordsOf(secret, TICKETS).updates(parts) : undefined;
  });
  await Promise.all(waiting.map((one, index) => sendParts(one, prepared[index])));
  // What was written last leaves with the next turn.
  await turn();
  if (how === 'fields') for (const one of waiting) one.end();
  Atomics.store(sent, 0, 1);
  Atomics.notify(sent, 0);
}

parentPort?.on('message', () => void sendAll());
server.listen(0, '127.0.0.1', () => {
  parentPort?.postMessage({ port: (server.address() as AddressInfo).port, ca: certificate.cert }, []);
});
