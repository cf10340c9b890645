/** What the proxy's own client over HTTP/2 makes of the frames of an API server, and what it puts on the wire itself. */
import { once } from 'node:events';
import { constants, createSecureServer, sensitiveHeaders } from 'node:http2';
import type { Http2SecureServer, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Http2Transport } from '../../../src/proxy/upstream/http2-transport.ts';
import type { UpstreamStream, UpstreamTransport } from '../../../src/proxy/upstream/transport.ts';
import { standstill, until } from '../../support/data-plane.ts';
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  headersFrame,
  RST_STREAM,
  SETTINGS,
} from '../../support/http2-frames.ts';
import { makeCertificate } from '../../support/upstream.ts';
import type { TestCertificate } from '../../support/upstream.ts';

const PUSH_PROMISE = 0x5;
const GOAWAY = 0x7;
/** Resets of one connection, beyond which it gets no further stream. */
const MAX_RESETS = 200;

let certificate: TestCertificate;
let server: Server | Http2SecureServer;
let transport: Http2Transport;
const sockets = new Set<TLSSocket>();
beforeAll(async () => {
  certificate = await makeCertificate('api.cluster.test');
});
afterEach(async () => {
  transport.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  server.close();
  await once(server, 'close');
});

/** What has no HTTP/1.1 behind it. */
const NO_FALLBACK: UpstreamTransport = {
  send: () => {
    throw new Error('HTTP/2 was not agreed');
  },
  close: () => undefined,
};

