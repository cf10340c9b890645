import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import type { RevocationLog } from '../../src/store/store.ts';
import { call, HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, RawConnection, TestPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EXEC = `${PODS}/web-1/exec?command=sh&stdin=true`;
const EVENT = '{"type":"ADDED","object":{}}\n';

/** A watch that has sent one event and sends no more. */
const quietWatch = (_req: IncomingMessage, res: ServerResponse): void => {
  res.writeHead(200, { 'content-type': 'application/json' });
  res.write(EVENT);
};

const head = (line: string, user: TestUser, ...more: string[]): string =>
  [line, `Host: ${HOST}`, `Authorization: Bearer ${user.token}`, ...more, '', ''].join('\r\n');

const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: v5.channel.k8s.io',
];

describe('what is in flight', () => {
  let plane: TestPlane;
  let beside: TestPlane;
  let alice: TestUser;
  let bob: TestUser;
  beforeAll(async () => {
    plane = await startPlane();
    beside = await startPlane({ beside: plane });
  });
  beforeEach(async () => {
    [alice, bob] = await Promise.all([signIn(plane), signIn(plane, { subject: 'bob' })]);
    plane.upstream.answer = quietWatch;
    plane.upstream.answerUpgrade = (_req, socket, early) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.write(early);
      socket.pipe(socket);
    };
    plane.upstream.clear();
    plane.audited.length = 0;
  });
  afterEach(async () => {
    for (const { guard } of [plane, beside]) await guard.revoke({ target: { kind: 'all' } });
    await until(() => plane.guard.inFlight === 0 && beside.guard.inFlight === 0, 'nothing in flight');
  });
  afterAll(async () => {
    await beside.close();
    await plane.close();
  });

  const watch = async (at: TestPlane, user: TestUser): Promise<RawConnection> => {
    const connection = await rawConnection(at, user.certificate);
    connection.socket.write(head(`GET ${PODS}?watch=1 HTTP/1.1`, user));
    await until(() => connection.received().includes('ADDED'), 'the first event');
    return connection;
  };
  const exec = async (user: TestUser, ...headers: string[]): Promise<RawConnection> => {
    const connection = await rawConnection(plane, user.certificate);
    connection.socket.write(head(`GET ${EXEC} HTTP/1.1`, user, ...headers));
    await until(() => connection.received().includes('101 Switching Protocols'), 'the upgrade');
    return connection;
  };
  const end = (user: TestUser): Promise<unknown> =>
    plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });
  const lastReason = (): string | undefined => plane.audited.at(-1)?.annotations['portcullis.dev/reason'];

  it('a watch gets the reason, is reset on both sides, and is audited; no other session is touched', async () => {
    const [mine, theirs] = [await watch(plane, alice), await watch(plane, bob)];
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    const said = mine.received().slice(mine.received().indexOf(EVENT) + EVENT.length);
    expect(said).toContain('"type":"ERROR"');
    expect(said).toContain('"code":401');
    expect(said).toContain('ended by an administrator');
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    await until(() => plane.audited.length === 3, 'the audit line');
    expect(plane.audited.at(-1)).toMatchObject({
      stage: 'ResponseComplete',
      user: { username: alice.session.identity.username },
    });
    expect(lastReason()).toBe('session_revoked');
    expect(theirs.socket.destroyed).toBe(false);
    expect(plane.counted.streams).toBe(1);
  });

  it('a watch in the middle of an event is reset without a termination notice', async () => {
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write(`${EVENT}{"type":"MOD`);
    };
    const mine = await watch(plane, alice);
    await until(() => mine.received().includes('MOD'), 'half an event');
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(mine.received()).not.toContain('ERROR');
  });

  it('a log of known length is not filled up by a termination notice, so that half of it never looks whole', async () => {
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/plain', 'content-length': '20' });
      res.write('half a line');
    };
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(head(`GET ${PODS}/web-1/log?follow=true HTTP/1.1`, alice));
    await until(() => mine.received().includes('half a line'), 'the first half');
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(mine.received()).toMatch(/half a line$/);
  });

  it('an upload is cut, and not a byte more reaches the API server', async () => {
    let seen = 0;
    plane.upstream.answer = (req) => void req.on('data', (chunk: Buffer) => (seen += chunk.length));
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(
      head(`POST ${PODS} HTTP/1.1`, alice, 'Content-Length: 1000000', 'Content-Type: application/json'),
    );
    mine.socket.write('x'.repeat(10_000));
    await until(() => seen === 10_000, 'the first part');
    const revoked = end(alice);
    mine.socket.write('y'.repeat(10_000));
    await revoked;
    expect(await mine.ended).toMatch(/end|ECONNRESET|EPIPE/);
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    expect(seen).toBe(10_000);
  });

  it.each([
    ['a request', PODS, /your session was ended by [^;]* \(audit id/],
    ['a request to a pod', `${PODS}/web/proxy/run`, /; the request may have been executed: .*\(audit id/],
  ])('%s to which nothing has responded yet is cut', async (_what, path, message) => {
    plane.upstream.answer = () => undefined;
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(head(`GET ${path} HTTP/1.1`, alice));
    await until(() => plane.upstream.requests.length === 1, 'the request');
    await end(alice);
    expect(await mine.ended).toBe('end');
    expect(mine.received()).toMatch(/^HTTP\/1.1 401 [^]*Connection: close/);
    expect(mine.received()).toMatch(message);
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
  });

  it('an upgrade to which the API server has not responded yet is cut', async () => {
    plane.upstream.answerUpgrade = () => undefined;
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(head(`GET ${EXEC} HTTP/1.1`, alice, ...WEBSOCKET));
    await until(() => plane.upstream.requests.length === 1, 'the request');
    await end(alice);
    expect(await mine.ended).toBe('end');
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    expect(mine.received()).toMatch(/^HTTP\/1.1 401 [^]*; the request may have been executed: .*\(audit id/);
  });

  it('what is queued for a slow client is not sent after the cut', async () => {
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/octet-stream' });
      const pump = (): void => {
        while (res.write(Buffer.alloc(65_536, 'z')));
        res.once('drain', pump);
      };
      pump();
    };
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.pause();
    mine.socket.write(head(`GET ${PODS}/web-1/log?follow=true HTTP/1.1`, alice));
    await until(() => plane.counted.streams === 1, 'the stream');
    await end(alice);
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    mine.socket.resume();
    expect(await mine.ended).toBe('ECONNRESET');
    // What the kernels held is gone with the reset; at most their buffers' worth can have come through.
    expect(mine.received().length).toBeLessThan(8 * 1024 * 1024);
  });

  it('an exec by WebSocket carries bytes both ways, and is closed with 1008 and a reset', async () => {
    const mine = await exec(alice, ...WEBSOCKET);
    // One unmasked text frame, echoed.
    mine.socket.write(Buffer.from([0x81, 0x02, 0x68, 0x69]));
    await until(() => mine.received().endsWith('\x81\x02hi'), 'the echo');
    expect(plane.upstream.requests[0]?.rawHeaders).toEqual(
      expect.arrayContaining(['Upgrade', 'websocket', 'Impersonate-User']),
    );
    expect(plane.upstream.requests[0]?.rawHeaders).toEqual(expect.arrayContaining(['v5.channel.k8s.io']));
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    const close = mine.received().slice(mine.received().lastIndexOf('hi') + 2);
    expect(close.charCodeAt(0)).toBe(0x88);
    expect(Buffer.from(close, 'latin1').readUInt16BE(2)).toBe(1008);
    expect(close).toContain('ended by an administrator');
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    await until(() => plane.audited.length === 2, 'the audit lines');
    expect(plane.audited.map((event) => event.responseStatus?.code)).toEqual([101, 101]);
    expect(plane.audited[0]?.requestURI).not.toContain('command=sh');
  });

  it('a WebSocket in the middle of a frame is reset without a close frame', async () => {
    const mine = await exec(alice, ...WEBSOCKET);
    mine.socket.write(Buffer.from([0x81, 0x05, 0x68, 0x69]));
    await until(() => mine.received().endsWith('hi'), 'half a frame');
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(mine.received().endsWith('hi')).toBe(true);
  });

  it('an exec by SPDY, by POST and with early bytes, is tunnelled and cut', async () => {
    plane.upstream.answerUpgrade = (_req, socket: Duplex, early) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nfirst');
      socket.write(early);
      socket.pipe(socket);
    };
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(
      `${head(`POST ${EXEC} HTTP/1.1`, alice, 'Connection: Upgrade', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io')}early`,
    );
    await until(() => mine.received().endsWith('firstearly'), 'early bytes of both sides');
    // As the API server spells it: a client that compares the case would not take the upgrade.
    expect(mine.received()).toContain('\r\nUpgrade: SPDY/3.1\r\n');
    const bytes = plane.upstream.requests[0]?.connection.received() ?? '';
    expect(bytes.slice(bytes.indexOf('\r\n\r\n') + 4)).toBe('early');
    await end(alice);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
  });

  it('an upgrade that the API server rejects is relayed and closed', async () => {
    plane.upstream.answerUpgrade = (_req, socket) =>
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nSet-Cookie: a=b\r\n\r\nno way');
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(head(`GET ${EXEC} HTTP/1.1`, alice, ...WEBSOCKET));
    expect(await mine.ended).toBe('end');
    expect(mine.received()).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(mine.received()).toContain('no way');
    expect(mine.received()).not.toContain('Set-Cookie');
  });

  it('an upgrade without a valid token reaches no API server', async () => {
    const mine = await rawConnection(plane, bob.certificate);
    mine.socket.write(head(`GET ${EXEC} HTTP/1.1`, alice, ...WEBSOCKET));
    expect(await mine.ended).toBe('end');
    expect(mine.received()).toMatch(/^HTTP\/1\.1 401 /);
    expect(plane.upstream.requests).toHaveLength(0);
  });

  it('is cut on another replica as well, and the response carries its receipt', async () => {
    const mine = await watch(beside, alice);
    const answer = await plane.guard.revoke({ target: { kind: 'account', account: alice.session.account } });
    expect(await mine.ended).toBe('ECONNRESET');
    expect(answer).toMatchObject({
      complete: true,
      streamsClosed: 1,
      replicas: [
        { id: 'replica-a', state: 'applied' },
        { id: 'replica-b', state: 'applied', streamsClosed: 1 },
      ],
    });
    expect((await call(beside, alice, PODS)).status).toBe(401);
  });

  it('ends when its session ends', async () => {
    const brief = await signIn(plane, { sessionLife: 2 });
    const mine = await watch(plane, brief);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(mine.received()).toContain('your session is over');
  });
});

