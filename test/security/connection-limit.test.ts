/** An attacker who holds connections that wait for them keeps no user from getting one. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { call, HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { RawConnection, TestPlane, TestUser } from '../support/data-plane.ts';
import type { SystemBuffers } from '../../src/proxy/listener/system-buffers.ts';
import { clientHello } from '../support/client-hello.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import { END_STREAM, PREFACE } from '../support/http2-frames.ts';
import { headers } from './http2-frames.ts';

const PODS = '/api/v1/namespaces/default/pods';
const MOST = 48;
/** Between two sweeps for connections that must give way. */
const SWEEP_MS = 250;
/** How long a connection may wait for its client. */
const WAIT_MS = 100;

let plane: TestPlane;
let alice: TestUser;
let hello: Buffer;
let ends: (() => void)[];
/** Of the memory that there is. */
let used: number;
beforeAll(async () => {
  hello = await clientHello();
});
beforeEach(async () => {
  ends = [];
  used = 0.4;
  await start(MOST);
});
afterEach(async () => {
  for (const end of ends) end();
  await plane.close();
});

async function start(connections: number, systemBuffers?: SystemBuffers): Promise<void> {
  // A crowd, both ends of it in this process, takes a busy machine longer than a lease of 2 s.
  plane = await startPlane({
    limits: { connections },
    stalenessSeconds: 60,
    timing: { giveWayMs: WAIT_MS },
    memoryInUse: () => used,
    systemBuffers,
  });
  alice = await signIn(plane);
}

