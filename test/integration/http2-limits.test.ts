import type { TLSSocket } from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { queryObjects } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { busyFor } from '../support/busy.ts';
import { HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, PlaneOptions, TestPlane } from '../support/data-plane.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import {
  CONTINUATION,
  END_HEADERS,
  END_STREAM,
  PING,
  PREFACE,
  RST_STREAM,
  SETTINGS,
  frame,
  headerBlock,
  headersFrame,
} from '../support/http2-frames.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EVENT = '{"type":"ADDED","object":{}}\n';

let plane: TestPlane;
let alice: TestUser;
afterEach(() => plane.close());

async function start(options: PlaneOptions = {}): Promise<void> {
  plane = await startPlane(options);
  alice = await signIn(plane);
}

const quietWatch = (): void => {
  plane.upstream.answer = (_req, res) => void res.writeHead(200, { 'content-type': 'application/json' }).write(EVENT);
};

const get = (user: TestUser, path = PODS): Record<string, string> => ({
  ':method': 'GET',
  ':path': path,
  ':scheme': 'https',
  ':authority': HOST,
  authorization: `Bearer ${user.token}`,
});

/** Returns how a hand-written connection ended: an RST, or an orderly end. */
async function ending(socket: TLSSocket): Promise<string> {
  let outcome = 'end';
  socket.on('error', (error: NodeJS.ErrnoException) => (outcome = error.code ?? 'error'));
  socket.resume();
  if (!socket.closed) {
    await new Promise((resolve) => {
      socket.once('close', resolve);
    });
  }
  return outcome;
}

/** Returns the number of timer lists in Node, one for each duration; counted after a garbage collection. */
function timerLists(): number {
  const alone = setTimeout(() => undefined, 123_456_789);
  const { _idlePrev: list } = alone as unknown as { readonly _idlePrev: object };
  clearTimeout(alone);
  return queryObjects(list.constructor, { format: 'count' });
}

describe('the age of an HTTP/2 connection', () => {
  it('leaves no timer behind when the connection has closed before', async () => {
    await start();
    quietWatch();
    const before = timerLists();
    for (let count = 0; count < 20; count += 1) {
      const h2 = await http2Connection(plane, alice.certificate);
      const watch = h2.open(alice, `${PODS}?watch=1`);
      await until(() => watch.received() === EVENT, 'the first event');
      h2.close();
    }
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    // Each count looks at all there is in memory.
    await expect.poll(timerLists, { interval: 500 }).toBeLessThan(before + 10);
  });

  it('ends by GOAWAY, at a random time between one age and two; streams in progress go on', async () => {
    await start({ timing: { connectionAgeMs: 100 } });
    quietWatch();
    const h2 = await http2Connection(plane, alice.certificate);
    const opened = performance.now();
    const watch = h2.open(alice, `${PODS}?watch=1`);
    await until(() => watch.received() === EVENT, 'the first event');
    await until(() => h2.goaways.length > 0, 'GOAWAY');
    expect(performance.now() - opened).toBeGreaterThan(90);
    expect(h2.goaways[0]).toBe(0);
    expect(watch.stream.destroyed).toBe(false);
    await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
    expect(await watch.ended).toBe('INTERNAL_ERROR');
    expect(watch.received()).toContain('"type":"ERROR"');
    await h2.closed;
  });

  it('reports by the number in GOAWAY that a request which crossed it was not served', async () => {
    // The first request has to be there before.
    await start({ timing: { connectionAgeMs: 500 } });
    quietWatch();
    const socket = await http2Socket(plane, alice.certificate);
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void received.push(chunk));
    socket.write(Buffer.concat([PREFACE, headersFrame(1, get(alice, `${PODS}?watch=1`), END_HEADERS | END_STREAM)]));
    // Type 7, for stream 1, without an error.
    const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    await until(() => Buffer.concat(received).includes(goaway), 'GOAWAY');
    socket.write(headersFrame(3, get(alice), END_HEADERS | END_STREAM));
    socket.write(frame(PING, 0, 0, Buffer.from('answered')));
    await until(() => Buffer.concat(received).includes('answered'), 'the response to a PING after it');
    expect(plane.upstream.requests).toHaveLength(1);
    socket.destroy();
  });

  it('is followed by the end of the connection, also where the client does not close it', async () => {
    await start({ timing: { connectionAgeMs: 50 } });
    const socket = await http2Socket(plane, alice.certificate);
    socket.write(PREFACE);
    expect(['end', 'ECONNRESET']).toContain(await ending(socket));
  });
});

