/** Reads that last over HTTP/2 to an API server that offers it: what shares a connection, and what one of them can do to the others. */
import { once } from 'node:events';
import { constants, createSecureServer } from 'node:http2';
import type { Http2SecureServer, Http2ServerRequest, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ALICE, call, pairsOf, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import { http2Connection } from '../support/http2-client.ts';
import type { Http2Answer, Http2Connection } from '../support/http2-client.ts';
import { makeCertificate } from '../support/upstream.ts';

const WATCH = '/api/v1/namespaces/default/pods?watch=1';
const EVENT = '{"type":"ADDED","object":{}}\n';

interface Served {
  readonly stream: ServerHttp2Stream;
  readonly raw: readonly string[];
  readonly session: ServerHttp2Session;
}

let server: Http2SecureServer;
/** Stands before the server, as the network does. */
let relay: Server;
/** Whatever is sent is lost, and nothing is closed: a network that drops packets, or a machine that has stopped. */
let hangs: boolean;
let served: Served[];
let sockets: Socket[];
/** Of each response. */
let delayMs: number;
let plane: TestPlane;
let alice: TestUser;
let clients: Http2Connection[];

beforeEach(async () => {
  served = [];
  hangs = false;
  sockets = [];
  delayMs = 0;
  clients = [];
  const certificate = await makeCertificate('api.cluster.test');
  server = createSecureServer({ ...certificate, settings: { maxConcurrentStreams: 20 } });
  server.on('connection', (socket: Socket) => void sockets.push(socket));
  server.on('session', (session) => session.on('error', () => undefined));
  server.on(
    'stream',
    (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
      stream.on('error', () => undefined);
      served.push({ stream, raw, session: stream.session as ServerHttp2Session });
      setTimeout(() => {
        stream.respond({ ':status': 200, 'content-type': 'application/json' });
        stream.write(EVENT);
      }, delayMs);
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  relay = createServer((client) => pass(client, connect((server.address() as AddressInfo).port, '127.0.0.1')));
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const address = `https://127.0.0.1:${(relay.address() as AddressInfo).port}`;
  plane = await startPlane({ cluster: { server: address, ca: certificate.cert }, timing: { pingMs: 1_000 } });
  alice = await signIn(plane);
});
afterEach(async () => {
  for (const client of clients) client.close();
  await plane.close();
  for (const socket of sockets) socket.destroy();
  relay.close();
  server.close();
});

function pass(client: Socket, onwards: Socket): void {
  for (const [from, to] of [[client, onwards] as const, [onwards, client] as const]) {
    from.on('data', (chunk: Buffer) => void (hangs || to.write(chunk)));
    from.on('error', () => undefined);
    from.on('close', () => to.destroy());
  }
}

async function watches(user: TestUser, count: number): Promise<readonly Http2Answer[]> {
  const before = served.length;
  const client = await http2Connection(plane, user.certificate);
  clients.push(client);
  const opened = Array.from({ length: count }, () => client.open(user, WATCH));
  await until(() => opened.every((each) => each.received() === EVENT), `${count} watches`);
  expect(served).toHaveLength(before + count);
  return opened;
}

const sessions = (): ReadonlySet<ServerHttp2Session> => new Set(served.map(({ session }) => session));

describe('watches at an API server with HTTP/2', () => {
  it('have the head of their response before its first piece, also where both come at once', async () => {
    delayMs = 50;
    const client = await http2Connection(plane, alice.certificate);
    clients.push(client);
    const [first, ...others] = Array.from({ length: 20 }, () => client.open(alice, WATCH));
    await expect(first?.head).resolves.toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
    for (const each of others)
      await expect(each.head).resolves.toMatchObject({ headers: { 'audit-id': expect.any(String) } });
  });

  it('share connections, as many on each as the server allows', async () => {
    await watches(alice, 50);
    expect(sessions().size).toBe(3);
  });

  it('say who the user is, with a line for each group', async () => {
    await watches(alice, 1);
    const [first] = served;
    expect(pairsOf(first?.raw).slice(0, 4)).toEqual([
      [':method', 'GET'],
      [':path', WATCH],
      [':scheme', 'https'],
      [':authority', expect.stringMatching(/^127\.0\.0\.1:\d+$/)],
    ]);
    const named = pairsOf(first?.raw).filter(([name]) => !name.startsWith(':'));
    expect(named).toEqual([
      ['authorization', 'Bearer upstream-token'],
      ['impersonate-user', ALICE.username],
      ['impersonate-uid', ALICE.uid],
      ...ALICE.groups.map((group) => ['impersonate-group', group]),
      ['impersonate-extra-portcullis.dev%2fsession', alice.session.id],
      ['audit-id', expect.any(String)],
      ['x-forwarded-for', '127.0.0.1'],
    ]);
  });

  it('are cut one by one by a reset, and the others on the connection go on', async () => {
    const bob = await signIn(plane, { subject: 'bob' });
    const [hers] = await watches(alice, 1);
    const [his] = await watches(bob, 1);
    expect(sessions().size).toBe(1);
    const [atServer, hisAtServer] = served;
    await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
    await expect(hers?.ended).resolves.not.toBe('end');
    await until(() => atServer?.stream.rstCode === constants.NGHTTP2_CANCEL, 'the reset at the API server');
    hisAtServer?.stream.write(EVENT);
    await until(() => his?.received() === EVENT + EVENT, 'the next event');
  });

  it('do not wait for a user who reads nothing', async () => {
    const bob = await signIn(plane, { subject: 'bob' });
    const [hers] = await watches(alice, 1);
    const [his] = await watches(bob, 1);
    hers?.stream.pause();
    const [atServer, hisAtServer] = served;
    const line = `${JSON.stringify({ type: 'MODIFIED', object: { text: 'x'.repeat(100_000) } })}\n`;
    // More than the windows of a stream and of a connection, and than what the proxy holds on the way.
    for (let left = 40; left > 0; left -= 1) atServer?.stream.write(line);
    await until(() => (atServer?.stream.writableLength ?? 0) > 1_000_000, 'what is not read waits at the API server');
    hisAtServer?.stream.write(EVENT);
    await until(() => his?.received() === EVENT + EVENT, 'the next event');
    hers?.stream.resume();
    await until(() => hers?.received().length === EVENT.length + 40 * line.length, 'all that was held back');
    expect(his?.received()).toBe(EVENT + EVENT);
  });

  it('go on after a GOAWAY, and the next one uses another connection', async () => {
    const [first] = await watches(alice, 1);
    served[0]?.session.goaway(constants.NGHTTP2_NO_ERROR);
    await until(() => served[0]?.session.destroyed === false, 'the GOAWAY');
    // It is read before the response to what follows.
    expect((await call(plane, alice, '/healthz')).status).toBe(502);
    await watches(alice, 1);
    expect(sessions().size).toBe(2);
    served[0]?.stream.write(EVENT);
    await until(() => first?.received() === EVENT + EVENT, 'the next event');
    served[0]?.stream.end();
    await expect(first?.ended).resolves.toBe('end');
  });

  it('are ended when the server has gone without a word, and the next one uses another connection', async () => {
    const [first] = await watches(alice, 1);
    hangs = true;
    await expect(first?.ended).resolves.not.toBe('end');
    hangs = false;
    await watches(alice, 1);
    expect(sessions().size).toBe(2);
  });

  it('do not look whole when the connection is lost, and the next one uses another', async () => {
    const opened = await watches(alice, 3);
    // Its own `destroy` would end each stream first.
    for (const socket of sockets) socket.destroy();
    for (const each of opened) await expect(each.ended).resolves.not.toBe('end');
    await watches(alice, 1);
    expect(sessions().size).toBe(2);
    await until(() => plane.guard.inFlight === 1, 'one in flight');
  });
});

it.each([
  ['GET', 'HTTP/2', '/api/v1/namespaces/default/pods/web-1/log?follow=true'],
  ['GET', 'HTTP/1.1', '/api/v1/namespaces/default/services/web/proxy/'],
  ['POST', 'HTTP/1.1', '/api/v1/namespaces/default/services/web/proxy/orders'],
  ['DELETE', 'HTTP/1.1', '/api/v1/namespaces/default/pods/web-1/proxy/orders/1'],
  ['POST', 'HTTP/1.1', '/api/v1/namespaces/default/pods/web-1/exec?command=id'],
])('%s goes over %s where the API server offers both: %s', async (method, version, path) => {
  const certificate = await makeCertificate('api.cluster.test');
  const both = createSecureServer({ ...certificate, allowHTTP1: true });
  const asked = Promise.withResolvers<Http2ServerRequest>();
  both.on('request', (req) => {
    req.stream?.on('error', () => undefined);
    asked.resolve(req);
  });
  both.listen(0, '127.0.0.1');
  await once(both, 'listening');
  const address = `https://127.0.0.1:${(both.address() as AddressInfo).port}`;
  const beside = await startPlane({ cluster: { server: address, ca: certificate.cert } });
  onTestFinished(async () => {
    await beside.close();
    both.close();
  });
  const user = await signIn(beside);
  const client = await http2Connection(beside, user.certificate);
  clients.push(client);
  const opened = client.open(user, path, { method });
  const { httpVersion, stream, socket } = await asked.promise;
  expect(`HTTP/${httpVersion.replace('2.0', '2')}`).toBe(version);
  await beside.guard.revoke({ target: { kind: 'session', session: user.session.id } });
  if (version === 'HTTP/1.1') await until(() => socket.destroyed, 'the end of its connection');
  else await until(() => stream.rstCode === constants.NGHTTP2_CANCEL, 'the reset at the API server');
  expect((await opened.head).status).toBe(401);
});
