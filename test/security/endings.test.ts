import { afterEach, describe, expect, it } from 'vitest';
import { HOST, open, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, PlaneOptions, RawConnection, TestPlane } from '../support/data-plane.ts';
import { http2Socket } from '../support/http2-client.ts';
import { END_HEADERS, END_STREAM, PREFACE, SETTINGS, frame, headersFrame } from '../support/http2-frames.ts';
import type { RecordingUpstream } from '../support/upstream.ts';
import { answersIn } from './http2-frames.ts';
import { statusesOf } from './wire.ts';

const SECRET = '/api/v1/namespaces/default/secrets/s';
const BINDINGS = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
const EVENT = '{"type":"ADDED","object":{}}\n';
const STATUS = '{"kind":"Status","apiVersion":"v1"}';
const PATIENCE = 20_000;

let plane: TestPlane;
let alice: TestUser;
afterEach(() => plane.close());

async function start(options: PlaneOptions = {}): Promise<void> {
  plane = await startPlane(options);
  alice = await signIn(plane);
}

/** Watches last; everything else is executed and gets a response immediately. */
const apiServer: RecordingUpstream['answer'] = (req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' });
  if (req.url?.includes('watch=') === true) res.write(EVENT);
  else res.end(STATUS);
};

const wired = (text: string): string =>
  text.replaceAll('\n', '\r\n').replaceAll('HOST', HOST).replaceAll('TOKEN', alice.token);

const authorized = (line: string, more = ''): string =>
  wired(`${line} HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n${more}\n`);

const ended = (verb: string): boolean =>
  plane.audited.some((event) => event.stage === 'ResponseComplete' && event.verb === verb);

const wasExecuted = (method: string): boolean => plane.upstream.requests.some((request) => request.method === method);

/** A watch, and two writes pipelined after it, all of them at the API server. */
async function writesBehindAWatch(): Promise<RawConnection> {
  plane.upstream.answer = apiServer;
  const connection = await rawConnection(plane, alice.certificate);
  connection.socket.write(authorized('GET /api/v1/pods?watch=1'));
  connection.socket.write(authorized(`POST ${BINDINGS}`, 'Content-Length: 2\n') + '{}');
  connection.socket.write(authorized(`DELETE ${SECRET}`));
  await until(() => wasExecuted('POST') && wasExecuted('DELETE'), 'both writes at the API server', PATIENCE);
  return connection;
}

const allRecorded = (): Promise<void> =>
  until(() => ended('watch') && ended('create') && ended('delete'), 'all three in the audit log', PATIENCE);

const nothingLeft = (): Promise<void> => until(() => plane.guard.inFlight === 0, 'nothing in flight', PATIENCE);

const WEBSOCKET = 'Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\nSec-WebSocket-Version: 13\n';

describe('requests pipelined after one that lasts', () => {
  it.each([
    ['an upgrade to an unknown protocol', 'GET /x HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: foo\n\n'],
    ['a WebSocket', `GET /api/v1/namespaces/default/pods/web/exec HTTP/1.1\nHost: HOST\n${WEBSOCKET}\n`],
    ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\nHost: HOST\n\n'],
  ])('are in the audit log, and the connection is reset, when %s follows', async (_what, bytes) => {
    await start();
    const connection = await writesBehindAWatch();
    connection.socket.write(wired(bytes));
    expect(await connection.ended).toBe('ECONNRESET');
    await allRecorded();
    await nothingLeft();
    expect(plane.audited.map((event) => event.annotations['portcullis.dev/reason'])).toContain('upgrade_pipelined');
    expect(plane.counted.rejections).toEqual(['upgrade_pipelined']);
    expect(plane.counted.streams).toBe(0);
  });

  it('are distinguished from an upgrade on a connection whose last response the client has just read', async () => {
    await start();
    plane.upstream.answer = apiServer;
    const connection = await rawConnection(plane, alice.certificate);
    for (let round = 1; round <= 50; round += 1) {
      connection.socket.write(wired('GET /api HTTP/1.1\nHost: HOST\n\n'));
      await until(() => statusesOf(connection.received()).length === round, `answer ${round}`, PATIENCE);
    }
    connection.socket.write(wired(`GET /api/v1/namespaces/default/pods/web/exec HTTP/1.1\nHost: HOST\n${WEBSOCKET}\n`));
    expect(await connection.ended).toBe('end');
    expect(plane.counted.rejections).not.toContain('upgrade_pipelined');
  });

  it('are in the audit log while the client still waits for the first response, and nothing is left when it disconnects', async () => {
    await start();
    const connection = await writesBehindAWatch();
    await until(() => ended('create') && ended('delete'), 'both writes in the audit log', PATIENCE);
    expect(ended('watch')).toBe(false);
    await until(() => statusesOf(connection.received()).length > 0, 'the head of the watch', PATIENCE);
    expect(statusesOf(connection.received())).toEqual([200]);
    connection.socket.destroy();
    await allRecorded();
    await nothingLeft();
  });

  it('leave nothing in memory without any credential', async () => {
    let waiting = 0;
    await start({ machineHandler: () => void (waiting += 1) });
    const connection = await rawConnection(plane, null);
    // The first never gets a response, so that everything after it is queued.
    connection.socket.write(wired('GET /-/x HTTP/1.1\nHost: HOST\n\n'));
    await until(() => waiting === 1, 'the first request');
    const many = wired('GET /api HTTP/1.1\nHost: HOST\n\n').repeat(5);
    connection.socket.write(`${many}${wired('GET /x HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: foo\n\n')}`);
    await connection.ended;
    await nothingLeft();
    await until(() => plane.audited.length === 6, 'each of them in the audit log', PATIENCE);
    expect(plane.counted.rejections.filter((reason) => reason === 'upgrade_pipelined')).toHaveLength(1);
  });
});

