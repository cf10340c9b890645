/** An attacker who holds connections to the web listener that wait for them keeps no user from getting one. */
import { EventEmitter, once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, Server as TlsServer } from 'node:tls';
import { expect, it, onTestFinished, vi } from 'vitest';
import { openRequest } from '../../../src/contracts/open-request.ts';
import { keepSpace, type ConnectionSpaceOptions } from '../../../src/server/connection-space.ts';
import { endpointsOf } from '../../../src/proxy/listener/system-buffers.ts';
import { refuseUpgrade } from '../../../src/web/consoles/page.ts';
import { makeCertificate } from '../../support/upstream.ts';

const MOST = 32;
const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const upgrade = (path = '/'): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
/** More than the kernel takes for a client that reads nothing. */
const LARGE = Buffer.alloc(8 * 1024 * 1024);

const pages: RequestListener = (req, res) => {
  const { url } = req;
  const [, of] = url?.split('/of/') ?? [];
  if (of !== undefined) openRequest(req)?.assign(`corp/${of}`);
  if (url === '/stream' || of !== undefined) res.write('begun');
  else res.end(url === '/large' ? LARGE : 'ended');
};

/** Resolves at the event, or where the server has ended the connection before it: a client that may go on sees no more. */
const either = (socket: Socket, event: string): Promise<void> =>
  socket.destroyed || socket.readableEnded
    ? Promise.resolve()
    : new Promise((resolve) => void socket.once(event, resolve).once('end', resolve).once('close', resolve));

interface Client {
  readonly socket: Socket;
  received: string;
}

interface Started {
  /** @param bytes undefined: nothing, not even a handshake */
  open(bytes: string | undefined): Promise<Client>;
  readonly closed: number;
}

async function started(
  server: Server,
  { most = MOST, ...options }: Partial<ConnectionSpaceOptions> & { readonly most?: number } = {},
): Promise<Started> {
  let closed = 0;
  server.maxConnections = most;
  server.on('upgrade', ({ url }, socket) => {
    if (url === '/rejected') refuseUpgrade(socket, 400, 'no upgrades');
    else socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  });
  keepSpace(server, { waitMs: 50, onClosed: (count) => (closed += count), ...options });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return {
    open: async (bytes) => {
      const secure = server instanceof TlsServer && bytes !== undefined;
      const socket = secure
        ? connectTls({ socket: connect({ port, allowHalfOpen: true }), rejectUnauthorized: false })
        : connect({ port, allowHalfOpen: true });
      onTestFinished(() => void socket.destroy());
      const client: Client = { socket, received: '' };
      socket.on('error', () => undefined);
      if (bytes !== get('/large')) socket.on('data', (data: Buffer) => (client.received += data.toString('latin1')));
      socket.write(bytes ?? '');
      await either(socket, secure ? 'secureConnect' : 'connect');
      return client;
    },
    get closed() {
      return closed;
    },
  };
}

const servers: readonly (readonly [string, () => Promise<Server>])[] = [
  ['HTTP', () => Promise.resolve(createServer(pages))],
  ['HTTPS', async () => createHttpsServer(await makeCertificate('localhost'), pages)],
];
const attacks: readonly (readonly [string, string | undefined])[] = [
  ['send nothing', undefined],
  ['send half a head', get().slice(0, 20)],
  ['have had their response', get()],
  ['do not read their response', get('/large')],
  ['stay after their upgrade was rejected', upgrade('/rejected')],
];
const cases = servers.flatMap(([protocol, server]) =>
  attacks.map(([what, bytes]) => [protocol, what, server, bytes] as const),
);

it.each(cases)('over %s, connections that %s leave space, and what is open goes on', async (_p, _w, make, bytes) => {
  const server = await started(await make());
  const stream = await server.open(get('/stream'));
  const upgraded = await server.open(upgrade());
  await expect.poll(() => [stream, upgraded].map(({ received }) => received.slice(9, 12))).toEqual(['200', '101']);
  // As many as can be had, and it is tried again and again.
  for (let round = 0; round < 2; round += 1) {
    const before = server.closed;
    await Promise.all(Array.from({ length: MOST }, () => server.open(bytes)));
    await expect.poll(() => server.closed, { timeout: 20_000 }).toBeGreaterThan(before);
  }
  const user = async (): Promise<string> => {
    const client = await server.open(get());
    await either(client.socket, 'data');
    return client.received;
  };
  await expect.poll(user, { timeout: 20_000 }).toContain('ended');
  expect([stream.socket.destroyed, upgraded.socket.destroyed]).toEqual([false, false]);
});

it.each(servers)('over %s, streams of the account with the most give way where memory is short', async (_p, make) => {
  let used = 0.4;
  const heavy = new Set<string>();
  // 40 MB each, as far as the system tells of it.
  const of = (endpoints: string): number => (heavy.has(endpoints) ? 4 * 10 ** 7 : 0);
  const buffers = { of, lookedMs: 0 };
  const server = await started(await make(), { most: 1000, memoryInUse: () => used, buffers });
  const unread = [await server.open(get('/of/mallory')), await server.open(get('/of/mallory'))];
  const others = [await server.open(get('/of/alice')), await server.open(get('/stream')), await server.open(upgrade())];
  const all = [...unread, ...others];
  await expect.poll(() => all.every(({ received }) => received !== '')).toBe(true);
  for (const { socket } of unread) {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    const [address, port] = [localAddress, localPort];
    heavy.add(
      endpointsOf({ remoteAddress: address, remotePort: port, localAddress: remoteAddress, localPort: remotePort }),
    );
  }
  used = 0.75;
  await expect.poll(() => server.closed, { timeout: 20_000 }).toBe(2);
  await expect.poll(() => unread.every(({ socket }) => socket.destroyed)).toBe(true);
  expect(others.map(({ socket }) => socket.destroyed)).toEqual([false, false, false]);
});

it('a WebSocket whose console takes nothing for five minutes is reset, and one on which nothing waits is not', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const resets = new Set<string | undefined>();
  const make = createServer();
  make.on('upgrade', (req) => {
    const queue = { writableLength: req.url === '/unread' ? 65_536 : 0, readableLength: 0 };
    const atConsole = Object.assign(new EventEmitter(), queue) as unknown as Socket;
    openRequest(req)?.join(atConsole, () => resets.add(req.url));
  });
  const server = await started(make, { buffers: { of: () => 0, lookedMs: 0 } });
  const open = [await server.open(upgrade('/unread')), await server.open(upgrade('/rests'))];
  for (const { socket, received } of open) if (received === '') await either(socket, 'data');
  vi.advanceTimersByTime(270_000);
  expect([...resets]).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect([...resets]).toEqual(['/unread']);
});