describe('a replica whose store is unavailable', () => {
  it('cuts everything, returns 503 so that clients try another replica, and recovers', async () => {
    let away = false;
    const guarded = <A extends readonly unknown[], R>(run: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        if (away) throw new AppError('store_unavailable', 'away');
        return run(...args);
      };
    };
    const log = (inner: RevocationLog): RevocationLog => ({
      settled: true,
      position: guarded(() => inner.position()),
      join: guarded((seconds) => inner.join(seconds)),
      renew: guarded((...args) => inner.renew(...args)),
      leave: guarded((id, count) => inner.leave(id, count)),
      append: guarded((request) => inner.append(request)),
      hasWritten: guarded((request) => inner.hasWritten(request)),
      announceDrill: guarded((id) => inner.announceDrill(id)),
      waitForEntry: guarded((...args) => inner.waitForEntry(...args)),
    });
    const plane = await startPlane({ log, stalenessSeconds: 0.4 });
    const alice = await signIn(plane);
    plane.upstream.answer = quietWatch;
    plane.upstream.answerUpgrade = (_req, socket) =>
      void socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`);
    const start = async (path: string, ...headers: string[]): Promise<RawConnection> => {
      const connection = await rawConnection(plane, alice.certificate);
      connection.socket.write(head(`GET ${path} HTTP/1.1`, alice, ...headers));
      await until(() => /ADDED|half a li|101 Switching/.test(connection.received()), 'the stream');
      return connection;
    };
    const watching = await start(`${PODS}?watch=1`);
    const exec = await start(EXEC, ...WEBSOCKET);
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/plain' });
      res.write('a line\nhalf a li');
    };
    const following = await start(`${PODS}/web-1/log?follow=true`);
    away = true;
    const streams = [watching, exec, following];
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual(streams.map(() => 'ECONNRESET'));
    expect(plane.guard.fenced).toBe(true);
    // Each says that the replica is the reason. It cannot know whether the session was revoked, so it claims nothing.
    const why = 'this replica cannot reach its store right now and rejects every request; try again';
    const event = watching
      .received()
      .split('\n')
      .find((line) => line.includes('ERROR'));
    expect(JSON.parse(event ?? '')).toMatchObject({
      object: { code: 503, reason: 'ServiceUnavailable', message: why },
    });
    expect(exec.received()).toMatch(new RegExp(`\\x88.\\x03\\xf5${why}$`));
    expect(following.received()).toContain(`half a li\r\n`);
    expect(following.received()).toContain(`\nportcullis: ${why}\n`);
    for (const one of streams) expect(one.received()).not.toContain('session');
    const answered = await call(plane, alice, PODS);
    expect(answered.json()).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable' });
    expect(answered.headers).toMatchObject({ 'retry-after': '1', connection: 'close' });
    expect(plane.audited.at(-1)?.annotations['portcullis.dev/reason']).toBe('fenced');
    expect(plane.upstream.requests).toHaveLength(3);
    away = false;
    await until(() => !plane.guard.fenced, 'the next lease');
    plane.upstream.answer = answerJson({});
    expect((await call(plane, alice, PODS)).status).toBe(200);
    await plane.close();
  });

  it('lets no chunk pass when it wakes up after its lease, before any timer has run', async () => {
    const plane = await startPlane({ stalenessSeconds: 0.5 });
    const alice = await signIn(plane);
    const tick = Promise.withResolvers<void>();
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write(EVENT);
      void tick.promise.then(() => res.write('{"late":true}\n'));
    };
    const mine = await rawConnection(plane, alice.certificate);
    mine.socket.write(head(`GET ${PODS}?watch=1 HTTP/1.1`, alice));
    await until(() => mine.received().includes('ADDED'), 'the first event');
    tick.resolve();
    await Promise.resolve();
    // The whole process is stopped for longer than its lease, as under SIGSTOP; the chunk is waiting when it goes on.
    const until_ = performance.now() + 600;
    while (performance.now() < until_);
    expect(await mine.ended).toBe('ECONNRESET');
    expect(mine.received()).not.toContain('late');
    expect(mine.received()).toContain('this replica cannot reach its store');
    await plane.close();
  });
});

describe('a shutdown', () => {
  it('rejects requests that would last, ends a watch between two events, and cuts what is left at the end of its grace', async () => {
    const plane = await startPlane();
    const alice = await signIn(plane);
    plane.upstream.answer = quietWatch;
    const kept = await rawConnection(plane, alice.certificate);
    const watching = await rawConnection(plane, alice.certificate);
    watching.socket.write(head(`GET ${PODS}?watch=1 HTTP/1.1`, alice));
    const following = await rawConnection(plane, alice.certificate);
    following.socket.write(head(`GET ${PODS}/web-1/log?follow=1 HTTP/1.1`, alice));
    await until(() => [watching, following].every((one) => one.received().includes('ADDED')), 'both streams');
    const drained = plane.listener.drain({ delay: 0, grace: 0.3 });
    await until(() => watching.received().endsWith('0\r\n\r\n'), 'an orderly end of the watch');
    kept.socket.write(head(`GET ${PODS}?watch=1 HTTP/1.1`, alice));
    await kept.ended;
    expect(kept.received()).toMatch(/^HTTP\/1\.1 503 |^$/);
    expect(await following.ended).toBe('ECONNRESET');
    await drained;
    expect(plane.audited.at(-1)?.annotations['portcullis.dev/reason']).toBe('shutdown');
    await plane.guard.stop();
    await plane.upstream.close();
  });
});