/**
 * A client with a watch, in its own thread. It reports when data such as a PING arrives, and its own data is
 * delayed.
 */
const FAR_CLIENT = `
  const { connect, createServer } = require('node:net');
  const http2 = require('node:http2');
  const { parentPort, workerData: { port, servername, certificate, head } } = require('node:worker_threads');
  const way = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    far.on('data', (bytes) => void (near.write(bytes), open && parentPort.postMessage('came')));
    near.on('data', (bytes) => void setTimeout(() => far.write(bytes), 150));
    for (const [socket, other] of [[near, far], [far, near]]) socket.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  let open = false;
  way.listen(0, '127.0.0.1', () => {
    const url = 'https://127.0.0.1:' + way.address().port;
    const session = http2.connect(url, { servername, rejectUnauthorized: false, ...certificate });
    session.on('error', () => undefined).on('goaway', () => parentPort.postMessage('goaway'));
    session.request(head).on('error', () => undefined).once('data', () => {
      open = true;
      parentPort.postMessage('open');
    });
  });
`;

describe('an HTTP/2 connection is ended', () => {
  it('when its peer acknowledges no PING and sends nothing', async () => {
    await start({ timing: { pingMs: 60 } });
    quietWatch();
    const socket = await http2Socket(plane, alice.certificate);
    socket.write(Buffer.concat([PREFACE, headersFrame(1, get(alice, `${PODS}?watch=1`), END_HEADERS | END_STREAM)]));
    expect(await ending(socket)).toBe('ECONNRESET');
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
  });

  it('when its peer sends a head byte by byte, and nothing else is open', async () => {
    await start({ timing: { pingMs: 60 } });
    const socket = await http2Socket(plane, alice.certificate);
    const begun = headersFrame(3, { ...get(alice), x: 'x'.repeat(4_000) }, END_HEADERS | END_STREAM);
    socket.write(Buffer.concat([PREFACE, headersFrame(1, get(alice), END_HEADERS | END_STREAM)]));
    let sent = 0;
    const sending = setInterval(() => void socket.write(begun.subarray(sent, (sent += 1))), 20);
    const ended = await ending(socket);
    clearInterval(sending);
    expect(ended).toBe('ECONNRESET');
    expect(sent).toBeLessThan(begun.length);
  });

  it('but not while it responds, however quiet its watch and however busy this process are', async () => {
    await start({ timing: { pingMs: 500, headMs: 500 }, limits: { idle: 0.5 } });
    quietWatch();
    const head = get(alice, `${PODS}?watch=1`);
    // In a thread of its own: a client beside the listener stands still with it, and its PONG would not be there.
    await using far = new Worker(FAR_CLIENT, {
      eval: true,
      workerData: { port: plane.port, servername: HOST, certificate: alice.certificate, head },
    });
    const said: string[] = [];
    far.on('message', (message: string) => void said.push(message));
    await until(() => said.length > 0 && plane.guard.inFlight === 1, 'the watch');
    for (let ping = 1; ping <= 2; ping += 1) {
      await until(() => said.length > ping, 'a PING');
      busyFor(800);
    }
    await nextTurn();
    expect(plane.guard.inFlight).toBe(1);
    expect(said).not.toContain('goaway');
  });

  it('when no request came in time', async () => {
    await start({ timing: { headMs: 80 } });
    const silent = await http2Socket(plane, alice.certificate);
    const begun = await http2Socket(plane, alice.certificate);
    begun.write(Buffer.concat([PREFACE, headersFrame(1, get(alice), 0)]));
    expect(await Promise.all([ending(silent), ending(begun)])).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(plane.counted.rejections).toEqual(['first_request_late', 'first_request_late']);
  });

  it('when it was idle for long enough, by GOAWAY', async () => {
    await start({ limits: { idle: 0.1 } });
    const h2 = await http2Connection(plane, alice.certificate);
    expect((await h2.call(alice, PODS)).status).toBe(200);
    await h2.closed;
    expect(h2.goaways[0]).toBe(0);
  });

  it('when it opens and resets streams endlessly', async () => {
    await start();
    plane.upstream.answer = (_req, res) => void res.on('error', () => undefined);
    const socket = await http2Socket(plane, alice.certificate);
    socket.write(PREFACE);
    const head = headersFrame(1, get(alice), END_HEADERS | END_STREAM);
    const done = ending(socket);
    let next = 1;
    const attack = (): void => {
      const burst: Buffer[] = [];
      for (let i = 0; i < 50; i += 1, next += 2) {
        head.writeUInt32BE(next, 5);
        burst.push(Buffer.from(head), frame(RST_STREAM, 0, next, Buffer.from([0, 0, 0, 8])));
      }
      if (!socket.destroyed && next < 40_000) socket.write(Buffer.concat(burst), () => setImmediate(attack));
    };
    attack();
    await done;
    expect(next).toBeLessThan(5_000);
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    const other = await http2Connection(plane, alice.certificate);
    plane.upstream.answer = answerJson({ kind: 'PodList' });
    expect((await other.call(alice, PODS)).status).toBe(200);
    other.close();
  });

  it.each([
    ['SETTINGS', frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))],
    ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
  ])('when it floods with %s and reads no response', async (_name, one) => {
    // PINGs alone end at this: they are no request.
    await start({ timing: { headMs: 5000 } });
    const socket = await http2Socket(plane, alice.certificate);
    socket.pause();
    socket.write(PREFACE);
    const closed = new Promise((resolve) => {
      socket.once('close', resolve);
    });
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => one));
    let sent = 0;
    const attack = (error?: Error | null): void => {
      if (error instanceof Error || sent === 2000) return;
      sent += 1;
      socket.write(flood, attack);
    };
    attack();
    await closed;
    expect(sent).toBeLessThan(2000);
  });

  it('when it sends CONTINUATION endlessly', async () => {
    await start();
    const socket = await http2Socket(plane, alice.certificate);
    socket.write(Buffer.concat([PREFACE, headersFrame(1, get(alice), 0)]));
    const more = Array.from({ length: 200 }, () => frame(CONTINUATION, 0, 1, headerBlock([['x-a', 'b']])));
    socket.write(Buffer.concat(more));
    await ending(socket);
    await until(() => plane.counted.rejections.length > 0, 'the count');
    expect(plane.upstream.requests).toEqual([]);
    expect(plane.counted.rejections).toEqual(['http2_error']);
  });
});

