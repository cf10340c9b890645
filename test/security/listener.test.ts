import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ALICE, HOST, pairsOf, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Person, TestPlane } from '../support/data-plane.ts';
import { CORPUS } from './corpus.ts';
import type { Attack } from './corpus.ts';

/** Statuses of the answers in what came back; an interim `100 Continue` counts as one. */
const statusesOf = (received: string): number[] =>
  [...received.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, code]) => Number(code));

describe('bytes that no well-meant client sends', () => {
  let plane: TestPlane;
  let alice: Person;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
  });
  beforeEach(() => {
    plane.upstream.clear();
    plane.audited.length = 0;
  });
  afterAll(() => plane.close());

  const send = async (attack: Attack): Promise<string> => {
    const connection = await rawConnection(plane, attack.anonymous === true ? null : alice.certificate);
    const filled = attack.bytes.replaceAll('TOKEN', alice.token).replaceAll('HOST', HOST);
    connection.socket.write(attack.exact === true ? filled : filled.replaceAll('\n', '\r\n'), 'latin1');
    const wanted = Math.max(attack.statuses.length, 1);
    await until(() => statusesOf(connection.received()).length >= wanted || connection.socket.destroyed, 'an answer');
    await until(() => plane.gate.inFlight === 0, 'nothing in flight');
    connection.socket.destroy();
    await connection.ended;
    return connection.received();
  };

  describe.each(Object.entries(CORPUS))('%s', (_kind, attacks) => {
    it.each(attacks)('$name', async (attack) => {
      const received = await send(attack);
      expect(statusesOf(received)).toEqual(attack.statuses);
      const reached = plane.upstream.requests.map(({ method, url }) => `${method} ${url}`);
      expect(reached).toEqual(attack.upstream);
      for (const { rawHeaders } of plane.upstream.requests) {
        const headers = pairsOf(rawHeaders).filter(([name]) =>
          /^(impersonate|x[-_](remote|forwarded)|authorization)/i.test(name),
        );
        expect(headers).toEqual([
          ['Authorization', 'Bearer upstream-token'],
          ['Impersonate-User', ALICE.username],
          ['Impersonate-Uid', ALICE.uid],
          ...ALICE.groups.map((group) => ['Impersonate-Group', group]),
          ['Impersonate-Extra-portcullis.dev%2Fsession', alice.session.id],
          ['X-Forwarded-For', '127.0.0.1'],
        ]);
      }
      // Neither the record nor the answer repeats a credential.
      const said = received + JSON.stringify(plane.audited) + JSON.stringify(plane.counted);
      expect(said).not.toContain(alice.token);
    });
  });

  it('a refusal is a Status that says what to do, names our Audit-Id, and is recorded under it', async () => {
    const received = await send({
      name: '',
      bytes: `GET /api/../x HTTP/1.1\nHost: HOST\n\n`,
      statuses: [400],
      upstream: [],
    });
    const [head = '', body = ''] = received.split('\r\n\r\n');
    expect(JSON.parse(body)).toMatchObject({ kind: 'Status', status: 'Failure', reason: 'BadRequest', code: 400 });
    const id = /^audit-id: (.*)$/im.exec(head)?.[1]?.trim();
    expect(plane.audited).toMatchObject([{ auditID: id, annotations: { 'portcullis.dev/reason': 'dot_segment' } }]);
  });

  it('`100 Continue` is sent for a request that was let in, and only then', async () => {
    const bytes = (token: string): string =>
      `POST /api/v1/namespaces HTTP/1.1\nHost: HOST\nAuthorization: Bearer ${token}\nExpect: 100-continue\nContent-Length: 2\n\n`;
    const connection = await rawConnection(plane, alice.certificate);
    connection.socket.write(bytes(alice.token).replaceAll('HOST', HOST).replaceAll('\n', '\r\n'));
    await until(() => statusesOf(connection.received()).length === 1, 'the interim answer');
    expect(statusesOf(connection.received())).toEqual([100]);
    connection.socket.write('{}');
    await until(() => statusesOf(connection.received()).length === 2, 'the answer');
    expect(statusesOf(connection.received())).toEqual([100, 200]);
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders).map(([name]) => name.toLowerCase())).not.toContain('expect');
    connection.socket.destroy();
    const received = await send({ name: '', bytes: bytes('bad'), statuses: [401], upstream: [] });
    expect(statusesOf(received)).toEqual([401]);
    expect(received).toMatch(/^connection: close\r$/im);
  });

  it('a refused upload is not read to its end: the answer closes the connection', async () => {
    const connection = await rawConnection(plane, alice.certificate);
    const head = `POST /api/v1/pods HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer bad\r\nContent-Length: 900000\r\n\r\n`;
    connection.socket.write(`${head}some of it`);
    await connection.ended;
    expect(connection.received()).toMatch(/^HTTP\/1\.1 401 /);
    expect(connection.received()).toMatch(/^connection: close\r$/im);
  });

  it('garbage behind a request whose answer is under way ends the connection instead of writing into the answer', async () => {
    plane.upstream.answer = (_req, res) =>
      void res.writeHead(200, { 'content-type': 'application/json' }).write('{"a":');
    const connection = await rawConnection(plane, alice.certificate);
    const head = `GET /api/v1/pods HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`;
    connection.socket.write(head);
    await until(() => connection.received().includes('{"a":'), 'half an answer');
    connection.socket.write('GARBAGE\r\n\r\n');
    await connection.ended;
    expect(statusesOf(connection.received())).toEqual([200]);
    await until(() => plane.gate.inFlight === 0, 'nothing in flight');
  });
});