const get = (path: string, token: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${token}\r\n\r\n`;

async function tcp(bytes = ''): Promise<Socket> {
  const socket = connect({ port: plane.port, allowHalfOpen: true });
  socket.on('error', () => undefined);
  ends.push(() => socket.destroy());
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  socket.write(bytes, 'latin1');
  return socket;
}

/** @param expected what is received after the bytes */
async function tls(bytes = '', expected = '', user = alice): Promise<Socket> {
  const connection = await rawConnection(plane, user.certificate);
  const { socket } = connection;
  ends.push(() => socket.destroy());
  socket.write(bytes);
  await until(() => connection.received().includes(expected) || socket.destroyed, 'the response');
  return socket;
}

async function http2(token: string): Promise<void> {
  const connection = await http2Connection(plane, alice.certificate);
  ends.push(() => connection.close());
  await connection.call({ token }, PODS);
}

it.each<[what: string, open: () => Promise<unknown>]>([
  ['send nothing', () => tcp()],
  ['begin a handshake', () => tcp('\u0016\u0003\u0001\u0002\u0000\u0001')],
  ['send a ClientHello, and nothing after it', () => tcp(hello.toString('latin1'))],
  ['send no request', () => tls()],
  ['send half a head', () => tls(get(PODS, 'x').slice(0, 40))],
  ['had a request rejected', () => tls(get(PODS, 'x'), ' 401 ')],
  ['had a request rejected over HTTP/2', () => http2('x')],
  ['are a user’s, who asks for nothing more', () => tls(get(PODS, alice.token), ' 200 ')],
  ['are a user’s over HTTP/2', () => http2(alice.token)],
])('connections that %s leave space for others, and what is under way goes on', async (_what, open) => {
  // Where memory may become short, idle ones are not taken for those that still read.
  used = 0.55;
  const bob = await signIn(plane, { subject: 'bob' });
  plane.upstream.answer = ({ method, url = '' }, res) => {
    if (url.includes('watch')) res.writeHead(200).write('{}\n');
    else if (method === 'GET') res.end('{}');
  };
  const watch = await tls(get(`${PODS}?watch=1`, bob.token), '{}', bob);
  const upload = await tls(
    get(PODS, bob.token).replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 9\r\n\r\n{'),
    '',
    bob,
  );
  await until(() => plane.guard.inFlight === 2, 'a watch and an upload');
  // As many as can be had, and it is tried again and again.
  for (let round = 0; round < 2; round += 1) {
    await Promise.allSettled(Array.from({ length: MOST }, open));
    await pause(WAIT_MS + 2 * SWEEP_MS);
  }
  for (let each = 0; each < 3; each += 1) expect((await call(plane, bob, PODS)).status).toBe(200);
  expect([watch.destroyed, upload.destroyed, plane.guard.inFlight]).toEqual([false, false, 2]);
  expect(plane.counted.rejections).toContain('connection_gave_way');
});

it('connections without a credential have a fifth, also where there is space', async () => {
  const users = await Promise.all(Array.from({ length: 5 }, () => tls(get(PODS, alice.token), ' 200 ')));
  // On a busy machine the first of them give way before the last have their response.
  const opened = await Promise.allSettled(Array.from({ length: MOST / 2 }, () => tls(get(PODS, 'x'), ' 401 ')));
  const unauthenticated = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const open = (sockets: readonly Socket[]): number => sockets.filter(({ destroyed }) => !destroyed).length;
  await until(() => open(unauthenticated) <= Math.ceil(MOST / 5), 'those beyond a fifth closed');
  await pause(WAIT_MS + 2 * SWEEP_MS);
  expect([open(unauthenticated) > 0, open(users)]).toEqual([true, users.length]);
});

it('one with a request in flight stays its account’s after a bad token, and takes no place of those without any', async () => {
  plane.upstream.answer = ({ url = '' }, res) => void (url.includes('watch') && res.writeHead(200).write('{}\n'));
  for (let each = 0; each < 10; each += 1) {
    const socket = await tls(get(`${PODS}?watch=1`, alice.token), '{}');
    // Behind the watch: its response is to come after it.
    socket.write(get(PODS, 'x'));
  }
  const others = await Promise.all(Array.from({ length: 5 }, () => tls(get(PODS, 'x'), ' 401 ')));
  await pause(WAIT_MS + 2 * SWEEP_MS);
  expect([others.filter(({ destroyed }) => destroyed).length, plane.guard.inFlight]).toEqual([0, 10]);
});

it('connections that must give way are closed here, whatever they have begun, and where their clients do not close', async () => {
  const head = [
    [':method', 'GET'],
    [':path', PODS],
    [':scheme', 'https'],
    [':authority', HOST],
    ['authorization', `Bearer ${alice.token}`],
  ] as const;
  for (let each = 0; each < MOST; each += 1) {
    const socket = await http2Socket(plane, alice.certificate, await tcp());
    let received = '';
    socket.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')));
    socket.write(Buffer.concat([PREFACE, headers(head), headers(head, END_STREAM, 3)]));
    // On a busy machine one of the crowd gives way before its response.
    await until(() => received !== '' || socket.destroyed, 'the response');
  }
  const open = (): Promise<number> =>
    new Promise((resolve) => void plane.listener.server.getConnections((_error, count) => resolve(count)));
  await expect.poll(open, { timeout: 20_000 }).toBeLessThanOrEqual(MOST - MOST / 16);
});

it('where memory is critical, requests of the account with the most end with a Status, and are audited with the reason', async () => {
  const bob = await signIn(plane, { subject: 'bob' });
  plane.upstream.answer = ({ url = '' }, res) => void (url.includes('watch') && res.writeHead(200).write('{}\n'));
  const create = get(PODS, alice.token).replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\n{}');
  const received: (() => string)[] = [];
  for (let each = 0; each < 20; each += 1) {
    const connection = await rawConnection(plane, alice.certificate);
    ends.push(() => connection.socket.destroy());
    connection.socket.write(create);
    received.push(() => connection.received());
  }
  const watch = await tls(get(`${PODS}?watch=1`, bob.token), '{}', bob);
  await until(() => plane.upstream.requests.length === 21, 'all of them at the API server');
  used = 0.73;
  const ended = (): readonly string[] => received.map((text) => text()).filter((text) => text !== '');
  await until(() => ended().length >= 5, 'several of them to be ended');
  for (const text of ended())
    expect(text).toMatch(/^HTTP\/1.1 503 [^]*hardly any memory left[^]*; the request may have been executed/);
  expect([watch.destroyed, plane.guard.inFlight]).toEqual([false, 21 - ended().length]);
  const reasons = plane.audited.map(({ annotations }) => annotations?.['portcullis.dev/reason']);
  expect(reasons.filter((reason) => reason === 'memory_short')).toHaveLength(ended().length);
});

/** How many connections to the API server hold much that it has not taken, as the system tells. */
function untaken(): number {
  const { port } = new URL(plane.upstream.server);
  const end = `:${Number(port).toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1, -1);
  return lines.filter((line) => {
    const [, , remote = '', , queues = ''] = line.trim().split(/\s+/);
    return remote.endsWith(end) && Number.parseInt(queues, 16) > 65_536;
  }).length;
}