async function connectTo(started: Server | Http2SecureServer, fallback = NO_FALLBACK): Promise<void> {
  server = started;
  server.on('secureConnection', (socket: TLSSocket) => void sockets.add(socket.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const origin = `https://127.0.0.1:${port}`;
  const address = { host: '127.0.0.1', port, ca: certificate.cert, connectMs: 20_000 };
  transport = new Http2Transport({ address, origin, pingMs: 60_000, fallback });
}

interface Sent {
  readonly stream: UpstreamStream;
  /** Status and body of a whole response, or `error`. */
  readonly outcome: Promise<string>;
  readonly begun: Promise<void>;
}

function send({
  maySend = () => true,
  long = '',
  isRead = true,
}: { readonly maySend?: () => boolean; readonly long?: string; readonly isRead?: boolean } = {}): Sent {
  const outcome = Promise.withResolvers<string>();
  const begun = Promise.withResolvers<void>();
  let text = '';
  const stream = transport.send(
    {
      method: 'GET',
      target: '/api?watch=1',
      headers: {
        repeated: [],
        own: ['Authorization', 'Bearer of-the-proxy', 'Impersonate-User', 'alice', 'X-Long', long],
      },
      isRead,
      body: undefined,
      bodyLength: undefined,
      headMs: 0,
      pieceMs: 0,
    },
    {
      maySend,
      onHead: (status, raw) => {
        text = `${status} ${raw.includes('x-a') ? 'x-a ' : ''}`;
        begun.resolve();
      },
      onPiece: (piece) => void (text += piece.toString('latin1')),
      onEnd: () => outcome.resolve(text),
      onError: () => outcome.resolve('error'),
    },
  );
  return { stream, outcome: outcome.promise, begun: begun.promise };
}

describe('the frames of an API server', () => {
  const data = (text: string, flags = 0): Buffer => frame(DATA, flags, 1, Buffer.from(text));
  const head = (status: string, more: Readonly<Record<string, string>> = {}, flags = END_HEADERS): Buffer =>
    headersFrame(1, { ':status': status, ...more }, flags);
  const code = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
  const WHOLE = END_HEADERS | END_STREAM;

  it.each<{ what: string; frames: readonly Buffer[]; outcome: string; ends?: boolean }>([
    { what: 'a head alone', frames: [head('204', {}, WHOLE)], outcome: '204 ' },
    { what: 'head and body', frames: [head('200'), data('one'), data('two', END_STREAM)], outcome: '200 onetwo' },
    { what: 'an empty last piece', frames: [head('200'), data('one'), data('', END_STREAM)], outcome: '200 one' },
    {
      what: 'trailers',
      frames: [head('200'), data('one'), headersFrame(1, { 'x-a': 'b' }, WHOLE)],
      outcome: '200 one',
    },
    {
      what: 'an interim response before it',
      frames: [head('103'), head('200'), data('one', END_STREAM)],
      outcome: '200 one',
    },
    {
      what: 'more interim responses than any server sends',
      frames: [...Array.from({ length: 60 }, () => head('103')), head('200'), data('one', END_STREAM)],
      outcome: 'error',
    },
    {
      what: 'an end, and the reset of a server that wants no more',
      frames: [head('200'), data('one', END_STREAM), frame(RST_STREAM, 0, 1, code(constants.NGHTTP2_NO_ERROR))],
      outcome: '200 one',
    },
    {
      what: 'a reset with the code 0 in place of an end',
      frames: [head('200'), data('half'), frame(RST_STREAM, 0, 1, code(constants.NGHTTP2_NO_ERROR))],
      outcome: 'error',
    },
    {
      what: 'a reset with the code 0 in place of a head',
      frames: [frame(RST_STREAM, 0, 1, code(constants.NGHTTP2_NO_ERROR))],
      outcome: 'error',
    },
    {
      what: 'a reset with another code',
      frames: [head('200'), data('half'), frame(RST_STREAM, 0, 1, code(constants.NGHTTP2_CANCEL))],
      outcome: 'error',
    },
    { what: 'the end of the connection', frames: [head('200'), data('half')], outcome: 'error', ends: true },
    {
      what: 'a GOAWAY that includes it, and the end of the connection',
      frames: [head('200'), data('half'), frame(GOAWAY, 0, 0, Buffer.concat([code(1), code(0)]))],
      outcome: 'error',
      ends: true,
    },
    {
      what: 'a GOAWAY that excludes it',
      frames: [frame(GOAWAY, 0, 0, Buffer.concat([code(0), code(0)]))],
      outcome: 'error',
      ends: true,
    },
    {
      what: 'fewer bytes than announced',
      frames: [head('200', { 'content-length': '9' }), data('half', END_STREAM)],
      outcome: 'error',
    },
    {
      what: 'more bytes than announced',
      frames: [head('200', { 'content-length': '1' }), data('two', END_STREAM)],
      outcome: 'error',
    },
    { what: 'a body without a head', frames: [data('one', END_STREAM)], outcome: 'error' },
    { what: 'a head without a status', frames: [headersFrame(1, { 'x-a': 'b' }, WHOLE)], outcome: 'error' },
    { what: 'a status that is no number', frames: [head('2xx', {}, WHOLE)], outcome: 'error' },
    { what: 'a header of the connection', frames: [head('200', { connection: 'close' }, WHOLE)], outcome: 'error' },
    { what: 'a name in capitals', frames: [head('200', { 'X-A': 'b' }, WHOLE)], outcome: 'error' },
    {
      what: 'a line break in a value, which is left out',
      frames: [head('200', { 'x-a': 'b\r\nx: y' }, WHOLE)],
      outcome: '200 ',
    },
    {
      what: 'a pushed response',
      frames: [frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([code(2), Buffer.from([0x88])]))],
      outcome: 'error',
    },
    { what: 'a frame of a stream that was never opened', frames: [frame(DATA, END_STREAM, 3)], outcome: 'error' },
  ])('are read as a whole response, or as none: $what', async ({ frames, outcome, ends = false }) => {
    const started = createServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
      socket.write(frame(SETTINGS, 0, 0));
      socket.on('data', (chunk: Buffer) => {
        if (!isRequest(chunk)) return;
        socket.write(Buffer.concat([frame(SETTINGS, 1, 0), ...frames]));
        if (ends) socket.end();
      });
    });
    await connectTo(started);
    expect(await send().outcome).toBe(outcome);
  });
});

const isRequest = (chunk: Buffer): boolean => headsIn(chunk) > 0;

/** Heads of requests among whole and half frames. */
function headsIn(bytes: Buffer): number {
  let heads = 0;
  let at = bytes.subarray(0, 3).toString() === 'PRI' ? 24 : 0;
  for (; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) if (bytes[at + 3] === HEADERS) heads += 1;
  return heads;
}

