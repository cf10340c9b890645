import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import {
  ALICE,
  call,
  HOST,
  mint,
  open,
  pairsOf,
  rawConnection,
  signIn,
  standstill,
  startPlane,
  until,
} from '../support/data-plane.ts';
import type { CallOptions, TestUser, TestPlane } from '../support/data-plane.ts';
import { http2Connection, type Http2Connection, type Http2Options } from '../support/http2-client.ts';
import { answerJson, longAnswer } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const LIST = { kind: 'PodList', apiVersion: 'v1', items: [] };

describe.each(['HTTP/1.1', 'HTTP/2'] as const)('a request over %s', (version) => {
  let plane: TestPlane;
  let alice: TestUser;
  let h2: Http2Connection;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
    h2 = await http2Connection(plane, alice.certificate);
  });
  afterEach(async () => {
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    plane.upstream.answer = answerJson(LIST);
    plane.upstream.clear();
    plane.audited.length = 0;
  });
  afterAll(async () => {
    h2.close();
    await plane.close();
  });

  const ask = (path: string, options: Http2Options & CallOptions = {}) =>
    version === 'HTTP/2' ? h2.call(alice, path, options) : call(plane, alice, path, options);

  it('arrives over HTTP/1.1 with the headers of the allow-list, the user, and nothing else, group lines separate', async () => {
    plane.upstream.answer = answerJson(LIST, { 'set-cookie': 'a=b', 'keep-alive': 'timeout=5', 'x-own': 'grün' });
    const answered = await ask(`${PODS}?limit=5`, {
      headers: {
        accept: 'application/json',
        'user-agent': 'kubectl/v1.35',
        'x-remote-user': 'root',
        'x-remote-group': 'system:masters',
        cookie: 'a=b',
        te: 'trailers',
        'x-forwarded-for': '10.0.0.1',
        'audit-id': 'mine',
        'x-anything': 'else',
      },
    });
    expect(answered).toMatchObject({ status: 200, text: JSON.stringify(LIST) });
    const [event] = plane.audited;
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders)).toEqual([
      ['Host', plane.upstream.server.replace('https://', '')],
      ['accept', 'application/json'],
      ['user-agent', 'kubectl/v1.35'],
      ['Authorization', 'Bearer upstream-token'],
      ['Impersonate-User', ALICE.username],
      ['Impersonate-Uid', ALICE.uid],
      ['Impersonate-Group', 'corp:developers'],
      ['Impersonate-Group', 'corp:on-call, nights'],
      ['Impersonate-Extra-portcullis.dev%2Fsession', alice.session.id],
      ['Audit-ID', event?.auditID],
      ['X-Forwarded-For', '127.0.0.1'],
    ]);
    expect(plane.upstream.requests[0]?.url).toBe(`${PODS}?limit=5`);
    expect(event).toMatchObject({ verb: 'list', user: { username: ALICE.username }, responseStatus: { code: 200 } });
    const { 'audit-id': auditId, 'x-own': own } = answered.headers;
    expect(auditId).toBe(event?.auditID);
    // Node reads each byte of a header of HTTP/1.1 as a character.
    expect(version === 'HTTP/2' ? own : Buffer.from(String(own), 'latin1').toString()).toBe('grün');
    // HTTP/1.1 has the others for its own connection.
    const others = version === 'HTTP/2' ? ['keep-alive', 'connection', 'transfer-encoding'] : [];
    for (const gone of ['set-cookie', ...others]) expect(answered.headers).not.toHaveProperty(gone);
  });

  const chunked = version === 'HTTP/2' ? {} : { 'transfer-encoding': 'chunked' };
  it.each([
    ['of a declared length', 'POST', 'x'.repeat(300_000), { 'content-length': '300000' }],
    ['of an undeclared length', 'PATCH', 'x'.repeat(300_000), chunked],
    ['that is empty', 'POST', '', { 'content-length': '0' }],
  ])('carries a body %s up and back unchanged', async (_kind, method, body, headers) => {
    plane.upstream.answer = (req, res) => {
      expect(req.headers['content-length'] === undefined).toBe(headers === chunked);
      void (async () => {
        let received = '';
        for await (const chunk of req as AsyncIterable<Buffer>) received += chunk.toString();
        res.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ received }));
      })().catch(() => undefined);
    };
    const answered = await ask(PODS, { method, body, headers });
    expect(answered).toMatchObject({ status: 201, text: JSON.stringify({ received: body }) });
  });

  it('reads no faster from the API server than a slow client reads, and other requests go on meanwhile', async () => {
    const ALL = 256 * 1024 * 1024;
    let sent = 0;
    plane.upstream.answer = longAnswer(ALL, (more) => (sent += more));
    const path = `${PODS}/web-1/log`;
    let leave = (): void => undefined;
    if (version === 'HTTP/2') {
      const slow = h2.open(alice, path);
      slow.stream.pause();
      await slow.head;
      leave = () => slow.stream.close(8);
    } else {
      const req = open(plane, alice, path);
      req.end();
      const [res] = (await once(req, 'response')) as [IncomingMessage];
      res.pause();
      leave = () => void req.destroy();
    }
    // The kernels' buffers grow for a while; a proxy that buffers would never come to a standstill before the end.
    await standstill(() => sent);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(version === 'HTTP/2' ? ALL / 8 : ALL);
    plane.upstream.answer = answerJson(LIST);
    expect((await ask(PODS)).status).toBe(200);
    leave();
  });
});

