/** Attacks without a credential on the endpoints of Portcullis itself, by requests that never end. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { MOST_PENDING } from '../../src/core/http/pending-requests.ts';
import { HOST, rawConnection, signIn as signInUser, startPlane, until } from '../support/data-plane.ts';
import type { PlaneOptions, TestPlane } from '../support/data-plane.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  PREFACE,
  RST_STREAM,
  SETTINGS,
  frame,
  headersFrame,
} from '../support/http2-frames.ts';
import { answersIn } from './http2-frames.ts';
import { statusesOf } from './wire.ts';

const TOKEN = '/-/oauth/token';
const PADDED = 0x8;
const SETTINGS_ACK = frame(SETTINGS, 1, 0);
/** SETTINGS_INITIAL_WINDOW_SIZE 0. */
const WITHOUT_WINDOW = frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));

let plane: TestPlane;
/** Bodies as the endpoint has read them: each is a request that was given to it. */
let served: string[];
/** Of those, the ones whose connection, converted from HTTP/2 or not, is closed. */
let closed: number;
beforeEach(() => {
  served = [];
  closed = 0;
});
afterEach(() => plane.close());

const endpoint: RequestListener = (req, res) => {
  const pieces: Buffer[] = [];
  req.socket.once('close', () => (closed += 1));
  req.on('data', (piece: Buffer) => void pieces.push(piece));
  req.on('end', () => {
    served.push(Buffer.concat(pieces).toString());
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
};

async function start(options: PlaneOptions = {}): Promise<void> {
  plane = await startPlane({ limits: { connections: 10_000 }, machineHandler: endpoint, ...options });
}

const head = (stream: number, more: Record<string, string> = {}, flags = END_HEADERS, method = 'POST'): Buffer =>
  headersFrame(stream, { ':method': method, ':scheme': 'https', ':path': TOKEN, ':authority': HOST, ...more }, flags);

/** An HTTP/2 connection from an address, which has acknowledged the limits of the listener. */
async function attacker(from: string): Promise<TLSSocket> {
  const socket = connect({
    socket: connectTcp({ host: '127.0.0.1', port: plane.port, localAddress: from }),
    servername: HOST,
    ca: plane.ca,
    ALPNProtocols: ['h2'],
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write(PREFACE);
  await once(socket, 'data');
  socket.write(SETTINGS_ACK);
  return socket.resume();
}

/** Begins so many requests and finishes none. */
async function flood(from: string, connections: number, streams: number): Promise<void> {
  for (let each = 0; each < connections; each += 1) {
    const socket = await attacker(from);
    socket.write(Buffer.concat(Array.from({ length: streams }, (_, index) => head(1 + 2 * index))));
  }
}

const reasons = (): Record<string, number> =>
  Object.fromEntries(
    Object.entries(Object.groupBy(plane.counted.rejections, (reason) => reason)).map(([reason, all = []]) => [
      reason,
      all.length,
    ]),
  );

/** Sends a whole request, as a user with that address would. */
async function signIn(from: string): Promise<number | undefined> {
  const socket = await attacker(from);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  const before = served.length;
  socket.write(head(1));
  socket.write(frame(DATA, END_STREAM, 1, Buffer.from('grant_type=refresh_token')));
  await until(() => served.length > before, 'the request at its endpoint');
  // `:status: 200` of the static table.
  await until(() => Buffer.concat(chunks).includes(0x88), 'the response');
  socket.destroy();
  return 200;
}

describe('requests that are begun and never finished', () => {
  it('are limited by address, and give way to a user who shares the address', async () => {
    await start();
    await flood('127.0.0.1', 80, 25);
    // 500 of 2,000 are held.
    await until(() => plane.counted.rejections.length === 1_500, 'all others rejected');
    const { address_pending: ofAddress = 0, pending_refused: refused = 0 } = reasons();
    expect(ofAddress + refused).toBe(1_500);
    expect(served).toEqual([]);
    expect(await signIn('127.0.0.1')).toBe(200);
    expect(await signIn('127.0.0.2')).toBe(200);
    await until(() => plane.audited.length === 1_500 - refused + 1, 'each rejection audited');
    expect(plane.audited[0]).toMatchObject({
      requestURI: TOKEN,
      user: {},
      responseStatus: { code: 429 },
      annotations: { 'portcullis.dev/reason': 'address_pending' },
    });
  });

  it('are limited by connection, where a credential was accepted on it', async () => {
    await start();
    const alice = await signInUser(plane);
    const h2 = await http2Connection(plane, alice.certificate);
    expect((await h2.call(alice, '/api')).status).toBe(200);
    const beyond = 20;
    for (let index = 0; index < MOST_PENDING.connection + beyond; index += 1)
      h2.open({ token: '' }, TOKEN, { method: 'POST', body: null, token: null });
    await until(() => plane.counted.rejections.length === beyond, 'all others rejected');
    expect(reasons()).toEqual({ connection_pending: beyond });
    h2.close();
  });

  it('are limited in all, from however many addresses they come, and give way there as well', async () => {
    await start();
    for (let each = 1; each <= 21; each += 1) await flood(`127.0.1.${each}`, 4, 25);
    await until(() => plane.counted.rejections.length === 100, 'all but 2,000 rejected');
    expect(reasons()).toEqual({ replica_pending: 100 });
    expect(await signIn('127.0.2.1')).toBe(200);
  });

  it.each<[string, readonly Buffer[]]>([
    ['a body that does not come', [head(1)]],
    ['GET with such a body', [head(1, {}, END_HEADERS, 'GET')]],
    ['an expectation', [head(1, { expect: '100-continue' })]],
    ['a length, and less than that', [head(1, { 'content-length': '9' }), frame(DATA, 0, 1, Buffer.from('grant'))]],
    ['empty DATA frames', [head(1), ...Array.from({ length: 50 }, () => frame(DATA, 0, 1))]],
    ['padding alone', [head(1), frame(DATA, PADDED, 1, Buffer.from([4, 0, 0, 0, 0]))]],
  ])('are over in time over HTTP/2, with %s', async (_what, frames) => {
    await start({ timing: { machineBodyMs: 100 } });
    const socket = await attacker('127.0.0.1');
    socket.write(Buffer.concat(frames));
    await until(() => plane.audited.length === 1, 'the rejection');
    expect(plane.audited[0]).toMatchObject({
      responseStatus: { code: 408 },
      annotations: { 'portcullis.dev/reason': 'request_too_slow' },
    });
    expect(served).toEqual([]);
    socket.destroy();
  });

  it('with a head, trailers or a length that are not whole or wrong reach no endpoint', async () => {
    await start();
    const socket = await attacker('127.0.0.1');
    const more = { 'content-length': '9' };
    socket.write(Buffer.concat([head(1, more), frame(DATA, END_STREAM, 1, Buffer.from('grant'))]));
    socket.write(Buffer.concat([head(3), frame(DATA, 0, 3, Buffer.from('grant')), head(3, {}, END_STREAM)]));
    expect(await signIn('127.0.0.1')).toBe(200);
    socket.write(frame(CONTINUATION, 0, 3));
    expect(served).toEqual(['grant_type=refresh_token']);
    socket.destroy();
  });

  it.each([
    ['a body that does not come', 'Content-Length: 9\r\n\r\ngrant'],
    ['a chunk that is not the last', 'Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n'],
    ['an expectation', 'Content-Length: 9\r\nExpect: 100-continue\r\n\r\n'],
  ])('are over in time over HTTP/1.1, with %s', async (_what, rest) => {
    await start({ timing: { machineBodyMs: 100 } });
    const connection = await rawConnection(plane, null);
    connection.socket.write(`POST ${TOKEN} HTTP/1.1\r\nHost: ${HOST}\r\n${rest}`);
    await connection.ended;
    expect(statusesOf(connection.received()).at(-1)).toBe(408);
    expect(connection.received()).toContain('"error":"invalid_request"');
    expect(served).toEqual([]);
  });
});

describe('requests that are pipelined over HTTP/1.1', () => {
  it.each([
    ['to a cluster', 'GET /api/v1/pods HTTP/1.1\r\nHost: HOST\r\n\r\n', 8],
    ['without a Host', 'GET / HTTP/1.1\r\n\r\n', 8],
    ['to an endpoint of Portcullis itself', 'GET /-/x HTTP/1.1\r\nHost: HOST\r\n\r\n', 0],
    ['as CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: HOST\r\n\r\n', 0],
  ])('are eight at most, and nothing behind them is read: %s', async (_what, request, audited) => {
    let begun = 0;
    await start({ machineHandler: () => void (begun += 1) });
    const connection = await rawConnection(plane, null);
    // Half of these bytes are in one piece, and all of it had been read before.
    connection.socket.write(request.replace('HOST', HOST).repeat(1_000));
    await connection.ended;
    await until(() => plane.audited.length > audited, 'the audit events');
    expect(begun).toBeLessThanOrEqual(8);
    expect(plane.audited).toHaveLength(audited + 1);
    const { pipelined_requests: tooMany = 0, connect_method: connects = 0 } = reasons();
    expect(tooMany + connects).toBe(1);
  });

  it('are eight at most for a user as well', async () => {
    await start();
    const alice = await signInUser(plane);
    plane.upstream.answer = () => undefined;
    const connection = await rawConnection(plane, alice.certificate);
    const request = `GET /api HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`;
    connection.socket.write(request.repeat(8));
    await until(() => plane.upstream.requests.length === 8, 'eight at the API server');
    connection.socket.write(request.repeat(8));
    await connection.ended;
    await until(() => plane.audited.length === 9, 'each of them audited');
    expect(reasons()).toEqual({ pipelined_requests: 1 });
  });
});

describe('a body for an endpoint of Portcullis itself', () => {
  const large = 'x'.repeat(33_000);

  it('arrives whole, however small its pieces are, and the connection goes on', async () => {
    await start();
    const h1 = await rawConnection(plane, null);
    for (const round of [1, 2]) {
      h1.socket.write(`POST ${TOKEN} HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      for (const each of 'grant') h1.socket.write(`1\r\n${each}\r\n`);
      h1.socket.write('0\r\n\r\n');
      await until(() => statusesOf(h1.received()).length === round, 'the response');
    }
    const h2 = await http2Connection(plane, null);
    const answer = h2.open({ token: '' }, TOKEN, { method: 'POST', body: null, token: null });
    for (const each of 'grant') answer.stream.write(each);
    answer.stream.end();
    expect((await answer.head).status).toBe(200);
    expect(served).toEqual(['grant', 'grant', 'grant']);
    h2.close();
    h1.socket.destroy();
  });

  it.each([
    ['announced', { 'content-length': String(large.length) }],
    ['not announced', {}],
  ])('is rejected where it is larger than 32 kB, %s', async (_what, headers) => {
    await start();
    const h2 = await http2Connection(plane, null);
    const answer = h2.open({ token: '' }, TOKEN, { method: 'POST', body: null, token: null, headers });
    answer.stream.write(large);
    expect((await answer.head).status).toBe(413);
    const h1 = await rawConnection(plane, null);
    const framing = 'content-length' in headers ? `Content-Length: ${large.length}` : 'Transfer-Encoding: chunked';
    h1.socket.write(`POST ${TOKEN} HTTP/1.1\r\nHost: ${HOST}\r\n${framing}\r\n\r\n`);
    if (!('content-length' in headers)) h1.socket.write(`${large.length.toString(16)}\r\n${large}\r\n`);
    await h1.ended;
    expect(statusesOf(h1.received())).toEqual([413]);
    expect(served).toEqual([]);
    h2.close();
  });
});

describe('responses without a credential', () => {
  /** Opens connections and sends half of the requests of each to our own endpoints. @returns what came back so far */
  async function ask(
    connections: number,
    requests: number,
    { from, before }: { readonly from: (index: number) => string; readonly before: Buffer },
  ): Promise<() => string[]> {
    const sockets = await Promise.all(Array.from({ length: connections }, (_, index) => attacker(from(index))));
    const received = sockets.map((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
      return chunks;
    });
    const paths = Array.from({ length: requests }, (_, index) => (index % 2 === 0 ? TOKEN : '/api'));
    const heads = paths.map((path, index) => head(1 + 2 * index, { ':path': path }, END_HEADERS | END_STREAM, 'GET'));
    for (const socket of sockets) socket.write(Buffer.concat([before, ...heads]));
    return () => received.flatMap((chunks) => answersIn(Buffer.concat(chunks)));
  }
  const resetsOf = (answers: readonly string[]): number => answers.filter((each) => each.startsWith('reset')).length;

  it('are a thousand at most that are not read, on however many connections, and leave space for others', async () => {
    await start({ timing: { unreadLocalMs: 60_000 } });
    // Few of each connection and of each address.
    const answers = await ask(40, 30, { from: (index) => `127.0.3.${1 + (index % 4)}`, before: WITHOUT_WINDOW });
    await until(() => answers().length === 1_400 && resetsOf(answers()) === 200, '200 of 1,200 reset');
    expect(served).toHaveLength(600);
    expect(await signIn('127.0.3.1')).toBe(200);
  });

  it('all reach those who read them, although thousands share an address', async () => {
    await start();
    const answers = await ask(100, 30, { from: () => '127.0.0.1', before: Buffer.alloc(0) });
    await until(() => answers().length === 3_000, 'all');
    expect(resetsOf(answers())).toBe(0);
  });
});

describe('a response of an endpoint that is never read', () => {
  it('holds no converted connection', async () => {
    await start({ timing: { unreadLocalMs: 60_000 } });
    const socket = await http2Socket(plane, null);
    socket.write(
      Buffer.concat([PREFACE.subarray(0, 24), WITHOUT_WINDOW, head(1, {}, END_HEADERS | END_STREAM, 'GET')]),
    );
    await until(() => closed === 1, 'the end of the connection that it was converted to');
    expect(served).toEqual(['']);
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });

  it('holds nothing once its client has reset its stream, with the code 0 as well', async () => {
    await start({ timing: { unreadLocalMs: 60_000 } });
    const socket = await http2Socket(plane, null);
    const asked = (index: number): Buffer => head(1 + 2 * index, {}, END_HEADERS | END_STREAM, 'GET');
    const reset = (index: number): Buffer => frame(RST_STREAM, 0, 1 + 2 * index, Buffer.alloc(4));
    // As many as a connection may have before a credential is accepted on it.
    const all = Array.from({ length: 32 }, (_, index) => index);
    socket.write(Buffer.concat([PREFACE.subarray(0, 24), WITHOUT_WINDOW, ...all.map(asked)]));
    await until(() => closed === all.length, 'all responses');
    socket.write(Buffer.concat(all.map(reset)));
    let next = all.length;
    const timer = setInterval(() => socket.write(asked(next++)), 200);
    onTestFinished(() => clearInterval(timer));
    await until(() => served.length > all.length, 'another request at its endpoint');
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });
});
