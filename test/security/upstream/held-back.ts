/**
 * A worker thread: an API server that holds the bodies of its responses back until all requests are there, and then sends them at
 * once, in parts of one byte. Its CPU is none of the thread that reads them.
 */
import { createSecureServer } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { makeCertificate } from '../../support/upstream.ts';

export type HowHeldBack = 'chunks' | 'records' | 'frames';

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
const waiting: (TLSSocket | ServerHttp2Stream)[] = [];

function arrived(one: TLSSocket | ServerHttp2Stream): void {
  one.on('error', () => undefined);
  waiting.push(one);
  if (waiting.length === requests) parentPort?.postMessage('all', []);
}

const server = how === 'frames' ? createSecureServer(certificate) : createServer(certificate);
server.on('secureConnection', (socket: TLSSocket) => {
  if (how === 'frames') return;
  socket.setNoDelay(true).once('data', () => {
    socket.write(heads[how]);
    arrived(socket);
  });
});
server.on('stream', (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  arrived(stream);
});

/** Writes that are made while another one is under way are joined by Node. */
async function sendParts(one: TLSSocket | ServerHttp2Stream): Promise<void> {
  if (how === 'chunks') return void one.write('1\r\na\r\n'.repeat(parts));
  for (let part = 0; part < parts; part += 1) await new Promise((done) => void one.write('a', done));
}

async function sendAll(): Promise<void> {
  await Promise.all(waiting.map((one) => sendParts(one)));
  // What was written last leaves with the next turn.
  await turn();
  Atomics.store(sent, 0, 1);
  Atomics.notify(sent, 0);
}

parentPort?.on('message', () => void sendAll());
server.listen(0, '127.0.0.1', () => {
  parentPort?.postMessage({ port: (server.address() as AddressInfo).port, ca: certificate.cert }, []);
});
