import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { http2Client } from '../../../../src/proxy/listener/http2-client.ts';
import type { Client } from '../../../../src/proxy/listener/client.ts';
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  PING,
  PREFACE,
  RST_STREAM,
  frame,
  headersFrame,
} from '../../../support/http2-frames.ts';

let server: Http2Server;
let socket: Socket;
let retired: number;
let received: Buffer;
beforeEach(async () => {
  retired = 0;
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  received = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes])));
});
afterEach(async () => {
  socket.destroy();
  server.close();
  await once(server, 'close');
});

const BROKEN_OFF = /broke|premature|closed|aborted/i;

const HEAD = { ':method': 'POST', ':path': '/x', ':scheme': 'https', ':authority': 'A.test' };

async function request(
  headers: Record<string, string> = HEAD,
  flags = END_HEADERS,
): Promise<Client & { readonly stream: ServerHttp2Stream }> {
  const arrived = once(server, 'stream');
  socket.write(Buffer.concat([PREFACE, headersFrame(1, headers, flags)]));
  const [stream, , , raw] = (await arrived) as [ServerHttp2Stream, object, number, string[]];
  stream.on('error', () => undefined);
  const connection = {
    retire: () => void (retired += 1),
    resetIfHolding: () => undefined,
    whenSent: (listener: () => void) => listener(),
  };
  return { ...http2Client(stream, raw, connection), stream };
}

/** The frames that came back, as `type stream`, but for SETTINGS and windows. */
function cameBack(): string[] {
  const frames: string[] = [];
  for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) {
    const type = { 0: 'DATA', 1: 'HEADERS', 3: 'RST_STREAM', 6: 'PING' }[received[at + 3] ?? 0xff];
    if (type !== undefined) frames.push(`${type} ${received.readUInt32BE(at + 5)}`);
  }
  return frames;
}

async function bodyOf({ request: asked }: Client): Promise<string> {
  const parts: Buffer[] = [];
  for await (const piece of asked.pieces()) parts.push(piece);
  return Buffer.concat(parts).toString();
}

it('gives `:authority` as the first Host line, and no pseudo-header', async () => {
  const { request: asked } = await request({ ...HEAD, 'x-a': '1', host: 'b.test' });
  expect([asked.method, asked.target]).toEqual(['POST', '/x']);
  expect(asked.raw).toEqual(['host', 'A.test', 'x-a', '1', 'host', 'b.test']);
});

it('gives a body that ended', async () => {
  const client = await request();
  const body = bodyOf(client);
  socket.write(frame(DATA, 0, 1, Buffer.from('one ')));
  socket.write(frame(DATA, END_STREAM, 1, Buffer.from('two')));
  expect(await body).toBe('one two');
});

it.each([0, 1, 2, 8])('throws if a body was broken off by a reset with code %i', async (code) => {
  const client = await request();
  const body = bodyOf(client);
  socket.write(frame(DATA, 0, 1, Buffer.from('one ')));
  socket.write(frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code])));
  await expect(body).rejects.toThrow(BROKEN_OFF);
});

it.each([0, 1, 2, 8])('throws if the reset with code %i came with the last piece', async (code) => {
  const client = await request();
  const body = bodyOf(client);
  const reset = frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code]));
  socket.write(Buffer.concat([frame(DATA, 0, 1, Buffer.from('one ')), reset]));
  await expect(body).rejects.toThrow(BROKEN_OFF);
});

it.each([0, 1, 2, 8])('throws if it was reset with code %i before it was read', async (code) => {
  const client = await request();
  const reset = frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code]));
  const aborted = once(client.stream, 'aborted');
  socket.write(Buffer.concat([frame(DATA, 0, 1, Buffer.from('one ')), reset]));
  await aborted;
  await expect(bodyOf(client)).rejects.toThrow(BROKEN_OFF);
});

it('throws if the connection was lost in the middle of a body', async () => {
  const client = await request();
  const body = bodyOf(client);
  socket.write(frame(DATA, 0, 1, Buffer.from('one ')), () => socket.resetAndDestroy());
  await expect(body).rejects.toThrow(BROKEN_OFF);
});

it('retires the connection on `Connection: close`, and sends no connection-specific header', async () => {
  const { response, stream } = await request();
  const flat = ['X-A', '1', 'Connection', 'close', 'Keep-Alive', 'timeout=5', 'Transfer-Encoding', 'chunked'];
  response.start(200, flat, { early: false });
  expect(retired).toBe(1);
  expect(Object.keys(stream.sentHeaders ?? {}).toSorted()).toEqual([':status', 'date', 'x-a']);
});

it('ends the reading with a whole response, and reports its own reset', async () => {
  const { response, stream } = await request();
  response.start(200, [], { early: false });
  response.end(Buffer.from('done'));
  await once(stream, 'close');
  expect(stream.rstCode).toBe(0);
  expect(response.gone).toBe(true);
});

it.each([204, 304])('sends a %i before it stops reading, in the turn in which the request came', async (status) => {
  const { response } = await request();
  response.start(status, [], { early: false });
  response.end();
  await expect.poll(cameBack).toEqual(['HEADERS 1', 'RST_STREAM 1']);
});

it('sends no reset behind a response to a request without a body', async () => {
  const { response, stream } = await request({ ...HEAD, ':method': 'HEAD' }, END_HEADERS + END_STREAM);
  response.start(200, [], { early: false });
  response.end();
  await once(stream, 'close');
  socket.write(frame(PING, 0, 0, Buffer.alloc(8)));
  await expect.poll(cameBack).toEqual(['HEADERS 1', 'PING 0']);
});

it('never gives memory back that a stream which was broken off has not written', async () => {
  const { response, stream } = await request();
  response.start(200, [], { early: false });
  let isWritten = false;
  // More than the window of a client that never enlarges it.
  response.write(Buffer.alloc(100_000), () => (isWritten = true));
  // CANCEL is no error to Node.
  socket.write(frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, 8])));
  await once(stream, 'close');
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
  expect(isWritten).toBe(false);
});

it('resets with an error code, whatever was sent before', async () => {
  const { response, stream } = await request();
  response.start(200, [], { early: false });
  response.write(Buffer.from('half'));
  const closed = Promise.withResolvers<void>();
  stream.once('close', closed.resolve);
  response.reset();
  await closed.promise;
  expect(stream.rstCode).toBe(2);
});
