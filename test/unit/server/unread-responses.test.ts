import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import express from 'express';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SharedReading } from '../../../src/proxy/proxy.ts';
import { FEW_PIPELINED, limitUnreadResponses, type ResponseLimits } from '../../../src/server/unread-responses.ts';
import { tinyRecords } from '../../support/tiny-records.ts';
import { makeCertificate } from '../../support/upstream.ts';

/** More than the kernel takes for a client that reads nothing. */
const LARGE = Buffer.alloc(32 * 1024 * 1024);

async function serverOf(listener: RequestListener, limits: { readonly unreadMs?: number } = {}): Promise<Server> {
  const server = createServer(FEW_PIPELINED, listener);
  await limited(server, limits);
  return server;
}

async function limited(server: Server, limits: Partial<ResponseLimits> = {}): Promise<AddressInfo> {
  limitUnreadResponses(server, { weight: 1, ...limits });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address() as AddressInfo;
}

function connectTo(server: Server | number): Socket {
  const port = typeof server === 'number' ? server : (server.address() as AddressInfo).port;
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

describe('answers that no one takes', () => {
  it.each([
    ['requests', GET],
    ['expectations that cannot be met', 'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n'],
  ])('are few: %s beyond them reach no one, and end the connection', async (_what, request) => {
    let asked = 0;
    const server = await serverOf(() => void (asked += 1));
    const socket = connectTo(server).resume();
    // The first is never answered, so that everything behind it waits.
    socket.write(GET + request.repeat(100));
    await once(socket, 'close');
    expect(asked).toBeLessThan(5);
  });

  it('are ended after a time where all of one is handed over, and not before', async () => {
    const server = await serverOf((_req, res) => void res.end(LARGE), { unreadMs: 300 });
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const socket = connectTo(server);
    socket.pause().write(GET);
    const [connection] = await accepted;
    await once(connection, 'close');
    expect(socket.bytesRead).toBeLessThan(LARGE.length);
  });

  it('are all there for who reads them, one request after another, and a stream that is quiet goes on', async () => {
    const server = await serverOf(
      (req, res) => {
        if (req.url === '/') return void res.end('x'.repeat(10_000));
        res.write('begun');
        setTimeout(() => res.end('ended'), 600);
      },
      { unreadMs: 200 },
    );
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (let index = 0; index < 20; index += 1) {
      expect(await (await fetch(url)).text()).toHaveLength(10_000);
    }
    expect(await (await fetch(`${url}/stream`)).text()).toBe('begunended');
  });
});

describe('requests that come at the same time', () => {
  it('are read some thousand pieces of their bodies at a time, whatever class Express gives them', async () => {
    let [pieces, now, most] = [0, 0, 0];
    const app = express();
    app.use((req) => {
      req.on('data', () => {
        if (now === 0) setImmediate(() => (now = 0));
        now += 1;
        most = Math.max(most, now);
        pieces += 1;
      });
    });
    const server = await serverOf(app);
    let accepted = 0;
    server.on('connection', () => (accepted += 1));
    const sockets = Array.from({ length: 12 }, () => connectTo(server).resume());
    await expect.poll(() => accepted).toBe(12);
    const body = '1\r\na\r\n'.repeat(30_000);
    for (const socket of sockets) {
      socket.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    }
    await expect.poll(() => pieces, { timeout: 20_000 }).toBe(12 * 30_000);
    expect(most).toBeLessThanOrEqual(256 * 64 + 65_536 / 6);
  });

  it('are read some thousand pieces at a time in a tunnel', async () => {
    const { cert, key } = await makeCertificate('a.test');
    const server = createTlsServer({ ...FEW_PIPELINED, cert, key });
    let [pieces, now, most] = [0, 0, 0];
    server.on('upgrade', (_req: IncomingMessage, socket: Duplex) => {
      socket
        .on('error', () => undefined)
        .on('data', () => {
          if (now === 0) setImmediate(() => (now = 0));
          now += 1;
          most = Math.max(most, now);
          pieces += 1;
        });
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    const { port } = await limited(server);
    const sends: (() => void)[] = [];
    for (let index = 0; index < 12; index += 1) {
      const client = await tinyRecords(port, { servername: 'a.test', ca: cert });
      onTestFinished(() => client.destroy());
      client.socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      await once(client.socket, 'data');
      sends.push(await client.prepare(3_000));
    }
    const heads = vi.spyOn(SharedReading.prototype, 'headRead');
    onTestFinished(() => heads.mockRestore());
    for (const send of sends) send();
    await expect.poll(() => pieces, { timeout: 20_000 }).toBe(12 * 3_000);
    expect(heads).not.toHaveBeenCalled();
    expect(most).toBeLessThanOrEqual(256 * 64 + 65_536 / 23);
  });

  it('are counted by their bytes before their head is whole, and not after', async () => {
    const heads = vi.spyOn(SharedReading.prototype, 'headRead');
    onTestFinished(() => heads.mockRestore());
    const server = await serverOf((_req, res) => void res.end('x'));
    const socket = connectTo(server).resume();
    socket.write('GET / HTTP/1.1\r\nA: b\r\n');
    await expect.poll(() => heads.mock.calls).toEqual([[22]]);
    socket.write('Host: a\r\n\r\n');
    await once(socket, 'data');
    expect(heads).toHaveBeenCalledOnce();
  });

  it('are few upgrades at a time, too', async () => {
    const server = createServer(FEW_PIPELINED);
    let [asked, now, most] = [0, 0, 0];
    server.on('upgrade', (_req: IncomingMessage, socket: Duplex) => {
      if (now === 0) setImmediate(() => (now = 0));
      now += 1;
      most = Math.max(most, now);
      asked += 1;
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const { port } = await limited(server, { weight: 4 });
    let accepted = 0;
    server.on('connection', () => (accepted += 1));
    const sockets = Array.from({ length: 300 }, () => connectTo(port).resume());
    await expect.poll(() => accepted).toBe(300);
    for (const socket of sockets)
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    await expect.poll(() => asked, { timeout: 20_000 }).toBe(300);
    expect(most).toBeLessThanOrEqual(256 / 4 + 4);
  });

  it('are read some at a time, and each gets its response', async () => {
    let [asked, now, most] = [0, 0, 0];
    const server = await serverOf((_req, res) => {
      if (now === 0) setImmediate(() => (now = 0));
      now += 1;
      most = Math.max(most, now);
      asked += 1;
      res.end('x');
    });
    let accepted = 0;
    server.on('connection', () => (accepted += 1));
    const sockets = Array.from({ length: 200 }, () => connectTo(server).resume());
    await expect.poll(() => accepted).toBe(200);
    for (const socket of sockets) socket.write(GET.repeat(4));
    await expect.poll(() => asked, { timeout: 20_000 }).toBe(800);
    expect(most).toBeLessThanOrEqual(256 + 4);
  });
});
