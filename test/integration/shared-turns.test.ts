/**
 * Thousands of requests or connections in one instant are shared out over turns of the event loop, between which leases are renewed. That a burst
 * costs no lease is measured by `npm run bench -- --only burst`; here it is counted how much is begun in one turn.
 */
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { duplexPair } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { shareHandshakes } from '../../src/proxy/proxy.ts';
import { connectUpstream } from '../../src/proxy/upstream/connect.ts';
import type { UpstreamConnectError, UpstreamLink } from '../../src/proxy/upstream/connect.ts';
import { handshakesInTurns } from '../../src/proxy/listener/handshakes.ts';
import { SharedReading } from '../../src/proxy/listener/shared-reading.ts';
import { FEW_PIPELINED, limitUnreadResponses } from '../../src/server/unread-responses.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { PlaneOptions, TestPlane, TestUser } from '../support/data-plane.ts';
import { clientHello } from '../support/client-hello.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import { keyUpdates, type KeyUpdates } from '../support/key-updates.ts';
import { tinyRecords } from '../support/tiny-records.ts';
import { makeCertificate } from '../support/upstream.ts';
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  PING,
  PREFACE,
  headersFrame,
  repeatedField,
} from '../support/http2-frames.ts';

const PODS = '/api/v1/namespaces/default/pods';
const CROWD = 200;
/** What an idle machine reads in a second or two. */
const LATE_MS = 60_000;

/** Behind those that come with a poll of the sockets, as many again have their turn before the next poll. */
const atMost = (aTurn: number): number => 2 * aTurn;

/** Counts what happens, and how much of it at most in one turn. */
function turnCounter() {
  let [total, most, now] = [0, 0, 0];
  return {
    note(): void {
      if (now === 0) setImmediate(() => (now = 0));
      now += 1;
      total += 1;
      most = Math.max(most, now);
    },
    get total() {
      return total;
    },
    get most() {
      return most;
    },
  };
}