type Head = [string, string][];
const without = (head: Head, name: string): Head => head.filter(([each]) => each !== name);

describe('the streams of an HTTP/2 connection', () => {
  it('are few until a credential is accepted on it, and many from then on', async () => {
    await start();
    quietWatch();
    const h2 = await http2Connection(plane, alice.certificate);
    const most = () => h2.session.remoteSettings.maxConcurrentStreams;
    expect((await h2.call({ token: 'no-token' }, PODS)).status).toBe(401);
    expect(most()).toBe(32);
    // Those beyond the limit wait at the client, until it is raised by the first of them.
    const watches = Array.from({ length: 60 }, () => h2.open(alice, `${PODS}?watch=1`));
    await until(() => watches.every((watch) => watch.received() === EVENT), 'the events of all');
    expect(most()).toBe(250);
    h2.close();
  });
});

describe('the head of a request over HTTP/2', () => {
  it('is rejected above the limit and above a thousand lines, and nothing reaches the API server', async () => {
    await start();
    const h2 = await http2Connection(plane, alice.certificate);
    // What nghttp2 then enforces, also for a client that does not care.
    expect(h2.session.remoteSettings).toMatchObject({ maxHeaderListSize: 16_384, maxConcurrentStreams: 32 });
    const long = h2.open(alice, PODS, { headers: { 'x-long': 'a'.repeat(20_000) } });
    expect(await long.ended).not.toBe('end');
    // The client of Node ignores the limit that the peer announced; 431 is for clients that did not receive it.
    const many = Array.from({ length: 1100 }, (_, index) => `${index}`);
    const lines = h2.open(alice, PODS, { headers: { 'impersonate-group': many } });
    expect(await lines.ended).not.toBe('end');
    expect(plane.upstream.requests).toEqual([]);
    expect((await h2.call(alice, PODS)).status).toBe(200);
    h2.close();
  });

  it.each([
    [
      'two Host lines that agree',
      (head: Head): Head => [...without(head, ':authority'), ['host', HOST], ['host', HOST]],
    ],
    ['another scheme', (head: Head): Head => [[':scheme', 'http'], ...without(head, ':scheme')]],
    ['a second :path', (head: Head): Head => [[':path', '/version'], ...head]],
    ['a pseudo-header behind the others', (head: Head): Head => [...without(head, ':path'), [':path', PODS]]],
    ['an Upgrade', (head: Head): Head => [...head, ['upgrade', 'websocket'], ['connection', 'upgrade']]],
    [
      'extended CONNECT',
      (head: Head): Head => [[':protocol', 'websocket'], [':method', 'CONNECT'], ...without(head, ':method')],
    ],
  ])('with %s reaches no API server', async (_what, change) => {
    await start();
    const socket = await http2Socket(plane, alice.certificate);
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void received.push(chunk));
    const block = headerBlock(change(Object.entries(get(alice))));
    socket.write(
      Buffer.concat([
        PREFACE,
        frame(1, END_STREAM | END_HEADERS, 1, block),
        frame(PING, 0, 0, Buffer.from('answered')),
      ]),
    );
    const all = (): Buffer => Buffer.concat(received);
    // A Status from the proxy, RST_STREAM (type 3) for stream 1, or GOAWAY (type 7).
    const rejected = (): boolean =>
      all().includes('"status":"Failure"') ||
      all().includes(Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 1])) ||
      all().includes(Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0]));
    await until(() => rejected() || socket.destroyed, 'a rejection');
    expect(plane.upstream.requests).toEqual([]);
    socket.destroy();
  });

  it('is rejected above the limit also where the client has not acknowledged it', async () => {
    await start();
    const socket = await http2Socket(plane, alice.certificate);
    const head = { ...get(alice), 'x-long': 'a'.repeat(12_000), 'x-longer': 'a'.repeat(12_000) };
    const block = headerBlock(Object.entries(head));
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void received.push(chunk));
    socket.write(PREFACE);
    socket.write(
      Buffer.concat([
        frame(1, END_STREAM, 1, block.subarray(0, 16_000)),
        frame(CONTINUATION, END_HEADERS, 1, block.subarray(16_000)),
      ]),
    );
    await until(() => Buffer.concat(received).includes('headers are too large') || socket.destroyed, 'a response');
    expect(Buffer.concat(received).toString()).toContain('the headers are too large');
    expect(plane.upstream.requests).toEqual([]);
    socket.destroy();
  });
});

