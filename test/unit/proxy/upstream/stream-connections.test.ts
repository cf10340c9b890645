import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Client } from 'undici';
import type { Dispatcher } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StreamConnections } from '../../../../src/proxy/upstream/stream-connections.ts';

let server: Server;
/** Requests without a response yet, by path. */
let open: Map<string, ServerResponse>;
/** Connections that were ever opened. */
let sockets: Socket[];
let streams: StreamConnections;

beforeEach(async () => {
  open = new Map();
  sockets = [];
  server = createServer((req, res) => void open.set(req.url ?? '', res));
  server.on('connection', (socket: Socket) => void sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  streams = new StreamConnections(() => new Client(origin, { pipelining: 1 }));
});
afterEach(async () => {
  await streams.destroy();
  server.closeAllConnections();
  server.close();
});

/** Resolves with the status, or with the code of the error. */
function ask(path: string): Promise<number | string | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | string | undefined>();
  let status = 0;
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: () => undefined,
    onResponseStart: (_controller, code) => void (status = code),
    onResponseData: () => undefined,
    onResponseEnd: () => resolve(status),
    onResponseError: (_controller, error: NodeJS.ErrnoException) => resolve(error.code),
  };
  streams.dispatch({ method: 'GET', path, headersTimeout: 0, bodyTimeout: 0 }, handler);
  return promise;
}

const arrived = (...paths: readonly string[]): Promise<void> =>
  expect.poll(() => paths.every((path) => open.has(path))).toBe(true);

describe('connections for long-running requests', () => {
  it('are as many as there are requests', async () => {
    const answers = [ask('/a'), ask('/b'), ask('/c')];
    await arrived('/a', '/b', '/c');
    expect(sockets).toHaveLength(3);
    for (const res of open.values()) res.end();
    expect(await Promise.all(answers)).toEqual([200, 200, 200]);
  });

  it('take the next request when they are free', async () => {
    for (const path of ['/a', '/b', '/c']) {
      const response = ask(path);
      await arrived(path);
      open.get(path)?.end();
      expect(await response).toBe(200);
      await expect.poll(() => streams.free).toBe(1);
    }
    expect(sockets).toHaveLength(1);
  });

  it('are forgotten when they have closed, in use or free', async () => {
    const answers = [ask('/a'), ask('/b')];
    await arrived('/a', '/b');
    open.get('/a')?.end();
    await expect.poll(() => streams.free).toBe(1);
    for (const socket of sockets) socket.destroy();
    expect(await Promise.all(answers)).toEqual([200, 'UND_ERR_SOCKET']);
    await expect.poll(() => streams.size).toBe(0);
    expect(streams.free).toBe(0);
  });

  it('are forgotten when they could not be opened', async () => {
    server.close();
    await once(server, 'close');
    expect(await ask('/a')).toBe('ECONNREFUSED');
    await expect.poll(() => streams.size).toBe(0);
  });

  it('fail open requests when they are destroyed', async () => {
    const response = ask('/a');
    await arrived('/a');
    await streams.destroy();
    expect(await response).toBe('UND_ERR_DESTROYED');
  });
});