describe('many clients that come at the same time', () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  async function startedPlane(options: PlaneOptions = {}): Promise<TestPlane> {
    // A burst, both ends of it in this process, takes a busy machine longer than a lease of 2 s, and longer than a client may take
    // for its first request. These answer no PING.
    const timing = { headMs: 120_000, pingMs: 120_000 };
    const plane = await startPlane({ stalenessSeconds: 60, timing, ...options });
    ends.push(() => plane.close());
    return plane;
  }

  it('64 requests are checked in one turn, and all get a response', async () => {
    const judged = turnCounter();
    const plane = await startedPlane({ auditBlocked: () => (judged.note(), false) });
    const h2 = await http2Connection(plane, null);
    ends.push(() => h2.close());
    const answers = Array.from({ length: CROWD }, () => h2.call({ token: 'none' }, PODS));
    expect((await Promise.all(answers)).every(({ status }) => status === 401)).toBe(true);
    expect(judged.total).toBe(CROWD);
    expect(judged.most).toBeLessThanOrEqual(atMost(64));
  });

  const nothing = (): void => undefined;

  /** Counts calls of the method, on the connections of all accounts and of no one, and how many of them are in one turn. */
  function counted(method: 'begun' | 'pieceRead') {
    const counter = turnCounter();
    const original = Reflect.get(SharedReading.prototype, method) as (...of: unknown[]) => void;
    const spied = vi.spyOn(SharedReading.prototype, method).mockImplementation(function (
      this: SharedReading,
      ...given: unknown[]
    ) {
      counter.note();
      original.apply(this, given);
    });
    ends.push(() => spied.mockRestore());
    return counter;
  }

  async function connectionsOf(plane: TestPlane, count: number, http2: boolean, user: TestUser | null) {
    const sockets: TLSSocket[] = [];
    for (let index = 0; index < count; index += 1) {
      const certificate = user === null ? null : user.certificate;
      const raw = http2 ? await http2Socket(plane, certificate) : (await rawConnection(plane, certificate)).socket;
      raw.on('error', nothing).resume();
      ends.push(() => void raw.destroy());
      if (http2) raw.write(PREFACE);
      sockets.push(raw);
    }
    return sockets;
  }

  it.each([
    { version: 'HTTP/1.1', connections: 100, each: 8, of: 'without a credential' },
    // More of a connection are refused before a credential is accepted.
    { version: 'HTTP/2', connections: 60, each: 32, of: 'without a credential' },
    { version: 'HTTP/1.1', connections: 100, each: 7, of: 'of one account' },
    { version: 'HTTP/2', connections: 20, each: 100, of: 'of one account' },
  ])('some 256 requests $of are read in one turn: $version', async ({ version, connections, each, of }) => {
    const read = counted('begun');
    const plane = await startedPlane();
    const alice = await signIn(plane);
    const user = await http2Connection(plane, alice.certificate);
    ends.push(() => user.close());
    expect((await user.call(alice, PODS)).status).toBe(200);
    const http2 = version === 'HTTP/2';
    const mallory = of === 'of one account' ? await signIn(plane, { subject: 'mallory' }) : null;
    const sockets = await connectionsOf(plane, connections, http2, mallory);
    const authorization: Record<string, string> = mallory === null ? {} : { authorization: `Bearer ${mallory.token}` };
    const head = { ':method': 'GET', ':scheme': 'https', ':path': PODS, ':authority': HOST, ...authorization };
    const lines = Object.entries({ Host: HOST, ...authorization }).map(([name, value]) => `${name}: ${value}\r\n`);
    const requests = (from: number, count: number): Buffer =>
      http2
        ? Buffer.concat(
            Array.from({ length: count }, (_, n) => headersFrame(1 + 2 * (from + n), head, END_HEADERS | END_STREAM)),
          )
        : Buffer.from(`GET ${PODS} HTTP/1.1\r\n${lines.join('')}\r\n`.repeat(count));
    if (mallory !== null) {
      const answered = sockets.map((socket) => once(socket, 'data'));
      for (const socket of sockets) socket.write(requests(0, 1));
      await Promise.all(answered);
      await until(() => plane.audited.length === connections + 1, 'the first response of each');
    }
    const before = read.total;
    for (const socket of sockets) socket.write(requests(mallory === null ? 0 : 1, each));
    // Whatever the others send, a user is served.
    expect((await user.call(alice, PODS)).status).toBe(200);
    await until(() => read.total - before === connections * each + 1, 'every request', LATE_MS);
    // Those of the connection that is one too many come in one piece.
    expect(read.most).toBeLessThanOrEqual(256 + each + 1);
  });

  it('requests of one account are not sent on while the audit log is behind, nor all read, and those of others are as ever', async () => {
    let isBehind = false;
    const read = counted('begun');
    const auditBacklogged = (account: string): boolean => isBehind && account === 'corp/mallory';
    const plane = await startedPlane({ auditBacklogged });
    const [alice, mallory] = [await signIn(plane), await signIn(plane, { subject: 'mallory' })];
    const user = await http2Connection(plane, alice.certificate);
    ends.push(() => user.close());
    const [connections, each] = [10, 100];
    const sockets = await connectionsOf(plane, connections, true, mallory);
    const authorization = `Bearer ${mallory.token}`;
    const head = { ':method': 'GET', ':scheme': 'https', ':path': PODS, ':authority': HOST, authorization };
    const requests = (from: number, to: number): Buffer[] =>
      Array.from({ length: to - from }, (_, n) => headersFrame(1 + 2 * (from + n), head, END_HEADERS | END_STREAM));
    for (const socket of sockets) {
      const answered = once(socket, 'data');
      socket.write(Buffer.concat(requests(0, 1)));
      await answered;
    }
    await until(() => plane.audited.length === connections, 'the first response of each');
    isBehind = true;
    for (const socket of sockets) socket.write(Buffer.concat(requests(1, each)));
    for (let calls = 0; calls < 50; calls += 1) expect((await user.call(alice, PODS)).status).toBe(200);
    // Those of new connections, without a credential, are read as well.
    const anyone = await http2Connection(plane, null);
    ends.push(() => anyone.close());
    for (let calls = 0; calls < 200; calls += 1) expect((await anyone.call({ token: 'no' }, PODS)).status).toBe(401);
    // Whatever Node has read already of each connection, and no more.
    expect(read.total - 250).toBeLessThan((connections * each * 3) / 4);
    const later = await http2Connection(plane, mallory.certificate);
    ends.push(() => later.close());
    expect(await later.call(mallory, PODS)).toMatchObject({ status: 429 });
    expect(plane.upstream.requests).toHaveLength(connections + 50);
    isBehind = false;
    await until(() => read.total === connections * each + 251, 'every request', LATE_MS);
  });

  it.each(['HTTP/1.1', 'HTTP/2'])('some 16,000 pieces of bodies are read in one turn: %s', async (version) => {
    const read = counted('pieceRead');
    const plane = await startedPlane();
    const http2 = version === 'HTTP/2';
    const [connections, each] = [12, 30_000];
    const sockets = await connectionsOf(plane, connections, http2, null);
    const path = '/-/oauth/token';
    const body = http2
      ? Buffer.concat([
          headersFrame(1, { ':method': 'POST', ':scheme': 'https', ':path': path, ':authority': HOST }),
          ...Array.from({ length: each }, (_, nth) => {
            const piece = frame(DATA, 0, 1, Buffer.from('a'));
            // Node responds to it, and goes on reading when it has.
            return nth % 3000 === 0 ? Buffer.concat([frame(PING, 0, 0, Buffer.alloc(8)), piece]) : piece;
          }),
        ])
      : Buffer.from(
          `POST ${path} HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(each)}`,
        );
    for (const socket of sockets) socket.write(body);
    // Over HTTP/1.1 each read is counted as well. Over HTTP/2 what comes in one record with the head is one piece.
    const behindHead = each - 16_384 / frame(DATA, 0, 1, Buffer.from('a')).length;
    await until(() => read.total >= connections * behindHead, 'every piece', LATE_MS);
    // 64 kB of the connection that is one too many come at once.
    expect(read.most).toBeLessThanOrEqual(256 * 64 + 65_536 / 6);
  });

  it('some 16,000 pieces of tunnels are read in one turn', async () => {
    const read = turnCounter();
    const plane = await startedPlane();
    const mallory = await signIn(plane);
    plane.upstream.answerUpgrade = (_req, socket) =>
      void socket
        .resume()
        .write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    plane.listener.server.on('upgrade', (_req, socket: Socket) => void socket.on('data', () => read.note()));
    const [connections, each] = [12, 3_000];
    const sends: (() => void)[] = [];
    for (let index = 0; index < connections; index += 1) {
      const client = await tinyRecords(plane.port, { servername: HOST, ca: plane.ca, ...mallory.certificate });
      ends.push(() => client.destroy());
      client.socket.write(
        `GET ${PODS}/web/exec HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${mallory.token}\r\n` +
          'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
      expect(String(await once(client.socket, 'data'))).toMatch(/^HTTP\/1\.1 101 /);
      sends.push(await client.prepare(each));
    }
    for (const send of sends) send();
    await until(() => read.total === connections * each, 'every piece', LATE_MS);
    // 64 kB of the connection that is one too many come at once; each record has 23 bytes.
    expect(read.most).toBeLessThanOrEqual(256 * 64 + 65_536 / 23);
  });

  async function webListener() {
    const certificate = await makeCertificate(HOST);
    const server = createHttpsServer({ ...certificate, ...FEW_PIPELINED });
    limitUnreadResponses(server, { weight: 1 });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ends.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    return { server, port, options: { servername: HOST, ca: certificate.cert } };
  }

  /** @returns how many records of one byte at most are read in one turn, of line breaks before any request */
  async function mostRecordsRead(server: Server, port: number, options: ConnectionOptions): Promise<number> {
    const sockets: TLSSocket[] = [];
    server.on('secureConnection', (socket: TLSSocket) => void sockets.push(socket));
    const [connections, each] = [12, 3_000];
    const sends: (() => void)[] = [];
    for (let index = 0; index < connections; index += 1) {
      const client = await tinyRecords(port, options);
      ends.push(() => client.destroy());
      sends.push(await client.prepare(each, '\n'));
    }
    await until(() => sockets.length === connections, 'the connections');
    for (const send of sends) send();
    let [most, before] = [0, 0];
    while (before < connections * each) {
      await new Promise(setImmediate);
      const now = sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
      most = Math.max(most, now - before);
      before = now;
    }
    return most;
  }

  // 64 kB of the connection that is one too many come at once; each record has 23 bytes.
  const MOST_RECORDS = 256 * 64 + 65_536 / 23;

  it('some 16,000 records of one byte are read in one turn: api listener', async () => {
    const plane = await startedPlane();
    const options = { servername: HOST, ca: plane.ca };
    expect(await mostRecordsRead(plane.listener.server, plane.port, options)).toBeLessThanOrEqual(MOST_RECORDS);
  });

  it('some 16,000 records of one byte are read in one turn: web listener', async () => {
    const { server, port, options } = await webListener();
    expect(await mostRecordsRead(server, port, options)).toBeLessThanOrEqual(MOST_RECORDS);
  });

  const UPDATES = 2_400;

  /** To prepare updates keeps a busy machine for seconds from a handshake that the server has not read to its end. */
  async function connected(server: Server, port: number, options: ConnectionOptions) {
    const accepted = once(server, 'secureConnection');
    const client = await keyUpdates(port, options);
    ends.push(() => void client.tcp.destroy());
    await accepted;
    return client;
  }

  /** Counts key updates of clients that send them and nothing else, until each connection is ended. */
  async function updatesUntilEnded(server: Server, port: number, options: ConnectionOptions) {
    const read = turnCounter();
    server.on('secureConnection', (socket: TLSSocket) => void socket.on('keylog', () => read.note()));
    const clients: KeyUpdates[] = [];
    while (clients.length < 6) clients.push(await connected(server, port, options));
    const prepared = clients.map((client) => client.updates(UPDATES));
    const ended = clients.map(({ tcp }) => new Promise((resolve) => void tcp.once('close', resolve)));
    for (const [index, { tcp }] of clients.entries()) tcp.write(prepared[index] ?? Buffer.alloc(0));
    await Promise.all(ended);
    return read;
  }

  it('some 4,096 key updates of TLS are read in one turn: api listener; few with data between them end nothing', async () => {
    const plane = await startedPlane();
    const options = { servername: HOST, ca: plane.ca };
    const few = await connected(plane.listener.server, plane.port, options);
    const read = await updatesUntilEnded(plane.listener.server, plane.port, { ...options, ALPNProtocols: ['h2'] });
    // 64 kB of the connection that is one too many come at once; each record has 27 bytes.
    expect(read.most).toBeLessThanOrEqual(256 * 16 + 65_536 / 27);
    expect(plane.counted.rejections.filter((reason) => reason === 'key_updates')).toHaveLength(6);
    // A long-lived connection updates its keys now and then, with data between.
    for (let each = 0; each < 4; each += 1) {
      const answered = once(few.tls, 'data');
      few.tcp.write(few.updates(30));
      few.tcp.write(few.data(`GET ${PODS} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`));
      expect(String(await answered)).toMatch(/^HTTP\/1\.1 401 /);
    }
  });

  it('some 4,096 key updates of TLS are read in one turn: web listener', async () => {
    const { server, port, options } = await webListener();
    const read = await updatesUntilEnded(server, port, options);
    expect(read.most).toBeLessThanOrEqual(256 * 16 + 65_536 / 27);
  });

  it('of records of HTTP/2 that take long each, few are read in one turn, and the other clients have their turns between', async () => {
    const plane = await startedPlane();
    const sockets: TLSSocket[] = [];
    plane.listener.server.on('secureConnection', (socket: TLSSocket) => void sockets.push(socket));
    const options = { servername: HOST, ca: plane.ca, ALPNProtocols: ['h2'] };
    const clients: KeyUpdates[] = [];
    while (clients.length < 32) clients.push(await connected(plane.listener.server, plane.port, options));
    const last: Buffer[] = [];
    for (const client of clients) {
      client.tcp.write(client.data(PREFACE));
      const record = client.data(repeatedField(1, 16_000));
      client.tcp.write(record.subarray(0, -1));
      last.push(record.subarray(-1));
    }
    const all = (): number => sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    await until(() => sockets.every(({ bytesRead }) => bytesRead >= PREFACE.length), 'the prefaces');
    await pause(200);
    const first = all();
    for (const [index, { tcp }] of clients.entries()) tcp.write(last[index] ?? '');
    let [most, before] = [0, first];
    while (before < first + clients.length * 16_009) {
      await new Promise(setImmediate);
      const now = all();
      most = Math.max(most, now - before);
      before = now;
    }
    // Each takes some twenty milliseconds of an ordinary processor, and a turn has 26.
    expect(most / 16_009).toBeLessThanOrEqual(8);
  });

  it('16 handshakes with an API server start in one turn', async () => {
    const begun = turnCounter();
    // It accepts connections and sends no response.
    const silent = createServer((socket) => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    ends.push(() => silent.close());
    const address = {
      host: '127.0.0.1',
      port: (silent.address() as AddressInfo).port,
      connectMs: 60_000,
      /** Asked for at each handshake. */
      get ca() {
        begun.note();
        return undefined;
      },
    };
    const outcomes = Array.from({ length: CROWD }, () => {
      const { promise, resolve } = Promise.withResolvers<UpstreamConnectError | null>();
      return { giveUp: connectUpstream(address, resolve), promise };
    });
    await until(() => begun.total === CROWD, 'every handshake', LATE_MS);
    expect(begun.most).toBeLessThanOrEqual(atMost(16));
    for (const { giveUp } of outcomes) giveUp();
    expect(await Promise.all(outcomes.map(({ promise }) => promise))).not.toContain(null);
  });

  it('an API server whose certificates are too long is not connected to, and nothing of them is checked', async () => {
    const names = Array.from({ length: 2_000 }, (_, index) => `a-rather-long-name-${index}`);
    const { cert, key } = await makeCertificates(names, Date.now());
    const server = createTlsServer({ cert, key }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, ca: cert, connectMs: 20_000 };
    const error = await new Promise<UpstreamConnectError | null>((resolve) => void connectUpstream(address, resolve));
    expect(error).toMatchObject({ kind: 'tls', cause: { message: 'its certificates are too long' } });
  });

  it('an API server that asks for a second handshake gets none', async () => {
    const { ca, cert, key } = await makeCertificates(['localhost'], Date.now());
    const server = createTlsServer({ cert, key, maxVersion: 'TLSv1.2' }).listen(0);
    await once(server, 'listening');
    ends.push(() => server.close());
    const asked = new Promise<unknown>((resolve) => {
      server.on('secureConnection', (socket: TLSSocket) => {
        socket.on('error', resolve).once('data', () => void socket.renegotiate({}, resolve));
      });
    });
    const address = { host: 'localhost', port: (server.address() as AddressInfo).port, ca, connectMs: 20_000 };
    const link = await new Promise<UpstreamLink | undefined>(
      (resolve) => void connectUpstream(address, (_error, connected) => resolve(connected)),
    );
    link?.tls.on('error', () => undefined).resume();
    link?.tls.write('GET');
    expect(await asked).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' });
    link?.reset();
  });

  it('of ClientHellos that wait each site has its turn, however many come from one', async () => {
    const sites = new WeakMap<Socket, string>();
    const order: string[] = [];
    const begin = handshakesInTurns((socket) => void order.push(sites.get(socket) ?? ''), {
      helloMs: 60_000,
      siteOf: (socket) => sites.get(socket) ?? '',
    });
    const hello = await clientHello();
    const from = (site: string): void => {
      const [ours, theirs] = duplexPair();
      // What Node has beneath a socket.
      const handle = { readStop: () => undefined, readStart: () => undefined, reading: true, writeQueueSize: 0 };
      const socket = Object.assign(ours, { _handle: handle }) as unknown as Socket;
      sites.set(socket, site);
      theirs.write(hello);
      begin(socket);
    };
    for (let each = 0; each < CROWD; each += 1) from('attacker');
    from('user');
    await until(() => order.length === CROWD + 1, 'every handshake', LATE_MS);
    expect(order.indexOf('user')).toBeLessThanOrEqual(atMost(16));
  });

  it('16 handshakes of clients are processed in one turn, those of silent clients not before their first byte', async () => {
    const answered = turnCounter();
    const plane = await startedPlane();
    let accepted = 0;
    plane.listener.server.on('connection', () => (accepted += 1));
    const hello = await clientHello();
    const clients = Array.from({ length: CROWD }, () => connect(plane.port, '127.0.0.1'));
    ends.push(() => clients.forEach((client) => client.destroy()));
    for (const client of clients) {
      client.on('error', () => undefined);
      client.once('data', () => answered.note());
    }
    await until(() => accepted === CROWD, 'every connection', LATE_MS);
    for (const client of clients) client.write(hello);
    await until(() => answered.total === CROWD, 'every ServerHello', LATE_MS);
    expect(answered.most).toBeLessThanOrEqual(atMost(16));
  });

  it('handshakes whose certificates do not come hold no one up, and are over once they have', async () => {
    const plane = await startedPlane();
    const held = await Promise.all(Array.from({ length: 40 }, () => secondFlightOf(plane)));
    for (const { tcp } of held) ends.push(() => void tcp.destroy());
    const alice = await signIn(plane);
    const user = await http2Connection(plane, alice.certificate);
    ends.push(() => user.close());
    expect((await user.call(alice, PODS)).status).toBe(200);
    let checked = 0;
    plane.listener.server.on('secureConnection', () => (checked += 1));
    for (const { tcp, rest } of held) tcp.write(rest);
    await until(() => checked === held.length, 'every handshake', LATE_MS);
  });

  it('a ClientHello that comes in pieces begins a handshake, once, with its last byte', async () => {
    const server = createServer();
    const begun = vi.fn((socket: Socket) => received.resolve(socket.read() as Buffer));
    const received = Promise.withResolvers<Buffer>();
    // Stands for Node's own.
    server.on('connection', begun);
    shareHandshakes(server, 60_000);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const hello = await clientHello();
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1').setNoDelay(true);
    ends.push(() => client.destroy());
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    client.write(hello.subarray(0, 3));
    const [socket] = await accepted;
    for (const end of [20, hello.length - 1]) {
      client.write(hello.subarray(end === 20 ? 3 : 20, end));
      await until(() => socket.bytesRead === end, 'a piece');
      await pause(0);
      expect(begun).not.toHaveBeenCalled();
    }
    client.write(hello.subarray(-1));
    expect(await received.promise).toEqual(hello);
    expect(begun).toHaveBeenCalledOnce();
  });

  it('a connection that ends without a byte is released', async () => {
    const plane = await startedPlane();
    const client = connect(plane.port, '127.0.0.1');
    await once(client, 'connect');
    client.resume().end();
    await expect(once(client, 'close')).resolves.toEqual([false]);
  });

  it('a connection that sends more than any client before its first response begins no handshake', async () => {
    const server = createServer();
    // Stands for Node's own, which is never called.
    server.on('connection', () => expect.unreachable());
    shareHandshakes(server, 60_000);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
    client.write(Buffer.alloc(64 * 1024, 0x16));
    await new Promise((resolve) => void client.resume().once('close', resolve));
  });

  it('a connection that is silent for too long is closed, and one that is reset meanwhile affects no other', async () => {
    const server = createServer();
    // Stands for Node's own, which is never called.
    server.on('connection', () => expect.unreachable());
    shareHandshakes(server, 50);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const [silent, reset] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    await Promise.all([once(silent, 'connect'), once(reset, 'connect')]);
    reset.resetAndDestroy();
    await once(silent.resume(), 'close');
    await expect.poll(() => new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))).toBe(0);
  });
});

/** A connection whose handshake lacks nothing but what the client sends last: its certificate and the proof of its key. */
async function secondFlightOf(plane: TestPlane): Promise<{ readonly tcp: Socket; readonly rest: Buffer }> {
  const tcp = connect(plane.port, '127.0.0.1').on('error', () => undefined);
  const [near, far] = duplexPair();
  const rest: Buffer[] = [];
  tcp.pipe(far);
  far.once('data', (hello: Buffer) => {
    tcp.write(hello);
    far.on('data', (piece: Buffer) => void rest.push(piece));
  });
  const client = connectTls({ socket: near, servername: HOST, ca: plane.ca, ALPNProtocols: ['h2'] });
  client.on('error', () => undefined);
  await once(client, 'secureConnect');
  await until(() => rest.length > 0, 'the second flight');
  return { tcp, rest: Buffer.concat(rest) };
}
