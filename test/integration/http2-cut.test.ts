import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { holdsBytes } from '../../src/core/http/connection-reset.ts';
import { HOST, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import type { Http2Connection } from '../support/http2-client.ts';
import { answerJson } from '../support/upstream.ts';
import type { Answer } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const LIST = { kind: 'PodList', apiVersion: 'v1', items: [] };
const EVENT = '{"type":"ADDED","object":{}}\n';

const stream =
  (type: string, first: string | Buffer): Answer =>
  (_req, res) =>
    void res.writeHead(200, { 'content-type': type }).write(first);
const watch = stream('application/json', EVENT);

/** After the reason. */
const MAYBE = /^your session was ended by .*; the request may have been executed: check .*\(audit id [0-9a-f-]{36}\)$/;

describe('a cut over HTTP/2', () => {
  let plane: TestPlane;
  let alice: TestUser;
  /** Another session of the same user on the same laptop. */
  let again: TestUser;
  let h2: Http2Connection;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
    again = await signIn(plane, { at: alice });
    h2 = await http2Connection(plane, alice.certificate);
  });
  afterAll(async () => {
    h2.close();
    await plane.close();
  });

  it('ends the streams of one session and none of the other on the same connection', async () => {
    plane.upstream.answer = watch;
    const [mine, half, its] = [
      h2.open(alice, `${PODS}?watch=1`),
      h2.open(alice, PODS),
      h2.open(again, `${PODS}?watch=1`),
    ];
    await until(() => [mine, half, its].every((one) => one.received() === EVENT), 'all three');
    const reset = plane.upstream.requests.map(({ connection }) => connection.ended);
    await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
    expect(await Promise.all([mine.ended, half.ended])).toEqual(['INTERNAL_ERROR', 'INTERNAL_ERROR']);
    // A watch gets the reason between two events; a list that is half sent is only reset.
    const [first, last = ''] = mine.received().trim().split('\n');
    expect(`${first}\n`).toBe(EVENT);
    expect(JSON.parse(last)).toMatchObject({
      type: 'ERROR',
      object: {
        kind: 'Status',
        code: 401,
        reason: 'Unauthorized',
        message: expect.stringContaining('portcullis login') as string,
      },
    });
    expect(half.received()).toBe(EVENT);
    expect(await Promise.all(reset.slice(0, 2))).toEqual(['reset', 'reset']);
    expect(its.received()).toBe(EVENT);
    expect(its.stream.destroyed).toBe(false);
    plane.upstream.answer = answerJson(LIST);
    expect((await h2.call(again, PODS)).status).toBe(200);
    expect((await h2.call(alice, PODS)).status).toBe(401);
    its.stream.close(8);
  });

  it('says why in each of many watches on one connection', async () => {
    const user = await signIn(plane, { at: alice });
    plane.upstream.answer = watch;
    const watches = Array.from({ length: 40 }, () => h2.open(user, `${PODS}?watch=1`));
    await until(() => watches.every((one) => one.received() === EVENT), 'all of them');
    await plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });
    const ends = await Promise.all(watches.map(({ ended }) => ended));
    expect(new Set(ends)).toEqual(new Set(['INTERNAL_ERROR']));
    expect(watches.filter((one) => !one.received().includes('"type":"ERROR"'))).toHaveLength(0);
  });

  it.each([
    [
      'a watch in protobuf',
      `${PODS}?watch=1`,
      'application/vnd.kubernetes.protobuf;stream=watch',
      Buffer.from([0, 0, 0, 1, 10]),
    ],
    ['a watch in the middle of an event', `${PODS}?watch=1`, 'application/json', Buffer.from(`${EVENT}{"type":`)],
    ['a list half-way', PODS, 'application/json', Buffer.from('{"items":[')],
    ['a log that does not follow', `${PODS}/web-1/log`, 'text/plain', Buffer.from('a line\n')],
  ])('inserts nothing into %s', async (_what, path, type, bytes) => {
    const user = await signIn(plane, { at: alice });
    plane.upstream.answer = stream(type, bytes);
    const answer = h2.open(user, path);
    await until(() => answer.received().length === bytes.length, 'the first bytes');
    await plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });
    expect(await answer.ended).toBe('INTERNAL_ERROR');
    expect(answer.received()).toBe(bytes.toString('latin1'));
  });

  it.each(['a line\n', 'half a line'])('ends a log that follows with a line that says why, after %j', async (text) => {
    const user = await signIn(plane, { at: alice });
    plane.upstream.answer = stream('text/plain; charset=utf-8', text);
    const log = h2.open(user, `${PODS}/web-1/log?follow=true`);
    await until(() => log.received() === text, 'the first bytes');
    await plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });
    expect(await log.ended).toBe('INTERNAL_ERROR');
    expect(log.received()).toMatch(/^(a line|half a line)\nportcullis: your session was ended by .*`\n$/);
  });

  it('ends an upload half-way on both sides, and says that it may have been executed', async () => {
    const user = await signIn(plane, { at: alice });
    plane.upstream.clear();
    plane.upstream.answer = (req) => void req.resume();
    const upload = h2.open(user, PODS, { method: 'POST', body: null });
    upload.stream.write('x'.repeat(1000));
    await until(() => plane.upstream.requests.length === 1, 'the request');
    await plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });
    expect((await upload.head).status).toBe(401);
    // The response is whole, and the rest of the body is not wanted.
    expect(await upload.ended).toBe('NO_ERROR');
    expect(JSON.parse(upload.received())).toMatchObject({ code: 401, message: expect.stringMatching(MAYBE) as string });
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    // Not as a request that was rejected for its credential.
    await until(() => plane.audited.at(-1)?.annotations['portcullis.dev/admitted'] === 'true', 'the audit event');
    expect(plane.audited.at(-1)).toMatchObject({
      stage: 'ResponseComplete',
      responseStatus: { code: 401, reason: 'Unauthorized' },
      annotations: { 'portcullis.dev/reason': 'session_revoked' },
    });
  });
});

/** Stands between a client and the proxy: what the client is sent may wait in the kernels, and then in the proxy. */
async function relayTo(port: number) {
  const towards = connect(port, '127.0.0.1');
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let passed = 0;
  let ending = 'end';
  towards.on('error', (error: NodeJS.ErrnoException) => (ending = error.code ?? 'error'));
  towards.on('close', () => resolve(ending));
  const server = createServer((client: Socket) => {
    client.on('error', () => undefined);
    client.pipe(towards);
    towards.on('data', (bytes: Buffer) => {
      passed += bytes.length;
      client.write(bytes);
    });
    towards.on('close', () => client.destroy());
    client.on('close', () => towards.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    towards.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, towards, ended, passed: () => passed };
}

describe('a cut over HTTP/2 of a user who opens all windows and takes nothing from the connection', () => {
  const STREAMS = 120;
  const PATH = '/api/v1/namespaces/default/services/web/proxy/';
  const SIZE = 60_000;
  /** Of the two kernels, at most. Without the reset, all of it would come. */
  const IN_KERNELS = (STREAMS * SIZE) / 2;

  it.each<{ what: string; method: string; how: 'open' | 'broken off' | 'whole' }>([
    { what: 'responses that go on', method: 'GET', how: 'open' },
    { what: 'responses that a pod has broken off', method: 'GET', how: 'broken off' },
    { what: 'whole responses', method: 'GET', how: 'whole' },
    { what: 'whole responses to requests that have been read', method: 'POST', how: 'whole' },
  ])('lets nothing out of $what that is still in the process', async ({ method, how }) => {
    const plane = await startPlane({ limits: { inFlightPerUser: 2 * STREAMS } });
    onTestFinished(() => plane.close());
    const alice = await signIn(plane);
    plane.upstream.answer = (req, res) => {
      req.resume();
      res.writeHead(200, { 'content-length': how === 'whole' ? SIZE : 2 * SIZE }).write(Buffer.alloc(SIZE, 'x'));
      if (how === 'whole') res.end();
    };
    const over = (): number => plane.audited.filter(({ stage }) => stage === 'ResponseComplete').length;
    const accepted = once(plane.listener.server, 'secureConnection');
    const relay = await relayTo(plane.port);
    const socket = await http2Socket({ ...plane, port: relay.port }, alice.certificate);
    const [server] = (await accepted) as [TLSSocket];
    const session = connectHttp2(`https://${HOST}`, {
      createConnection: () => socket,
      settings: { initialWindowSize: 0 },
    });
    session.on('error', () => undefined);
    onTestFinished(() => session.destroy());
    await once(session, 'remoteSettings');
    let heads = 0;
    for (let left = STREAMS; left > 0; left -= 1) {
      const headers = { ':method': method, ':path': PATH, ':authority': HOST, authorization: `Bearer ${alice.token}` };
      const stream = session.request(headers, { endStream: method === 'GET' });
      if (method === 'POST') stream.end('x');
      stream.on('error', () => undefined);
      stream.on('response', () => (heads += 1)).resume();
    }
    await until(() => heads === STREAMS && over() === (how === 'whole' ? STREAMS : 0), 'all responses');
    relay.towards.pause();
    session.settings({ initialWindowSize: 4 * SIZE });
    session.setLocalWindowSize(2 ** 30);
    await until(() => holdsBytes(server), 'more than the kernels take');
    if (how === 'broken off') {
      for (const connection of plane.upstream.connections) connection.socket.destroy();
      await until(() => over() === STREAMS, 'the ends of all');
    }
    const passed = relay.passed();
    const receipt = await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
    expect(receipt.complete).toBe(true);
    // A whole response that the kernel has taken is over.
    expect(receipt.streamsClosed).toBeGreaterThan(how === 'whole' ? 0 : STREAMS - 1);
    relay.towards.resume();
    expect(await relay.ended).toBe('ECONNRESET');
    expect(relay.passed() - passed).toBeLessThan(IN_KERNELS);
  });
});
