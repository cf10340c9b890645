import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { call, HOST, open, rawConnection, signIn, startPlane, until } from '../../support/data-plane.ts';
import type { TestUser, RawConnection, TestPlane } from '../../support/data-plane.ts';
import { answerJson } from '../../support/upstream.ts';
import type { Answer } from '../../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const HALF = `{"items":[${'"x",'.repeat(2000)}`;

describe('the end of a request', () => {
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    plane = await startPlane({ timing: { connectMs: 2_000, responseMs: 60, bodyMs: 60, upgradeMs: 1_000 } });
    alice = await signIn(plane);
  });
  afterEach(async () => {
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    plane.upstream.answer = answerJson({});
    plane.upstream.clear();
    plane.audited.length = 0;
  });
  afterAll(() => plane.close());

  const asked = async (user: TestUser, target: string, more = ''): Promise<RawConnection> => {
    const connection = await rawConnection(plane, user.certificate);
    const head = `GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${user.token}\r\n${more}\r\n`;
    connection.socket.write(head);
    return connection;
  };

  /** Opens an exec, and the API server responds to it. */
  const exec = (answer: string, serve: (socket: Duplex) => void = () => undefined): Promise<RawConnection> => {
    plane.upstream.answerUpgrade = (_req, socket) => {
      socket.write(`${answer}\r\n\r\n`);
      serve(socket);
    };
    return asked(alice, `${PODS}/web/exec`, 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
  };
  const tunnel = async (serve?: (socket: Duplex) => void): Promise<RawConnection> => {
    const connection = await exec(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket',
      serve,
    );
    await until(() => connection.received().includes(' 101 '), 'the tunnel');
    return connection;
  };

  const DEATHS: Readonly<Record<string, (socket: Duplex) => void>> = {
    'closes in an orderly way': (socket) => socket.end(),
    'breaks off': (socket) => socket.destroy(),
    'writes nonsense': (socket) => socket.write('nonsense\r\n'),
    'is silent': () => undefined,
  };
  const FRAMINGS: Readonly<Record<string, Record<string, string>>> = {
    chunked: {},
    'of a declared length': { 'content-length': '20000' },
  };
  const cases = Object.keys(FRAMINGS).flatMap((framing) =>
    Object.keys(DEATHS).map((death) => [framing, death] as const),
  );

  const half =
    (framing: string, then: (socket: Duplex) => void): Answer =>
    (req, res) => {
      res.writeHead(200, { 'content-type': 'application/json', ...FRAMINGS[framing] });
      res.write(HALF, () => then(req.socket));
    };
  const looksWhole = (received: string): boolean => received.endsWith('0\r\n\r\n') || received.length >= 20_000;

  it.each(cases.filter(([framing, death]) => framing === 'chunked' || death !== 'writes nonsense'))(
    'a list that is %s does not look complete when the API server %s in the middle of it',
    async (framing, death) => {
      plane.upstream.answer = half(framing, (socket) => DEATHS[death]?.(socket));
      const connection = await asked(alice, PODS);
      expect(await connection.ended).toBe('ECONNRESET');
      expect(looksWhole(connection.received())).toBe(false);
    },
  );

  it.each(Object.keys(FRAMINGS))(
    'a list that is %s does not look complete when its session is ended in the middle of it',
    async (framing) => {
      const bob = await signIn(plane, { subject: `bob-${framing}` });
      plane.upstream.answer = half(framing, () => undefined);
      const connection = await asked(bob, `${PODS}?limit=5&watch=false`);
      await until(() => connection.received().includes('"x"'), 'half a list');
      await plane.guard.revoke({ target: { kind: 'session', session: bob.session.id } });
      expect(await connection.ended).toBe('ECONNRESET');
      expect(looksWhole(connection.received())).toBe(false);
      expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    },
  );

  it('a watch or an exec that is quiet for much longer than every limit is not cut, nor when its token has expired', async () => {
    let watching: ServerResponse | undefined;
    plane.upstream.answer = (req, res) => {
      if (req.url?.includes('watch') !== true) return;
      watching = res.writeHead(200, { 'content-type': 'application/json' });
      watching.flushHeaders();
    };
    const req = open(plane, alice, `${PODS}?watch=1`);
    req.end();
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    const echo = await tunnel((socket) => void socket.pipe(socket));
    let finish = (): void => undefined;
    const instead = await exec('HTTP/1.1 200 OK\r\nContent-Length: 5', (socket) => {
      socket.write('in');
      finish = () => void socket.write('sum');
    });
    // Each of these lasts as long as the limits, so that four of them are a quiet period four times as long.
    for (let times = 0; times < 4; times += 1) expect((await call(plane, alice, PODS)).status).toBe(504);
    plane.advance(3_600);
    watching?.write('{"type":"BOOKMARK"}\n');
    const [event] = (await once(res, 'data')) as [Buffer];
    expect(event.toString()).toBe('{"type":"BOOKMARK"}\n');
    echo.socket.write('echo');
    await until(() => echo.received().endsWith('echo'), 'the echo');
    finish();
    await until(() => instead.received().endsWith('insum'), 'the rest of a response in place of a tunnel');
    expect((await call(plane, alice, PODS)).status).toBe(401);
    plane.advance(-3_600);
    req.destroy();
    echo.socket.destroy();
  });

  it('a client never sees that the API server closed a kept connection, and no POST is sent twice', async () => {
    const seen: string[] = [];
    let served = 0;
    plane.upstream.answer = (req, res) => {
      const id = `${req.method} ${req.url}`;
      // Every second request finds its connection closed: the API server was closing it as idle at that moment.
      served += 1;
      if (served % 2 === 0) {
        seen.push(id);
        req.socket.destroy();
        return;
      }
      seen.push(id);
      answerJson({})(req, res);
    };
    for (let turn = 0; turn < 12; turn += 1) expect((await call(plane, alice, `${PODS}/get-${turn}`)).status).toBe(200);
    served = 0;
    const answers: number[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      const { status } = await call(plane, alice, `${PODS}/post-${turn}`, { method: 'POST', body: '{}' });
      answers.push(status);
    }
    expect(answers).toEqual([200, 502, 200, 502, 200, 502]);
    const posts = seen.filter((id) => id.startsWith('POST'));
    expect(new Set(posts).size).toBe(posts.length);
  });

  it.each(['PUT', 'PATCH', 'DELETE'])('a %s whose connection was lost is not sent twice', async (method) => {
    plane.upstream.answer = (req) => void req.socket.destroy();
    const { status } = await call(plane, alice, `${PODS}/one`, {
      method,
      body: '{}',
      headers: { 'content-length': '2' },
    });
    expect(status).toBe(502);
    expect(plane.upstream.requests).toHaveLength(1);
  });

  it('a request whose response had begun is not sent twice', async () => {
    plane.upstream.answer = (req) => void req.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
    const connection = await asked(alice, PODS);
    expect(await connection.ended).toBe('ECONNRESET');
    expect(plane.upstream.requests).toHaveLength(1);
  });

  it.each([
    ['to a protocol that was not requested', 'Connection: Upgrade\r\nUpgrade: h2c'],
    ['to two protocols', 'Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket'],
    ['without the protocol', 'Connection: Upgrade'],
    ['that is not about the connection', 'Upgrade: websocket'],
  ])('an upgrade %s is rejected', async (_what, headers) => {
    const connection = await exec(`HTTP/1.1 101 Switching Protocols\r\n${headers}`);
    await connection.ended;
    expect(connection.received()).toMatch(/^HTTP\/1\.1 502 [^]*"kind":"Status"/);
    expect(plane.audited.at(-1)?.responseStatus?.code).toBe(502);
  });

  it('a 101 to a request for no upgrade is rejected', async () => {
    plane.upstream.answer = (req) =>
      void req.socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello');
    const connection = await asked(alice, PODS);
    await until(() => connection.received().includes('"kind":"Status"'), 'the rejection');
    expect(connection.received()).toMatch(/^HTTP\/1\.1 502 /);
    connection.socket.destroy();
  });

  it('half a response to an upgrade does not look complete', async () => {
    const connection = await exec('HTTP/1.1 200 OK\r\nContent-Length: 5', (socket) => {
      socket.write('in', () => socket.destroy());
    });
    expect(await connection.ended).toBe('ECONNRESET');
  });

  it('an exec is reset when the API server aborts it in the middle of its input', async () => {
    const connection = await tunnel((socket) => void socket.once('data', () => socket.destroy()));
    connection.socket.write(Buffer.alloc(4_194_304));
    expect(await connection.ended).toMatch(/ECONNRESET|EPIPE/);
  });

  describe('a client that vanishes', () => {
    /** How its connection to the API server ended. */
    const endingAfter = async (vanish: () => void): Promise<string | undefined> => {
      await until(() => plane.upstream.requests.length === 1, 'the request');
      vanish();
      const ending = await plane.upstream.requests[0]?.connection.ended;
      await until(() => plane.guard.inFlight === 0, 'nothing in flight');
      return ending;
    };

    it('while it waits for a response', async () => {
      plane.upstream.answer = () => undefined;
      const connection = await asked(alice, `${PODS}/web/log?follow=true`);
      expect(await endingAfter(() => connection.socket.destroy())).toBe('reset');
    });

    it('in the middle of a response that it does not read', async () => {
      plane.upstream.answer = (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/plain' });
        const pump = (): void => {
          while (res.write(Buffer.alloc(65_536)));
          res.once('drain', pump);
        };
        pump();
      };
      const connection = await asked(alice, `${PODS}/web/log?follow=true`);
      connection.socket.pause();
      await until(() => plane.counted.streams === 1, 'the stream');
      expect(await endingAfter(() => connection.socket.destroy())).toBe('reset');
    });

    it('in the middle of an upload', async () => {
      plane.upstream.answer = () => undefined;
      const req = open(plane, alice, PODS, { method: 'POST', headers: { 'content-length': '1000000' } });
      req.write('{');
      expect(await endingAfter(() => void req.destroy())).toBe('reset');
    });

    it('in the middle of an exec', async () => {
      const connection = await tunnel((socket) => void socket.resume());
      connection.socket.write('input');
      await until(() => plane.upstream.requests[0]?.connection.received().endsWith('input') === true, 'the input');
      // Its data is forwarded first, as the end of the input of an exec is.
      expect(await endingAfter(() => connection.socket.destroy())).toBe('end');
      expect(plane.audited.at(-1)?.annotations).toMatchObject({
        'portcullis.dev/bytes-in': '5',
        'portcullis.dev/bytes-out': '0',
      });
    });

    it('in the middle of a response in place of a tunnel', async () => {
      const connection = await exec('HTTP/1.1 200 OK\r\nContent-Length: 5', (socket) => void socket.write('in'));
      await until(() => connection.received().endsWith('in'), 'half of the response');
      expect(await endingAfter(() => void connection.socket.end('input for the tunnel'))).toBe('reset');
    });

    it('while an upgrade waits for its response', async () => {
      plane.upstream.answerUpgrade = () => undefined;
      const connection = await asked(alice, `${PODS}/web/exec`, 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
      expect(await endingAfter(() => connection.socket.destroy())).toBe('reset');
    });
  });
});
