import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FEW_PIPELINED, limitUnreadResponses } from '../../../src/server/unread-responses.ts';

/** More than the kernel takes for a client that reads nothing. */
const LARGE = Buffer.alloc(32 * 1024 * 1024);

async function serverOf(listener: RequestListener, limits: { readonly unreadMs?: number } = {}): Promise<Server> {
  const server = createServer(FEW_PIPELINED, listener);
  limitUnreadResponses(server, { weight: 1, ...limits });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

function connectTo(server: Server): Socket {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
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