describe('idle connections over HTTP/1.1', () => {
  it('are closed, and a quiet watch is not', async () => {
    await start({ limits: { idle: 1 }, timing: { headMs: 500 } });
    quietWatch();
    const watch = await rawConnection(plane, alice.certificate);
    const ask = (path: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`;
    watch.socket.write(ask(`${PODS}?watch=1`));
    await until(() => watch.received().includes('ADDED'), 'the first event');
    plane.upstream.answer = answerJson({ kind: 'PodList' });
    const idle = await rawConnection(plane, alice.certificate);
    idle.socket.write(ask(PODS));
    const slow = await rawConnection(plane, alice.certificate);
    slow.socket.write('GET / HTTP/1.1\r\nHost: ');
    expect(await idle.ended).toBe('end');
    await slow.ended;
    expect(slow.received()).toMatch(/^HTTP\/1\.1 408 /);
    expect(watch.socket.destroyed).toBe(false);
    watch.socket.destroy();
  });
});

describe('a server that is fenced', () => {
  it('sends HTTP/2 clients elsewhere by GOAWAY', async () => {
    await start({ auditBlocked: () => true });
    const h2 = await http2Connection(plane, alice.certificate);
    const refused = await h2.call(alice, PODS);
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    await h2.closed;
    expect(h2.goaways[0]).toBe(0);
  });
});
