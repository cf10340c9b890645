import { once } from 'node:events';
import { performServerHandshake } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { http2ReadsOf } from '../../../src/timing/http2-reads.ts';
import { readerOf } from '../../../src/timing/reader.ts';
import { tinyRecords } from '../../support/tiny-records.ts';
import { frame, headersFrame, PREFACE, SETTINGS } from '../../support/http2-frames.ts';
import { until } from '../../support/data-plane.ts';
import { makeCertificate } from '../../support/upstream.ts';

/** RFC 9113 §6.9. */
const WINDOW_UPDATE = 0x8;
const WIDE = Buffer.from([0x7f, 0xff, 0, 0]);
/** SETTINGS_INITIAL_WINDOW_SIZE. */
const WIDE_STREAMS = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);

const readNow = (_bytes: number, deliver: () => number): void => void deliver();

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A connection of a client with HTTP/2, with both ends of it, after the first request. */
async function http2Pair() {
  const { cert, key } = await makeCertificate('reader.test');
  let session: ServerHttp2Session | undefined;
  let stream: ServerHttp2Stream | undefined;
  const server = createServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => undefined);
    const reads = http2ReadsOf(socket, readNow, 'dropped');
    session = performServerHandshake(reads.stream);
    reads.writesFor(session);
    session.on('error', () => undefined);
    session.on('stream', (opened) => {
      stream = opened;
      opened.on('error', () => undefined).respond({ ':status': 200 });
    });
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
  client.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, WIDE_STREAMS), frame(WINDOW_UPDATE, 0, 0, WIDE)]));
  client.write(headersFrame(1, { ':method': 'GET', ':scheme': 'https', ':path': '/', ':authority': 'reader.test' }));
  await until(() => session !== undefined && socket.bytesRead > 0 && client.bytesRead > 0, 'the response');
  await pause(50);
  return { client, socket, session: session!, stream: stream! };
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

it('one that goes on is not read while its client takes nothing, and is once it does', async () => {
  const { client, socket, stream } = await http2Pair();
  client.pause();
  // More than the kernel takes for it.
  stream.write(Buffer.alloc(16 * 1024 * 1024));
  await pause(200);
  const { bytesRead } = socket;
  client.write(frame(0xfa, 0, 0, Buffer.alloc(8192)));
  readerOf(socket).stopReading();
  readerOf(socket).goOnReading();
  await pause(100);
  expect(socket.bytesRead).toBe(bytesRead);
  client.resume();
  await until(() => socket.bytesRead >= bytesRead + 8192, 'what came meanwhile');
});

it('one whose client has sent its end, and reads only then, goes on to the end', async () => {
  const { client, session, stream } = await http2Pair();
  client.pause();
  stream.write(Buffer.alloc(16 * 1024 * 1024));
  await pause(100);
  const ended = new Promise((resolve) => void session.once('close', resolve));
  client.end();
  await pause(100);
  client.resume();
  await ended;
  // What Node asserts is thrown beneath all of ours, and ends the process: the runner would report it.
  await pause(50);
  expect(client.bytesRead).toBeGreaterThan(0);
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

it.each([
  ['handed over', 40_000],
  ['dropped', 16_384],
] as const)(
  'of records that came with the end of their connection, those that have no turn yet are %s',
  async (rest, most) => {
    const { cert, key } = await makeCertificate('reader.test');
    const heard: string[] = [];
    let read = 0;
    const server = createServer({ cert, key }, (socket) => {
      const oneInATurn = (bytes: number, deliver: () => number): void => {
        read += bytes;
        readerOf(socket).stopReading();
        setTimeout(() => readerOf(socket).goOnReading(), 20);
        deliver();
      };
      const { stream } = http2ReadsOf(
        socket.on('error', () => undefined),
        oneInATurn,
        rest,
      );
      for (const event of ['end', 'close']) stream.on(event, () => void heard.push(event));
      stream.resume();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => undefined);
    await once(client, 'secureConnect');
    // Three records, and the alert that closes them, in one piece.
    client.end(Buffer.alloc(40_000));
    await until(() => heard.includes('close'), 'the end');
    expect(read).toBe(most);
    expect(heard.slice(0, 2)).toEqual(['end', 'close']);
  },
);

it('of small records that wait, those that make a large one have a turn together', async () => {
  const { cert, key } = await makeCertificate('reader.test');
  const sizes: number[] = [];
  const server = createServer({ cert, key }, (socket) => {
    const oneInATurn = (bytes: number, deliver: () => number): void => {
      sizes.push(bytes);
      readerOf(socket).stopReading();
      setTimeout(() => readerOf(socket).goOnReading(), 5);
      deliver();
    };
    http2ReadsOf(
      socket.on('error', () => undefined),
      oneInATurn,
      'dropped',
    ).stream.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = await tinyRecords((server.address() as AddressInfo).port, { rejectUnauthorized: false });
  ends.push(() => {
    client.destroy();
    server.close();
  });
  const send = await client.prepare(36, 'a'.repeat(1_600));
  send();
  const total = (): number => sizes.reduce((sum, bytes) => sum + bytes, 0);
  await until(() => total() === 36 * 1_600, 'all of them');
  expect(Math.max(...sizes)).toBeLessThanOrEqual(16_384);
  expect(sizes.length).toBeLessThan(20);
});
