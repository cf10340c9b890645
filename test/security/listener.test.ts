import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { HOST, pairsOf, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, RawConnection, TestPlane } from '../support/data-plane.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { newClientKey, type ClientKey } from '../support/oauth-client.ts';
import { answerJson } from '../support/upstream.ts';
import { statusesOf } from './wire.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EXEC = `${PODS}/web/exec`;
const WEBSOCKET = 'Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\nSec-WebSocket-Version: 13\n';

describe('the api listener', () => {
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
  });
  beforeEach(() => {
    plane.upstream.clear();
    plane.upstream.answer = answerJson({ kind: 'PodList', apiVersion: 'v1', items: [] });
    plane.audited.length = 0;
  });
  afterAll(() => plane.close());

  const wired = (text: string): string => text.replaceAll('\n', '\r\n').replaceAll('HOST', HOST);
  const withToken = (text: string): string => wired(text).replaceAll('TOKEN', alice.token);
  const connected = (): Promise<RawConnection> => rawConnection(plane, alice.certificate);
  const answered = (connection: RawConnection, count: number): Promise<void> =>
    until(() => statusesOf(connection.received()).length === count, `answer ${count}`);
  const idle = (): Promise<void> => until(() => plane.guard.inFlight === 0, 'nothing in flight');

  it('rejects with a Status that advises what to do, names the Audit-Id, and is audited under it', async () => {
    const connection = await connected();
    connection.socket.write(wired('GET /api/../x HTTP/1.1\nHost: HOST\n\n'));
    await answered(connection, 1);
    await idle();
    const [head = '', body = ''] = connection.received().split('\r\n\r\n');
    expect(JSON.parse(body)).toMatchObject({ kind: 'Status', status: 'Failure', reason: 'BadRequest', code: 400 });
    const id = /^audit-id: (.*)$/im.exec(head)?.[1]?.trim();
    expect(plane.audited).toMatchObject([{ auditID: id, annotations: { 'portcullis.dev/reason': 'dot_segment' } }]);
    connection.socket.destroy();
  });

  it('ends a connection that sends more than any client before its first response', async () => {
    const socket = connect(plane.port, '127.0.0.1');
    const closed = new Promise((resolve) => void socket.on('error', () => undefined).once('close', resolve));
    socket.resume().write(Buffer.alloc(64 * 1024, 0x16));
    await closed;
    expect(plane.counted.rejections).toContain('handshake_too_large');
  });

  it('ends a connection whose client certificate is larger than any client has', async () => {
    const names = Array.from({ length: 1_000 }, (_, index) => `a-rather-long-name-${index}`);
    for (const { count, ended } of [
      { count: 10, ended: false },
      { count: 400, ended: true },
    ]) {
      const { cert, key } = await makeCertificates(names.slice(0, count), Date.now());
      const connection = await rawConnection(plane, { cert, key });
      connection.socket.write(wired('GET /api/../x HTTP/1.1\nHost: HOST\nConnection: close\n\n'));
      await connection.ended;
      expect(statusesOf(connection.received())).toEqual(ended ? [] : [400]);
      expect(plane.counted.rejections.includes('certificate_too_large')).toBe(ended);
    }
  });

  it('counts a connection as several by the bytes of its certificates, whatever it sends with them and after', async () => {
    const MOST = 65;
    const WAIT_MS = 1_000;
    const crowded = await startPlane({
      limits: { connections: MOST },
      stalenessSeconds: 60,
      timing: { giveWayMs: WAIT_MS },
    });
    onTestFinished(() => crowded.close());
    const names = Array.from({ length: 300 }, (_, index) => `a-rather-long-name-${index}`);
    // Four such certificates of 8 kB count as twelve of the thirteen that may be without a credential.
    const { cert, key } = await makeCertificates(names, Date.now());
    const opened = async (certificate: ClientKey): Promise<readonly Socket[]> => {
      const sockets: Socket[] = [];
      for (let each = 0; each < MOST / 5; each += 1) {
        // On a busy machine one may have to give way before its handshake is over.
        const connection = await rawConnection(crowded, certificate).catch(() => undefined);
        if (connection === undefined) continue;
        const { socket } = connection;
        onTestFinished(() => void socket.destroy());
        sockets.push(socket);
        socket.write(wired('GET /api/../x HTTP/1.1\nHost: HOST\n\n'));
        await until(() => socket.destroyed || connection.received() !== '', 'its response');
      }
      return sockets;
    };
    const open = (sockets: readonly Socket[]): number => sockets.filter(({ destroyed }) => !destroyed).length;
    const heavy = await opened({ cert, key });
    await expect.poll(() => open(heavy)).toBeLessThanOrEqual(4);
    expect(open(heavy)).toBeGreaterThan(0);
    for (const socket of heavy) socket.destroy();
    const connections = (): Promise<number> =>
      new Promise((resolve) => void crowded.listener.server.getConnections((_error, count) => resolve(count)));
    await expect.poll(connections).toBe(0);
    const light = await opened(await newClientKey());
    await pause(WAIT_MS + 600);
    expect(open(light)).toBe(MOST / 5);
  });

  const MANY = Array.from({ length: 2_000 }, (_, index) => `a-rather-long-name-${index}`);
  /** @returns the user's certificate, with others of so many names in all behind it */
  const withChain = async (user: TestUser, names: readonly number[]): Promise<ClientKey> => {
    const others = await Promise.all(names.map((count) => makeCertificates(MANY.slice(0, count), Date.now())));
    return { ...user.certificate, cert: [user.certificate.cert, ...others.map(({ cert }) => cert)].join('\n') };
  };

  it('ends a connection with certificates of 46 kB beside a small one, and none with those that a user has', async () => {
    const heavy = await rawConnection(plane, await withChain(alice, [1_900]));
    heavy.socket.write(withToken('GET /api/v1/pods HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n\n'));
    await heavy.ended;
    expect(plane.counted.rejections).toContain('handshake_too_large');
    plane.counted.rejections.length = 0;
    const { cert, key } = await makeCertificates(MANY.slice(0, 150), Date.now());
    const user = await signIn(plane, { at: { ...alice, certificate: { cert, key } } });
    const honest = await rawConnection(plane, await withChain(user, [40, 40, 40]));
    // As much as comes with the end of the handshake, and more.
    const head = `POST ${PODS} HTTP/1.1\nHost: HOST\nAuthorization: Bearer ${user.token}\nContent-Length: 900000\n\n`;
    honest.socket.write(Buffer.concat([Buffer.from(wired(head)), Buffer.alloc(900_000, 0x20)]));
    await answered(honest, 1);
    expect([statusesOf(honest.received()), plane.counted.rejections]).toEqual([[200], []]);
    honest.socket.destroy();
  });

  it('lets no account have more in flight on connections with large certificates than its share, and takes none of others for it', async () => {
    const crowded = await startPlane({ limits: { connections: 320 }, timing: { giveWayMs: 0 } });
    onTestFinished(() => crowded.close());
    crowded.upstream.answer = ({ method }, res) => void (method === 'GET' && res.end('{}'));
    const [mallory, bob] = [await signIn(crowded), await signIn(crowded, { subject: 'bob' })];
    const get = `GET ${PODS} HTTP/1.1\nHost: HOST\nAuthorization: Bearer ${bob.token}\n\n`;
    const idleOnes = await Promise.all(Array.from({ length: 20 }, () => rawConnection(crowded, bob.certificate)));
    for (const each of idleOnes) {
      each.socket.write(wired(get));
      await answered(each, 1);
    }
    const certificate = await withChain(mallory, [380]);
    const post = `POST ${PODS} HTTP/1.1\nHost: HOST\nAuthorization: Bearer ${mallory.token}\nContent-Length: 9000\n\n{`;
    const heavy: RawConnection[] = [];
    for (let each = 0; each < 90; each += 1) {
      const connection = await rawConnection(crowded, certificate);
      onTestFinished(() => void connection.socket.destroy());
      heavy.push(connection);
      connection.socket.write(wired(post));
      await until(
        () => crowded.guard.inFlight === heavy.length || connection.socket.destroyed || connection.received() !== '',
        'in flight or rejected',
      );
      if (crowded.guard.inFlight < heavy.length) break;
    }
    // Some 10 kB of each are 3 connections, or 4, of 256.
    expect(heavy.length - 1).toBeGreaterThan(40);
    expect(heavy.length - 1).toBeLessThanOrEqual(85);
    expect(statusesOf(heavy.at(-1)?.received() ?? '')).toEqual([429]);
    await pause(600);
    expect(idleOnes.filter(({ socket }) => socket.destroyed)).toHaveLength(0);
    // None of them has ended: with what, if one has.
    const ended = heavy.slice(0, -1).map((each) => ({ closed: each.socket.destroyed, received: each.received() }));
    expect(ended.filter(({ closed, received }) => closed || received !== '')).toEqual([]);
    expect(crowded.guard.inFlight).toBe(heavy.length - 1);
  });

  it('sends `100 Continue` for a request that was admitted, and only then', async () => {
    const bytes = 'POST /api/v1/namespaces HTTP/1.1\nHost: HOST\nExpect: 100-continue\nContent-Length: 2\n';
    const connection = await connected();
    connection.socket.write(withToken(`${bytes}Authorization: Bearer TOKEN\n\n`));
    await answered(connection, 1);
    expect(statusesOf(connection.received())).toEqual([100]);
    connection.socket.write('{}');
    await answered(connection, 2);
    expect(statusesOf(connection.received())).toEqual([100, 200]);
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders).map(([name]) => name.toLowerCase())).not.toContain('expect');
    connection.socket.destroy();

    const refused = await connected();
    refused.socket.write(wired(`${bytes}Authorization: Bearer bad\n\n`));
    await refused.ended;
    expect(statusesOf(refused.received())).toEqual([401]);
    expect(refused.received()).toMatch(/^connection: close\r$/im);
  });

  it('does not read a rejected upload to its end: the response closes the connection', async () => {
    const connection = await connected();
    const head = 'POST /api/v1/pods HTTP/1.1\nHost: HOST\nAuthorization: Bearer bad\nContent-Length: 900000\n\n';
    connection.socket.write(`${wired(head)}some of it`);
    await connection.ended;
    expect(connection.received()).toMatch(/^HTTP\/1\.1 401 /);
    expect(connection.received()).toMatch(/^connection: close\r$/im);
  });

  it('ends the connection on garbage after a request whose response is being sent, and writes nothing into it', async () => {
    plane.upstream.answer = (_req, res) =>
      void res.writeHead(200, { 'content-type': 'application/json' }).write('{"a":');
    const connection = await connected();
    connection.socket.write(withToken('GET /api/v1/pods HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n\n'));
    await until(() => connection.received().includes('{"a":'), 'half an answer');
    connection.socket.write('GARBAGE\r\n\r\n');
    await connection.ended;
    expect(statusesOf(connection.received())).toEqual([200]);
    await idle();
  });

  it('closes the connection after a rejected upgrade whose client sent a byte, read the response and disconnected', async () => {
    const connection = await connected();
    connection.socket.write(wired(`GET ${EXEC} HTTP/1.1\nHost: HOST\n${WEBSOCKET}\n`), () =>
      connection.socket.write('x'),
    );
    await connection.ended;
    expect(statusesOf(connection.received())).toEqual([401]);
    await until(() => plane.audited.length === 1, 'the audit events');
    await idle();
  });

  it.each([
    ['two Host lines', 'GET /-/x HTTP/1.1\nHost: HOST\nHost: HOST\n\n', 400],
    ['an unknown expectation', 'GET /-/x HTTP/1.1\nHost: HOST\nExpect: nonsense\n\n', 417],
    ['another version', 'GET /-/x HTTP/2.0\nHost: HOST\n\n', 400],
  ])('rejects at its own endpoints what it rejects elsewhere: %s', async (_what, bytes, status) => {
    const connection = await connected();
    connection.socket.write(wired(bytes));
    await answered(connection, 1);
    expect(statusesOf(connection.received())).toEqual([status]);
    connection.socket.destroy();
  });

  it('sends `100 Continue` at its own endpoints', async () => {
    const connection = await connected();
    connection.socket.write(wired('POST /-/x HTTP/1.1\nHost: HOST\nExpect: 100-continue\nContent-Length: 2\n\n'));
    await answered(connection, 1);
    connection.socket.write('{}');
    await answered(connection, 2);
    expect(statusesOf(connection.received())).toEqual([100, 204]);
    connection.socket.destroy();
  });

  it('reads a request that comes byte by byte as one that comes whole', async () => {
    const connection = await connected();
    const bytes = withToken(
      `POST ${PODS} HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n`,
    );
    for (const byte of bytes) connection.socket.write(byte);
    await answered(connection, 1);
    expect(statusesOf(connection.received())).toEqual([200]);
    expect(plane.upstream.requests).toHaveLength(1);
    connection.socket.destroy();
  });

  it('carries both ways, byte for byte, what comes with the two heads of an upgrade, and nothing before the 101', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    plane.upstream.answerUpgrade = (req, socket, head) => {
      let early = head.toString('latin1');
      socket.on('data', (chunk: Buffer) => {
        early += chunk.toString('latin1');
        if (early.length >= 9) resolve(early);
      });
      resolve(early.padStart(0));
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${req.headers.upgrade ?? ''}\r\n\r\nSERVED`,
      );
    };
    const connection = await connected();
    connection.socket.write(
      `${withToken(`GET ${EXEC} HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n${WEBSOCKET}\n`)}GET / HTT`,
    );
    await until(() => connection.received().endsWith('\r\n\r\nSERVED'), 'the first bytes of the new protocol');
    expect(await promise).toBe('');
    const upstream = plane.upstream.requests[0]?.connection;
    await until(() => upstream?.received().endsWith('\r\n\r\nGET / HTT') === true, 'the early bytes');
    expect(plane.upstream.requests).toHaveLength(1);
    connection.socket.destroy();
    await idle();
  });
});

/**
 * What http-proxy-middleware does on this path, and why it is not the data plane (docs/decisions/0001-own-data-plane.md): both were
 * reproduced against it.
 */
describe('the two dangers of a middleware in front of a proxy', () => {
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
    plane.upstream.answerUpgrade = (_req, socket) => void socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  });
  beforeEach(() => {
    plane.upstream.clear();
    plane.audited.length = 0;
  });
  afterAll(() => plane.close());
  /** The line is written when both sides are closed. */
  const reasons = async (count: number): Promise<(string | undefined)[]> => {
    await until(() => plane.guard.inFlight === 0 && plane.audited.length >= count, 'the audit events');
    return plane.audited.map(({ annotations }) => annotations['portcullis.dev/reason']);
  };

  it.each(['GET', 'POST'])('an upgrade by %s goes past the checks of requests', async (method) => {
    const protocol = method === 'GET' ? WEBSOCKET : 'Connection: Upgrade\nUpgrade: SPDY/3.1\n';
    const connection = await rawConnection(plane, alice.certificate);
    connection.socket.write(`${method} ${EXEC} HTTP/1.1\nHost: ${HOST}\n${protocol}\n`.replaceAll('\n', '\r\n'));
    await connection.ended;
    expect(statusesOf(connection.received())).toEqual([401]);
    expect(plane.upstream.connections).toHaveLength(0);
    expect(await reasons(1)).toEqual(['no_token']);
  });

  it('an upgrade rides on the credential of the request before it on the same connection', async () => {
    const connection = await rawConnection(plane, alice.certificate);
    const first = `GET ${PODS} HTTP/1.1\nHost: ${HOST}\nAuthorization: Bearer ${alice.token}\n\n`;
    connection.socket.write(first.replaceAll('\n', '\r\n'));
    await until(() => statusesOf(connection.received()).length === 1, 'the first answer');
    connection.socket.write(`GET ${EXEC} HTTP/1.1\nHost: ${HOST}\n${WEBSOCKET}\n`.replaceAll('\n', '\r\n'));
    await connection.ended;
    expect(statusesOf(connection.received())).toEqual([200, 401]);
    expect(plane.upstream.requests).toHaveLength(1);
    expect(new Set(await reasons(2))).toEqual(new Set(['no_token', undefined]));
  });

  it.each(['Impersonate-User: system:masters', 'Impersonate_Group: system:masters', 'impersonate-extra-a: b'])(
    '`Expect: 100-continue` takes %s past the hook that builds the headers',
    async (line) => {
      plane.upstream.answer = answerJson({ kind: 'SubjectAccessReview', status: { allowed: false } }, {}, 201);
      const connection = await rawConnection(plane, alice.certificate);
      const head = `POST ${PODS} HTTP/1.1\nHost: ${HOST}\nAuthorization: Bearer ${alice.token}\nExpect: 100-continue\n`;
      connection.socket.write(`${head}${line}\nContent-Length: 2\n\n`.replaceAll('\n', '\r\n'));
      await connection.ended;
      expect(statusesOf(connection.received())[0]).toBeGreaterThanOrEqual(400);
      expect(statusesOf(connection.received())).toHaveLength(1);
      const reached = plane.upstream.requests.filter(({ url }) => !url.includes('subjectaccessreviews'));
      expect(reached).toEqual([]);
      expect(await reasons(1)).toEqual([expect.stringMatching(/^impersonation_/)]);
    },
  );
});