describe('what is sent', () => {
  interface Served {
    readonly stream: ServerHttp2Stream;
    readonly headers: IncomingHttpHeaders & { readonly [sensitiveHeaders]?: readonly string[] };
    readonly session: unknown;
  }
  let served: Served[];

  async function serve(maxConcurrentStreams = 100, fallback = NO_FALLBACK): Promise<void> {
    served = [];
    const started = createSecureServer({ ...certificate, settings: { maxConcurrentStreams } });
    started.on('session', (session) => session.on('error', () => undefined));
    started.on('stream', (stream: ServerHttp2Stream, headers: Served['headers']) => {
      stream.on('error', () => undefined);
      served.push({ stream, headers, session: stream.session });
      stream.respond({ ':status': 200 });
      stream.write('event');
    });
    await connectTo(started, fallback);
  }

  it('goes over HTTP/1.1 where the server allows no stream, instead of waiting for one', async () => {
    const fellBack = Promise.withResolvers<string>();
    await serve(0, {
      ...NO_FALLBACK,
      send: ({ target }) => {
        fellBack.resolve(target);
        return { pause() {}, resume() {}, abort() {}, gone: false, paused: false };
      },
    });
    send();
    expect(await fellBack.promise).toBe('/api?watch=1');
    expect(served).toEqual([]);
  });

  it('is the token of the proxy outside the table that compresses, in which others could guess it', async () => {
    await serve();
    await send().begun;
    expect(served[0]?.headers[sensitiveHeaders]).toEqual(['authorization']);
  });

  it('is no request that must not be sent any more when its stream could begin', async () => {
    await serve();
    const asked: string[] = [];
    const refused = send({
      maySend: () => {
        asked.push('refused');
        return false;
      },
    });
    await send().begun;
    expect([asked, served.length, refused.stream.gone]).toEqual([['refused'], 1, true]);
  });

  it('is no head behind those that the server does not take, so that a cut takes back what waits', async () => {
    let received = Buffer.alloc(0);
    const started = createServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
      socket.write(Buffer.concat([frame(SETTINGS, 0, 0), frame(SETTINGS, 1, 0)]));
      socket.on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes])));
    });
    await connectTo(started);
    send();
    await until(() => headsIn(received) === 1, 'the first head');
    for (const socket of sockets) socket.pause();
    let asked = 0;
    // More than kernels hold: '~' is shorter without Huffman's code.
    const long = '~'.repeat(60_000);
    const maySend = (): boolean => (asked += 1) > 0;
    const others = Array.from({ length: 90 }, () => send({ maySend, long }));
    await standstill(() => asked);
    expect(asked).toBeLessThan(others.length);
    for (const { stream } of others) stream.abort();
    for (const socket of sockets) socket.resume();
    send();
    // The heads are whole, and with the last of them there is nothing left.
    await until(() => headsIn(received) === asked + 2, 'what had been handed over, and the last one');
    expect(sockets.size).toBe(1);
  });

  it('goes over HTTP/1.1 where it may change something, on a connection of its own', async () => {
    const fellBack = Promise.withResolvers<boolean | undefined>();
    await serve(100, {
      ...NO_FALLBACK,
      send: ({ isRead }) => {
        fellBack.resolve(isRead);
        return { pause() {}, resume() {}, abort() {}, gone: false, paused: false };
      },
    });
    send({ isRead: false });
    expect(await fellBack.promise).toBe(false);
    expect(served).toEqual([]);
  });

  it('is nothing more on a connection with many resets, and what is open there goes on', async () => {
    await serve();
    const kept = send();
    await kept.begun;
    for (let left = MAX_RESETS; left > 0; left -= 50) {
      const left50 = Array.from({ length: 50 }, () => send());
      await Promise.all(left50.map(({ begun }) => begun));
      for (const { stream } of left50) stream.abort();
      const reset = MAX_RESETS - left + 50;
      await until(() => served.filter(({ stream }) => stream.closed).length >= reset, 'the resets');
    }
    expect(new Set(served.map(({ session }) => session)).size).toBe(1);
    await send().begun;
    expect(new Set(served.map(({ session }) => session)).size).toBe(2);
    served[0]?.stream.end(' last');
    expect(await kept.outcome).toBe('200 event last');
  });
});
