/** What the proxy's own client does where an API server never comes to an end, and where a request must not be written. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Http1Pool } from '../../../src/proxy/upstream/http1-pool.ts';
import type { UpstreamRequest } from '../../../src/proxy/upstream/transport.ts';
import { makeCertificate } from '../../support/upstream.ts';

const LIMIT_MS = 1_500;
const GET = {
  method: 'GET',
  target: '/api',
  headers: { repeated: [], own: [] },
  body: undefined,
  bodyLength: undefined,
};

let server: Server;
let sockets: TLSSocket[];
let pool: Http1Pool;
let received: string;
/** What the server does with a connection. */
let serve: (socket: TLSSocket) => void;

beforeEach(async () => {
  received = '';
  sockets = [];
  const certificate = await makeCertificate('api.cluster.test');
  server = createServer({ ...certificate, ALPNProtocols: ['http/1.1'] }, (socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = { host: '127.0.0.1', port, ca: certificate.cert, connectMs: 5_000 };
  pool = new Http1Pool({ address, hostHeader: 'api', most: 1 });
});
afterEach(async () => {
  pool.close();
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
});

/**
 * Resolves with the kind of the error, or with the status of a whole response.
 * @param atTheEnd called in its turn
 */
function outcomeOf(
  request: Pick<UpstreamRequest, 'method' | 'target' | 'headers' | 'body' | 'bodyLength'>,
  atTheEnd: () => void = () => undefined,
) {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  let status = 0;
  pool.send(
    { ...request, headMs: LIMIT_MS, pieceMs: LIMIT_MS },
    {
      maySend: () => true,
      onHead: (code) => void (status = code),
      onPiece: () => undefined,
      onEnd: () => {
        resolve(status);
        atTheEnd();
      },
      onError: (error) => resolve('kind' in error ? error.kind : error),
    },
  );
  return promise;
}

/** Sends again and again what does not end a response. */
const repeating =
  (first: string, again: string) =>
  (socket: TLSSocket): void => {
    socket.resume();
    socket.write(first, 'latin1');
    const timer = setInterval(() => socket.write(again, 'latin1'), 100);
    socket.on('close', () => clearInterval(timer));
  };

async function* endless(): AsyncGenerator<Buffer, void> {
  for (;;) yield Buffer.alloc(65_536);
}

describe('an API server that never comes to an end is given up', () => {
  it.each([
    ['which says nothing', repeating('', '')],
    ['which sends interim responses', repeating('', 'HTTP/1.1 103 Early Hints\r\n\r\n')],
    ['whose head comes byte by byte', repeating('HTTP/1.1 200 OK\r\nX-A: ', 'a')],
    ['whose body stops', repeating('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello', '')],
  ])('%s', async (_what, answer) => {
    serve = (socket) => socket.once('data', () => answer(socket));
    expect(await outcomeOf(GET)).toBe('timeout');
  });

  it('which sends more interim responses at once than any server does', async () => {
    const answer = `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(60)}HTTP/1.1 204 No Content\r\n\r\n`;
    serve = (socket) => socket.once('data', () => socket.write(answer, 'latin1'));
    expect(await outcomeOf(GET)).toBe('protocol');
  });

  it('which takes nothing of a body', async () => {
    serve = (socket) => void socket.once('data', () => socket.pause());
    expect(await outcomeOf({ ...GET, method: 'POST', body: endless() })).toBe('timeout');
  });
});

describe('a connection is not used again', () => {
  /** RFC 8446 §5.1. */
  const RECORD_BYTES = 16_384;
  const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

  it('after an upload that was not whole, whose rest the next request would be', async () => {
    serve = (socket) => void socket.on('data', () => socket.write(EMPTY));
    async function* stops(): AsyncGenerator<Buffer> {
      yield Buffer.from('{');
      await new Promise(() => undefined);
    }
    expect(await outcomeOf({ ...GET, method: 'POST', body: stops(), bodyLength: 1_000 })).toBe(200);
    expect(await outcomeOf(GET)).toBe(200);
    expect(sockets).toHaveLength(2);
  });

  it('in the turn of its response, which may have another one behind it', async () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 16000\r\nX-A: ';
    // One write of two records, which are read one after the other in the same poll of the sockets.
    const first = `${head.padEnd(RECORD_BYTES - 16_004, 'a')}\r\n\r\n${'z'.repeat(16_000)}`;
    const behind = EMPTY.replace('200 OK', '299 Chosen by an attacker');
    serve = (socket) =>
      void socket.once('data', () => socket.write(sockets.length === 1 ? `${first}${behind}` : EMPTY));
    const next = Promise.withResolvers<unknown>();
    expect(await outcomeOf(GET, () => next.resolve(outcomeOf(GET)))).toBe(200);
    expect(await next.promise).toBe(200);
    expect(sockets).toHaveLength(2);
  });
});

describe('a request that would be read as another one', () => {
  it.each([
    ['in a value', { headers: { repeated: [], own: ['X-A', 'a\r\nImpersonate-User: root'] } }],
    ['in a value that repeats', { headers: { repeated: [['X-A', 'a\r\nImpersonate-User: root']], own: [] } }],
    ['in a name', { headers: { repeated: [], own: ['X-A: b\r\nX-B', 'c'] } }],
    ['in the target', { target: '/api HTTP/1.1\r\nImpersonate-User: root\r\n' }],
    ['in the method', { method: 'GET /api HTTP/1.1\r\n\r\nGET' }],
  ])('is not written: %s', async (_where, part) => {
    serve = (socket) => void socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    expect(await outcomeOf({ ...GET, ...part })).toBe('internal');
    expect(received).toBe('');
  });

  async function* body(text: string): AsyncGenerator<Buffer, void> {
    yield Buffer.from(text);
  }

  it('is not written: as the rest of a body that is longer than announced', async () => {
    serve = (socket) => void socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    const request = { ...GET, method: 'POST', body: body('{}GET /secrets HTTP/1.1\r\n\r\n'), bodyLength: 2 };
    expect(await outcomeOf(request)).toBe('internal');
    expect(received).not.toContain('secrets');
  });

  it('does not begin after a body that is shorter than announced', async () => {
    let ended = false;
    serve = (socket) => void socket.resume().on('close', () => (ended = true));
    expect(await outcomeOf({ ...GET, method: 'POST', body: body('{}'), bodyLength: 3 })).toBe('internal');
    await expect.poll(() => ended).toBe(true);
  });
});
