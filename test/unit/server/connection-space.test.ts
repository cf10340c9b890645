/** An attacker who holds connections to the web listener that wait for them keeps no user from getting one. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, Server as TlsServer } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { keepSpace } from '../../../src/server/connection-space.ts';
import { refuseUpgrade } from '../../../src/web/consoles/page.ts';
import { makeCertificate } from '../../support/upstream.ts';

const MOST = 32;
const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const upgrade = (path = '/'): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
/** More than the kernel takes for a client that reads nothing. */
const LARGE = Buffer.alloc(8 * 1024 * 1024);

const pages: RequestListener = ({ url }, res) => {
  if (url === '/stream') res.write('begun');
  else res.end(url === '/large' ? LARGE : 'ended');
};

/** Resolves at the event, or where the connection is over before it. */
const either = (socket: Socket, event: string): Promise<void> =>
  socket.destroyed
    ? Promise.resolve()
    : new Promise((resolve) => void socket.once(event, resolve).once('close', resolve));

interface Client {
  readonly socket: Socket;
  received: string;
}

interface Started {
  /** @param bytes undefined: nothing, not even a handshake */
  open(bytes: string | undefined): Promise<Client>;
  readonly closed: number;
}

async function started(server: Server): Promise<Started> {
  let closed = 0;
  server.maxConnections = MOST;
  server.on('upgrade', ({ url }, socket) => {
    if (url === '/rejected') refuseUpgrade(socket, 400, 'no upgrades');
    else socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  });
  keepSpace(server, { waitMs: 50, onClosed: (count) => (closed += count) });
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
