import { once } from 'node:events';
import { performServerHandshake } from 'node:http2';
import type { ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { readerOf } from '../../../../src/proxy/listener/reader.ts';
import { frame, headersFrame, PREFACE } from '../../../support/http2-frames.ts';
import { until } from '../../../support/data-plane.ts';
import { makeCertificate } from '../../../support/upstream.ts';

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A connection of a client with HTTP/2, with both ends of it, after the first request. */
async function http2Pair() {
  const { cert, key } = await makeCertificate('reader.test');
  let session: ServerHttp2Session | undefined;
  const server = createServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
    session = performServerHandshake(socket);
    session.on('stream', (stream) => stream.on('error', () => undefined).respond({ ':status': 200 }));
  });
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  ends.push(() => {
    client.destroy();
    server.close();
  });
  client.on('error', () => undefined).resume();
  const [socket] = await accepted;
  client.write(PREFACE);
  client.write(headersFrame(1, { ':method': 'GET', ':scheme': 'https', ':path': '/', ':authority': 'reader.test' }));
  await until(() => session !== undefined && socket.bytesRead > 0 && client.bytesRead > 0, 'the response');
  await pause(50);
  return { client, socket, session: session! };
}

it('a connection that is stopped is not read, whatever is written on it, until it goes on', async () => {
  const { client, socket, session } = await http2Pair();
  readerOf(socket).stopReading();
  const { bytesRead } = socket;
  const received = client.bytesRead;
  for (let writes = 0; writes < 5; writes += 1) {
    // Of an unknown type (RFC 9113 §4.1), which Node reads and drops.
    client.write(frame(0xfa, 0, 0, Buffer.alloc(8192)));
    session.ping(() => undefined);
    await pause(10);
  }
  expect(client.bytesRead).toBeGreaterThan(received);
  expect(socket.bytesRead).toBe(bytesRead);
  // By another reader of the same connection.
  readerOf(socket).goOnReading();
  await until(() => socket.bytesRead >= bytesRead + 5 * 8192, 'all of it');
  client.write(frame(0xfa, 0, 0, Buffer.alloc(8192)));
  await until(() => socket.bytesRead >= bytesRead + 6 * 8192, 'what comes later');
});

it('one that is stopped keeps no process alive, and is forgotten with its end', async () => {
  const { client, socket } = await http2Pair();
  readerOf(socket).stopReading();
  await pause(20);
  // Nothing is polled for it while all is quiet.
  const since = performance.eventLoopUtilization();
  await pause(100);
  expect(performance.eventLoopUtilization(since).utilization).toBeLessThan(0.5);
  client.destroy();
  socket.destroy();
  await pause(20);
  expect(() => readerOf(socket).goOnReading()).not.toThrow();
});