const withoutWindow = Buffer.concat([
  PREFACE.subarray(0, PREFACE.indexOf('SM\r\n\r\n') + 6),
  // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of a body may ever be sent.
  frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])),
]);

const http2Request = (stream: number, method: string, path: string, token: string): Buffer =>
  headersFrame(
    stream,
    {
      ':method': method,
      ':scheme': 'https',
      ':path': path,
      ':authority': HOST,
      authorization: `Bearer ${token}`,
      'x-padding': 'x'.repeat(8_000),
    },
    END_STREAM | END_HEADERS,
  );

/** An HTTP/2 connection made of raw frames. */
async function http2ByHand(): Promise<{
  readonly write: (bytes: Buffer) => void;
  readonly answers: () => string[];
  readonly closed: () => boolean;
}> {
  const socket = await http2Socket(plane, alice.certificate);
  const chunks: Buffer[] = [];
  let closed = false;
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.once('close', () => (closed = true));
  return {
    write: (bytes) => void socket.write(bytes),
    answers: () => answersIn(Buffer.concat(chunks)),
    closed: () => closed,
  };
}

describe('an HTTP/2 client that never reads', () => {
  it('is in the audit log when the API server has responded, and its response is reset after a time', async () => {
    await start({ timing: { unreadMs: 500 } });
    plane.upstream.answer = apiServer;
    const client = await http2ByHand();
    client.write(withoutWindow);
    client.write(http2Request(1, 'DELETE', SECRET, alice.token));
    await until(() => ended('delete'), 'the DELETE in the audit log', PATIENCE);
    await until(() => client.answers().length === 2, 'an answer and its reset', PATIENCE);
    expect(client.answers()).toEqual(['200', 'reset INTERNAL_ERROR']);
    await nothingLeft();
    expect(plane.audited.filter((event) => event.verb === 'delete')).toHaveLength(1);
  });

  it('cannot keep its requests open nor, with many rejections, its connection', async () => {
    await start({ timing: { unreadLocalMs: 60_000 } });
    const client = await http2ByHand();
    client.write(withoutWindow);
    // From here on the connection may have more streams than one of which nothing is known.
    client.write(http2Request(1, 'DELETE', SECRET, alice.token));
    await until(() => ended('delete'), 'the first', PATIENCE);
    for (let index = 1; index <= 100; index += 1) client.write(http2Request(1 + 2 * index, 'GET', '/api', 'bad'));
    await until(() => plane.audited.filter(({ verb }) => verb !== 'delete').length === 100, 'each', PATIENCE);
    // A rejected request has ended for the proxy, however much of the response its client reads.
    expect(plane.guard.inFlight).toBe(1);
    await until(client.closed, 'the end of the connection', PATIENCE);
  });

  it('is not waited for when the proxy shuts down', async () => {
    await start();
    plane.upstream.answer = apiServer;
    const client = await http2ByHand();
    client.write(withoutWindow);
    client.write(http2Request(1, 'DELETE', SECRET, alice.token));
    client.write(http2Request(3, 'GET', '/api', 'bad'));
    await until(() => ended('delete') && plane.audited.length === 2, 'both in the audit log', PATIENCE);
    const began = performance.now();
    await plane.listener.drain({ delay: 0, grace: 600 });
    expect(performance.now() - began).toBeLessThan(60_000);
  });
});

describe('an HTTP/1.1 client that never reads', () => {
  it('loses a response that it does not read, and keeps a stream that it reads late', async () => {
    await start({ timing: { unreadMs: 500 } });
    const large = Buffer.alloc(65_536, 'x');
    plane.upstream.answer = (req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      const more = (): void => {
        while (!res.destroyed && res.write(large)) continue;
        res.once('drain', more);
      };
      more();
    };
    const list = open(plane, alice, '/api/v1/pods');
    const logs = open(plane, alice, '/api/v1/namespaces/default/pods/web/log?follow=true');
    for (const request of [list, logs]) {
      request.on('response', (response) => response.pause().on('error', () => undefined));
      request.end();
    }
    await until(() => plane.upstream.requests.length === 2, 'both at the API server', PATIENCE);
    await until(() => ended('list'), 'the list in the audit log', PATIENCE);
    expect(plane.audited.find((event) => event.verb === 'list')?.annotations).toMatchObject({
      'portcullis.dev/reason': 'answer_not_taken',
    });
    expect(plane.guard.inFlight).toBe(1);
    logs.destroy();
    await nothingLeft();
  });
});