describe('a request through the proxy', () => {
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    plane = await startPlane({ timing: { responseMs: 1_000, connectMs: 2_000 } });
    alice = await signIn(plane);
  });
  afterEach(async () => {
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    plane.upstream.answer = answerJson(LIST);
    plane.upstream.clear();
    plane.audited.length = 0;
    plane.counted.requests.length = 0;
  });
  afterAll(() => plane.close());

  const audited = async (count: number): Promise<void> => {
    await until(() => plane.audited.length >= count, 'the audit line');
    expect(plane.audited).toHaveLength(count);
  };

  it('keeps group lines apart on the wire', async () => {
    const fresh = await startPlane();
    const user = await signIn(fresh, { identity: { ...ALICE, groups: ['a', 'b,c', 'grüppe'] } });
    await call(fresh, user, PODS);
    const bytes = fresh.upstream.connections[0]?.received() ?? '';
    expect(bytes).toContain('GET /api/v1/namespaces/default/pods HTTP/1.1\r\n');
    const groups = [...bytes.matchAll(/^Impersonate-Group: (.*)\r$/gm)].map(([, group = '']) => group);
    expect(groups.map((group) => Buffer.from(group, 'latin1').toString())).toEqual(['a', 'b,c', 'grüppe']);
    await fresh.close();
  });

  it('impersonates only the groups that the cluster may impersonate', async () => {
    const limited = await startPlane({
      cluster: { impersonate: { groups: ['corp:developers'], extra: [], constrained: 'off' } },
    });
    await call(limited, await signIn(limited), PODS);
    const headers = limited.upstream.requests[0]?.rawHeaders ?? [];
    expect(headers.filter((_, i) => headers[i - 1] === 'Impersonate-Group')).toEqual(['corp:developers']);
    await limited.close();
  });

  it('is audited in one event that names user, session, provider, cluster and source', async () => {
    await call(plane, alice, `${PODS}/web-1`, { headers: { 'user-agent': 'kubectl/v1.32' } });
    await audited(1);
    expect(plane.audited[0]).toMatchObject({
      stage: 'ResponseComplete',
      verb: 'get',
      user: { username: ALICE.username, groups: ALICE.groups },
      objectRef: { resource: 'pods', namespace: 'default', name: 'web-1' },
      responseStatus: { code: 200 },
      sourceIPs: ['127.0.0.1'],
      userAgent: 'kubectl/v1.32',
      annotations: {
        'portcullis.dev/cluster': 'prod',
        'portcullis.dev/session': alice.session.id,
        'portcullis.dev/provider': 'corp',
      },
    });
    expect(plane.counted.requests).toMatchObject([{ cluster: 'prod', verb: 'get', code: 200 }]);
    expect(JSON.stringify(plane.audited)).not.toContain(alice.token);
  });

  it('drops cookies and adds a sandbox below a proxy subresource', async () => {
    plane.upstream.answer = answerJson(LIST, { 'set-cookie': ['a=1', 'b=2'], 'x-app': 'yes' });
    const plain = await call(plane, alice, PODS);
    expect(plain.headers).not.toHaveProperty('set-cookie');
    const proxied = await call(plane, alice, `${PODS}/web-1/proxy/index.html`);
    expect(proxied.headers).toMatchObject({ 'content-security-policy': 'sandbox', 'x-app': 'yes' });
    expect(proxied.headers).not.toHaveProperty('set-cookie');
  });

  it('lets no pod make a browser report on everything else under this host', async () => {
    const reports = { nel: '{"report_to":"x","max_age":31536000}', 'report-to': '{"group":"x"}' };
    plane.upstream.answer = answerJson(LIST, {
      ...reports,
      'reporting-endpoints': 'x="https://evil.test"',
      'x-app': 'yes',
    });
    const { headers } = await call(plane, alice, `${PODS}/web-1/proxy/index.html`);
    expect(headers['x-app']).toBe('yes');
    for (const name of ['nel', 'report-to', 'reporting-endpoints']) expect(headers).not.toHaveProperty(name);
  });

  it.each([
    ['/api/v1/pods?continue=2', '/api/v1/pods?continue=2'],
    ['pods/', '/api/v1/namespaces/default/pods/'],
    ['SERVER/version', '/version'],
  ])('relays a redirect to %s', async (location, seen) => {
    const to = location.replace('SERVER', plane.upstream.server);
    plane.upstream.answer = answerJson({}, { location: to }, 307);
    const answered = await call(plane, alice, PODS);
    expect([answered.status, answered.headers.location]).toEqual([307, seen]);
    expect(plane.upstream.requests).toHaveLength(1);
  });

  it.each(['https://evil.test/', '//evil.test/', 'http://127.0.0.1/', 'javascript:alert(1)', String.raw`/\evil.test/`])(
    'does not relay a redirect to %s',
    async (location) => {
      plane.upstream.answer = answerJson({}, { location }, 302);
      const answered = await call(plane, alice, PODS);
      expect(answered.status).toBe(502);
      expect(answered.headers.location).toBeUndefined();
      // That of a pod says nothing about the API server, and must not alert its operator.
      expect((await call(plane, alice, `${PODS}/web/proxy/`)).status).toBe(502);
      expect(plane.counted.upstreamErrors.splice(0)).toEqual(['foreign_redirect']);
    },
  );

  it('ends a response at the API server that it does not relay, however long it is', async () => {
    let over = false;
    plane.upstream.answer = (_req, res) => {
      res.once('close', () => (over = true)).writeHead(302, { location: 'https://evil.test/' });
      res.on('drain', () => res.write(Buffer.alloc(65_536))).write(Buffer.alloc(65_536));
    };
    expect((await call(plane, alice, PODS)).status).toBe(502);
    await until(() => over, 'the end of a response that no client gets');
  });

  it('waits for the final response where the API server sends an interim one first', async () => {
    plane.upstream.answer = (req, res) => {
      res.writeEarlyHints({ link: '</a>; rel=preload' });
      answerJson(LIST)(req, res);
    };
    const answered = await call(plane, alice, PODS);
    expect([answered.status, answered.json()]).toEqual([200, LIST]);
  });

  it('puts the prefix back in front of a redirect where a path chose the cluster', async () => {
    const fresh = await startPlane({ cluster: { hosts: ['other.test'] } });
    fresh.upstream.answer = answerJson({}, { location: '/version' }, 302);
    const user = await signIn(fresh);
    const answered = await call(fresh, user, '/clusters/prod/api', { host: '127.0.0.1' });
    expect([answered.status, answered.headers.location]).toEqual([302, '/clusters/prod/version']);
    expect(fresh.upstream.requests[0]?.url).toBe('/api');
    await fresh.close();
  });

  it('is served from any address, and counted once where its session comes from more than four', async () => {
    const traveller = await signIn(plane, { subject: 'traveller' });
    for (let last = 2; last < 8; last += 1) {
      expect((await call(plane, traveller, PODS, { from: `127.0.0.${last}` })).status).toBe(200);
      expect(plane.counted.manyAddresses).toBe(last < 6 ? 0 : 1);
    }
  });

  it('never drops a part of --as in silence', async () => {
    for (const name of ['impersonate-group', 'Impersonate_Extra-x', 'Impersonate-Role']) {
      const answered = await call(plane, alice, PODS, { headers: { [name]: 'root' } });
      expect(answered.json()).toMatchObject({ kind: 'Status', reason: 'BadRequest', code: 400 });
    }
    expect(plane.upstream.requests).toHaveLength(0);
    await audited(3);
    expect(plane.audited[0]).toMatchObject({
      user: { username: ALICE.username },
      annotations: { 'portcullis.dev/reason': 'impersonation_without_user' },
    });
  });

  it('warns in the last ten minutes of a session, and not before', async () => {
    expect((await call(plane, alice, PODS)).headers).not.toHaveProperty('warning');
    const soon = await signIn(plane, { sessionLife: 400 });
    expect((await call(plane, soon, PODS)).headers['warning']).toBe(
      '299 - "your session ends in 6 min; run `portcullis login --server https://portcullis.test`"',
    );
  });

  it('rejects an unknown cluster host with 404, and two hosts with 400', async () => {
    const answered = await call(plane, alice, PODS, { host: 'elsewhere.test' });
    expect(answered.json()).toMatchObject({ kind: 'Status', code: 404, reason: 'NotFound' });
    expect(plane.upstream.requests).toHaveLength(0);
    await audited(1);
    expect(plane.audited[0]).toMatchObject({ user: {}, annotations: { 'portcullis.dev/reason': 'cluster_unknown' } });
  });

  it('makes client-go repeat what could not be sent, whatever the method, when the API server is unreachable', async () => {
    const gone = await startPlane();
    await gone.upstream.close();
    const user = await signIn(gone);
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answered = await call(gone, user, PODS, { method, ...(method === 'POST' ? { body: '{}' } : {}) });
      expect(answered.json()).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable' });
      expect(answered.headers['retry-after']).toBe('3');
    }
    const connection = await rawConnection(gone, user.certificate);
    const exec = `GET ${PODS}/web/exec HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${user.token}\r\n`;
    connection.socket.write(`${exec}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    await connection.ended;
    expect(connection.received()).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 3\r\n/);
    expect(gone.counted.upstreamErrors).toEqual(['connect', 'connect', 'connect', 'connect']);
    await until(() => gone.audited.length === 4, 'the audit events');
    expect(gone.audited[0]?.annotations['portcullis.dev/reason']).toBe('upstream_unavailable');
    await gone.listener.close();
    await gone.guard.stop();
  });

  it('is never told to repeat a request that the API server received: 504 where no response comes in time', async () => {
    plane.upstream.answer = () => undefined;
    const late = await call(plane, alice, PODS);
    expect(late.json()).toMatchObject({ code: 504, reason: 'Timeout' });
    expect(late.headers).not.toHaveProperty('retry-after');
    // One that is slow would only get more to do.
    expect(plane.upstream.requests).toHaveLength(1);
  });

  it('verifies the API server: another certificate is no API server', async () => {
    const untrusting = await startPlane({ cluster: { ca: plane.ca } });
    const answered = await call(untrusting, await signIn(untrusting), PODS);
    expect(answered.status).toBe(502);
    expect(answered.headers).not.toHaveProperty('retry-after');
    expect(untrusting.counted.upstreamErrors).toEqual(['tls']);
    expect(untrusting.upstream.requests).toHaveLength(0);
    await untrusting.close();
  });

  it('aborts the request at the API server when the client disconnects', async () => {
    plane.upstream.answer = (_req, res) =>
      void res.writeHead(200, { 'content-type': 'application/json' }).write('{"a":1}\n');
    const req = open(plane, alice, `${PODS}?watch=1`);
    req.on('error', () => undefined);
    req.end();
    await once(req, 'response');
    await until(() => plane.counted.streams === 1, 'an open stream');
    req.destroy();
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    await audited(2);
    expect(plane.audited.map(({ stage }) => stage)).toEqual(['ResponseStarted', 'ResponseComplete']);
    expect(plane.audited[1]?.annotations).toMatchObject({ 'portcullis.dev/bytes-out': '8' });
    await until(() => plane.guard.inFlight === 0 && plane.counted.streams === 0, 'nothing in flight');
  });

  it('is rejected with 503 and sent elsewhere while the audit log cannot be written', async () => {
    const blocked = await startPlane({ auditBlocked: () => true });
    const answered = await call(blocked, await signIn(blocked), PODS);
    expect(answered.json()).toMatchObject({ code: 503, reason: 'ServiceUnavailable' });
    expect(answered.headers).toMatchObject({ 'retry-after': '1', connection: 'close' });
    expect(blocked.upstream.requests).toHaveLength(0);
    await blocked.close();
  });

  it('is rejected when the upstream token is unavailable, and when the user has no name', async () => {
    const tokenless = await startPlane({
      cluster: {
        token: () => {
          throw new AppError('upstream_unavailable', 'no token');
        },
      },
    });
    expect((await call(tokenless, await signIn(tokenless), PODS)).status).toBe(503);
    await tokenless.close();
    const nameless = await signIn(plane, { identity: { ...ALICE, username: '' } });
    expect((await call(plane, nameless, PODS)).status).toBe(500);
    expect(plane.upstream.requests).toHaveLength(0);
  });

  it('hands every path under /-/ to the machine handler, without a token', async () => {
    expect((await call(plane, alice, '/-/oauth/token', { token: null })).status).toBe(204);
    expect((await call(plane, alice, '/-x', { token: null })).status).toBe(401);
  });

  it('does not resume a TLS session, so that each connection proves its key', async () => {
    const first = await rawConnection(plane, alice.certificate);
    const session = once(first.socket, 'session');
    first.socket.write(`GET /version HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`);
    const [ticket] = (await session) as [Buffer];
    first.socket.destroy();
    const second = connect({ host: '127.0.0.1', port: plane.port, servername: HOST, ca: plane.ca, session: ticket });
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(false);
    second.write(`GET /version HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`);
    const [answer] = (await once(second, 'data')) as [Buffer];
    expect(answer.toString()).toContain('401 Unauthorized');
    second.destroy();
  });

  it('accepts TLS 1.3 and nothing older', async () => {
    const old = connect({ host: '127.0.0.1', port: plane.port, servername: HOST, ca: plane.ca, maxVersion: 'TLSv1.2' });
    await expect(once(old, 'secureConnect')).rejects.toThrow(/alert|protocol/i);
  });

  it('uses a refreshed identity immediately', async () => {
    const bob = await signIn(plane, { subject: 'bob' });
    await call(plane, bob, PODS);
    await plane.store.sessions.update(bob.session.id, { identity: { ...ALICE, username: 'corp:robert' }, secret: {} });
    const again = await mint(plane, { ...bob, id: bob.session.id });
    await until(() => plane.guard.position?.number === again.session.version - 1, 'the entry');
    await call(plane, bob, PODS);
    expect(plane.upstream.requests.at(-1)?.rawHeaders).toContain('corp:robert');
  });
});