/** Memory grows by a step with each sweep, for as long as it takes. */
async function becomesShort(isDone: () => boolean): Promise<void> {
  used = 0.61;
  while (!isDone() && used < 0.84) {
    await pause(SWEEP_MS);
    used += 0.01;
  }
}

/** Connections are counted by what is open on them once this has resolved. */
async function isFilling(): Promise<void> {
  used = 0.55;
  await tls(get(PODS, alice.token), ' 200 ');
  await pause(2 * SWEEP_MS);
}

describe('what the system holds, because it is not taken,', () => {
  /** What it says of each connection. Bytes. */
  let held: number;
  beforeEach(async () => {
    await plane.close();
    // An account may have 256 of them: what it is held for here counts as fewer.
    await start(1_000, { of: () => held, lookedMs: Infinity });
    held = 1_500_000;
    // No more than any system takes at once.
    plane.upstream.answer = (_req, res) => void res.end(Buffer.alloc(70_000));
  });

  /** Leaves a whole response to the system. */
  async function leavesUnread(how: 'kept' | 'closed' | 'half-closed'): Promise<RawConnection> {
    const connection = await rawConnection(plane, alice.certificate);
    const { socket } = connection;
    ends.push(() => socket.destroy());
    socket.pause();
    const head = get(PODS, alice.token);
    socket.write(how === 'closed' ? head.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n') : head);
    const audited = plane.audited.length;
    await until(() => plane.audited.length > audited && plane.guard.inFlight === 0, 'the response to be whole');
    if (how === 'half-closed') socket.end();
    return connection;
  }

  it('of responses that are whole is dropped where memory is short, on connections that are kept, closed or half-closed', async () => {
    await isFilling();
    for (const how of ['kept', 'closed', 'half-closed'] as const) {
      for (let each = 0; each < 4; each += 1) await leavesUnread(how);
    }
    const gaveWay = (): number => plane.counted.rejections.filter((each) => each === 'connection_gave_way').length;
    await becomesShort(() => gaveWay() > 8);
    await expect.poll(gaveWay, { timeout: 20_000 }).toBeGreaterThan(8);
  });

  it('of a response is left to a client that reads it late, and the connection ends then', async () => {
    await isFilling();
    const { socket, ended } = await leavesUnread('closed');
    await pause(4 * SWEEP_MS);
    held = 0;
    socket.resume();
    expect(await ended).toBe('end');
  });

  it('of what a client has left to pods is dropped where memory is short', async () => {
    await plane.close();
    await start(1_000);
    plane.upstream.answerUpgrade = (_req, socket) => {
      socket.pause();
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
    };
    await isFilling();
    const upgrade = get(`${PODS}/p/attach?stdin=1`, alice.token);
    for (let each = 0; each < 4; each += 1) {
      const socket = await tls(
        upgrade.replace('\r\n\r\n', '\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n'),
        ' 101 ',
      );
      socket.write(Buffer.alloc(4_000_000));
      // Not again and again: where the machine has thousands of connections, to read all of them takes a while.
      await expect.poll(untaken, { timeout: 20_000, interval: 50 }).toBeGreaterThan(each);
      socket.end();
    }
    // The tunnels are over for their clients, and go on for their pods.
    await pause(2 * SWEEP_MS);
    expect(untaken()).toBe(4);
    await becomesShort(() => untaken() <= 1);
    await expect.poll(untaken, { timeout: 20_000 }).toBeLessThanOrEqual(1);
  });
});
