import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import {
  connect as connectTcp,
  createServer as createTcpServer,
  type AddressInfo,
  type LookupFunction,
  type Server,
  type Socket,
  type TcpNetConnectOpts,
} from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { resetConnection } from '../../../../src/core/http/connection-reset.ts';
import { temporaryFolder } from '../../../support/instance.ts';
import { makeCertificate } from '../../../support/upstream.ts';

const running: Server[] = [];
afterEach(() => {
  for (const server of running.splice(0)) server.close();
});

interface Ended {
  /** How the client's connection ended. */
  readonly client: string;
  readonly received: number;
}

/**
 * A client that connects, and reads once the server is done. It goes on writing, as one that wants its bytes read into memory
 * that is freed. Resolves once the server's own socket has closed.
 */
async function afterwards(server: Server, open: () => Socket, ready: 'connect' | 'secureConnect'): Promise<Ended> {
  running.push(server);
  let closed = false;
  server.on('connection', (tcp: Socket) => {
    tcp.on('error', () => undefined);
    tcp.once('close', () => (closed = true));
  });
  const client = open();
  let received = 0;
  let how = 'open';
  client.on('data', (piece: Buffer) => (received += piece.length));
  client.pause();
  client.once('end', () => (how = 'end'));
  client.on('error', ({ code }: NodeJS.ErrnoException) => (how = code ?? 'unknown'));
  client.once(ready, () => client.write('more'));
  await once(server, 'done');
  client.write('and more');
  client.resume();
  await expect.poll(() => how).not.toBe('open');
  await expect.poll(() => closed).toBe(true);
  client.destroy();
  return { client: how, received };
}

async function overTls(onConnection: (socket: TLSSocket, done: () => void) => void): Promise<Ended> {
  const certificate = await makeCertificate('portcullis.test');
  const server = createTlsServer({ ...certificate, allowHalfOpen: true });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    onConnection(socket, () => void server.emit('done'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return afterwards(server, () => connectTls({ port, host: '127.0.0.1', ca: certificate.cert }), 'secureConnect');
}

async function overTcp(
  at: { readonly port: number; readonly host: string } | { readonly path: string },
  onConnection: (socket: Socket, done: () => void) => void,
): Promise<Ended> {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.resume();
    onConnection(socket, () => void server.emit('done'));
  });
  server.listen(at);
  await once(server, 'listening');
  const target = 'path' in at ? at : { port: (server.address() as AddressInfo).port };
  return afterwards(server, () => connectTcp(target), 'connect');
}

const MUCH = Buffer.alloc(32 * 1024 * 1024);
const reset = (socket: Socket, done: () => void): void => {
  resetConnection(socket);
  setTimeout(done, 20);
};

interface State {
  readonly state: string;
  /** What its client sees then. */
  readonly client: RegExp;
  readonly before: (socket: Socket, then: () => void) => void;
}

const STATES: readonly State[] = [
  { state: 'at once, in the event of the connection', client: /^ECONNRESET$/, before: (_socket, then) => then() },
  { state: 'in the tick after the event', client: /^ECONNRESET$/, before: (_socket, then) => process.nextTick(then) },
  {
    state: 'with much that waits to be sent',
    client: /^ECONNRESET$/,
    before: (socket, then) => {
      socket.write(MUCH);
      setTimeout(then, 50);
    },
  },
  {
    state: 'with much that waits to be sent, and its end',
    client: /^ECONNRESET$/,
    before: (socket, then) => {
      socket.end(MUCH);
      setTimeout(then, 50);
    },
  },
  {
    // libuv refuses this reset: the socket stayed open permanently, and with TLS the process crashed.
    state: 'while its end is on the way',
    client: /^(end|EPIPE|ECONNRESET)$/,
    before: (socket, then) => {
      socket.end('the last bytes');
      setImmediate(then);
    },
  },
  {
    state: 'after its end',
    client: /^(end|EPIPE|ECONNRESET)$/,
    before: (socket, then) => void socket.end('the last bytes', then),
  },
];

test.each(STATES)('a TLS connection that is reset $state ends', async ({ client, before }) => {
  const ended = await overTls((socket, done) => before(socket, () => reset(socket, done)));
  expect(ended.client).toMatch(client);
  expect(ended.received).toBeLessThan(MUCH.length);
});

test.each(STATES)('a TCP connection that is reset $state ends', async ({ client, before }) => {
  const ended = await overTcp({ port: 0, host: '127.0.0.1' }, (socket, done) =>
    before(socket, () => reset(socket, done)),
  );
  expect(ended.client).toMatch(client);
  expect(ended.received).toBeLessThan(MUCH.length);
});

/** libuv refuses a reset before there is a TCP connection: the socket was never closed, and the process did not exit. */
test.each([
  { kind: 'TCP', open: (to: TcpNetConnectOpts): Socket => connectTcp(to) },
  { kind: 'TLS', open: (to: TcpNetConnectOpts): Socket => connectTls(to) },
])('a $kind connection that is reset before it is there closes', async ({ open }) => {
  const server = createTcpServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  running.push(server);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const lookup: LookupFunction = () => undefined;
  for (const to of [{ host: '127.0.0.1' }, { host: 'console.example.com', lookup }]) {
    const socket = open({ port, ...to });
    let isClosed = false;
    socket.once('close', () => (isClosed = true));
    resetConnection(socket);
    await expect.poll(() => isClosed).toBe(true);
  }
});

test('a Unix socket, which has no RST, is closed', async () => {
  const folder = await temporaryFolder();
  try {
    const ended = await overTcp({ path: join(folder, 'socket') }, reset);
    expect(ended.received).toBe(0);
  } finally {
    await rm(folder, { recursive: true });
  }
});
