import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HOST, call, pairsOf, signIn, standstill, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { http2Connection, http2Socket } from '../support/http2-client.ts';
import type { Http2Connection } from '../support/http2-client.ts';
import { DATA, PREFACE, RST_STREAM, frame, headersFrame } from '../support/http2-frames.ts';
import { answerJson } from '../support/upstream.ts';
import type { Answer } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const LIST = { kind: 'PodList', apiVersion: 'v1', items: [] };
const EVENT = '{"type":"ADDED","object":{}}\n';

const watch: Answer = (_req, res) => void res.writeHead(200, { 'content-type': 'application/json' }).write(EVENT);

const echo: Answer = (req, res) => {
  void (async () => {
    let body = '';
    for await (const chunk of req as AsyncIterable<Buffer>) body += chunk.toString();
    res.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ bytes: body.length }));
  })().catch(() => undefined);
};

/** How often the client aborted a response of the machine handler. */
let broken = 0;
const machineHandler: RequestListener = (req, res) => {
  if (req.url === '/-/stream') {
    res.on('close', () => (broken += 1));
    res.write('first');
  } else if (req.url === '/-/broken') {
    res.write('half');
    setImmediate(() => res.destroy());
  } else void describeTo(req, res);
};
const describeTo = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) bytes += chunk.length;
  const socket = req.socket as TLSSocket;
  const thumbprint = createHash('sha256').update(socket.getPeerCertificate().raw).digest('base64url');
  const { method, url, headers } = req;
  res.end(JSON.stringify({ method, url, host: headers.host, bytes, thumbprint, address: socket.remoteAddress }));
};

describe('a request over HTTP/2', () => {
  let plane: TestPlane;
  let alice: TestUser;
  let h2: Http2Connection;
  beforeAll(async () => {
    plane = await startPlane({ timing: { responseMs: 1_000, connectMs: 2_000 }, machineHandler });
    alice = await signIn(plane);
    h2 = await http2Connection(plane, alice.certificate);
  });
  afterEach(async () => {
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    plane.upstream.answer = answerJson(LIST);
    plane.upstream.clear();
    plane.audited.length = 0;
    plane.counted.rejections.length = 0;
  });
  afterAll(async () => {
    h2.close();
    await plane.close();
  });

  const reasons = (): (string | undefined)[] =>
    plane.audited.map(({ annotations }) => annotations['portcullis.dev/reason']);

  it('relays a response that has a header twice', async () => {
    plane.upstream.answer = answerJson(LIST, { 'x-content-type-options': ['nosniff', 'nosniff'] });
    expect(await h2.call(alice, PODS)).toMatchObject({ status: 200, text: JSON.stringify(LIST), ended: 'end' });
  });

  it('is rejected at the endpoints of Portcullis where `:authority` and Host differ', async () => {
    const answered = await h2.call(alice, '/-/x', { headers: { host: 'other.test' } });
    expect(answered).toMatchObject({ status: 400, text: expect.stringContaining('Host') as string });
  });

  it('gets responses to HEAD, and with 204 and 304, without a body', async () => {
    expect(await h2.call(alice, PODS, { method: 'HEAD' })).toMatchObject({ status: 200, text: '', ended: 'end' });
    for (const status of [204, 304]) {
      plane.upstream.answer = (_req, res) => void res.writeHead(status).end();
      expect(await h2.call(alice, PODS)).toMatchObject({ status, text: '', ended: 'end' });
    }
    expect(await h2.call(alice, PODS, { method: 'HEAD', token: 'bad' })).toMatchObject({ status: 401, ended: 'end' });
  });

  it('uses `:authority` as the Host, and rejects two that differ', async () => {
    expect((await h2.call(alice, PODS, { headers: { host: HOST } })).status).toBe(200);
    expect((await h2.call(alice, PODS, { requestedHost: null, headers: { host: HOST } })).status).toBe(200);
    const conflict = await h2.call(alice, PODS, { headers: { host: 'other.test' } });
    expect(JSON.parse(conflict.text)).toMatchObject({ kind: 'Status', code: 400, reason: 'BadRequest' });
    expect((await h2.call(alice, PODS, { requestedHost: 'other.test' })).status).toBe(404);
    expect(plane.upstream.requests).toHaveLength(2);
    expect(reasons()).toEqual([undefined, undefined, 'host_conflict', 'cluster_unknown']);
  });

  it('is bound to the certificate of its connection', async () => {
    const bare = await http2Connection(plane, null);
    expect((await bare.call(alice, PODS)).status).toBe(401);
    const other = await http2Connection(plane, (await signIn(plane)).certificate);
    expect((await other.call(alice, PODS)).status).toBe(401);
    expect(reasons()).toEqual(['certificate_missing', 'certificate_mismatch']);
    bare.close();
    other.close();
  });

  it('is rejected with a message, and the connection goes on', async () => {
    const refused = await h2.call(alice, '/api/../x');
    expect(JSON.parse(refused.text)).toMatchObject({ kind: 'Status', code: 400 });
    expect(refused.headers['audit-id']).toBe(plane.audited[0]?.auditID);
    const upload = await h2.call(alice, PODS, { method: 'POST', token: 'bad', body: 'x'.repeat(500_000) });
    expect([upload.status, upload.ended]).toEqual([401, 'end']);
    expect((await h2.call(alice, PODS)).status).toBe(200);
    expect(h2.goaways).toEqual([]);
  });

  it('gets `100 Continue` when it is admitted, and only then', async () => {
    plane.upstream.answer = echo;
    const waiting = h2.open(alice, PODS, { method: 'POST', body: null, headers: { expect: '100-continue' } });
    await once(waiting.stream, 'continue');
    waiting.stream.end('{}');
    expect((await waiting.head).status).toBe(201);
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders).map(([name]) => name)).not.toContain('expect');
    const refused = h2.open(alice, PODS, {
      method: 'POST',
      token: 'no',
      body: null,
      headers: { expect: '100-continue' },
    });
    let continued = false;
    refused.stream.once('continue', () => (continued = true));
    expect((await refused.head).status).toBe(401);
    await refused.ended;
    expect(continued).toBe(false);
    expect((await h2.call(alice, PODS, { headers: { expect: 'wonders' } })).status).toBe(417);
  });

  it('reaches the machine handler under /-/ with its body, its certificate and its address, without a token', async () => {
    const asked = await h2.call(alice, '/-/oauth/token?x=1', {
      method: 'POST',
      token: null,
      body: 'y'.repeat(30_000),
      headers: { 'x-a': 'b' },
    });
    expect(asked).toMatchObject({ status: 200, ended: 'end' });
    expect(JSON.parse(asked.text)).toEqual({
      method: 'POST',
      url: '/-/oauth/token?x=1',
      host: HOST,
      bytes: 30_000,
      thumbprint: alice.thumbprint,
      address: '127.0.0.1',
    });
    expect((await h2.call(alice, '/-/x', { token: null })).status).toBe(200);
    expect((await h2.call(alice, '/-x', { token: null })).status).toBe(401);
  });

  it('is aborted at the machine handler when the client aborts it, and the other way round', async () => {
    const asked = h2.open(alice, '/-/stream', { token: null });
    await until(() => asked.received() === 'first', 'the first piece');
    asked.stream.close(8);
    await until(() => broken === 1, 'its end at the handler');
    expect(await h2.open(alice, '/-/broken', { token: null }).ended).toBe('INTERNAL_ERROR');
  });

  it('opens no tunnel: neither CONNECT nor extended CONNECT', async () => {
    expect(h2.session.remoteSettings.enableConnectProtocol).not.toBe(true);
    const tunnel = h2.session.request({
      ':method': 'CONNECT',
      ':authority': HOST,
      authorization: `Bearer ${alice.token}`,
    });
    const [head] = (await once(tunnel, 'response')) as [{ ':status': number }];
    expect(head[':status']).toBe(400);
    tunnel.destroy();
    expect(plane.upstream.requests).toEqual([]);
    await until(() => plane.audited.length === 1, 'the audit event');
    expect(reasons()).toEqual(['connect_method']);
  });

  it('closes the connection to the API server when the client aborts', async () => {
    plane.upstream.answer = watch;
    const watching = h2.open(alice, `${PODS}?watch=1`);
    await until(() => watching.received() === EVENT, 'the first event');
    watching.stream.close(8);
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    await until(() => plane.audited.length === 2, 'both audit events');
    expect(plane.audited[1]?.annotations).toMatchObject({ 'portcullis.dev/bytes-out': String(EVENT.length) });
    plane.upstream.answer = answerJson(LIST);
    expect((await h2.call(alice, PODS)).status).toBe(200);
  });

  it.each([0, 2, 8])('never shows the API server half an upload as a whole one: aborted with code %i', async (code) => {
    let whole = false;
    plane.upstream.answer = (req) => {
      req.on('end', () => (whole = req.complete));
      req.on('error', () => undefined);
      req.resume();
    };
    // The client of Node ends the body before it resets the stream.
    const socket = await http2Socket(plane, alice.certificate);
    const post = { ':method': 'POST', ':path': PODS, ':scheme': 'https', ':authority': HOST };
    socket.write(Buffer.concat([PREFACE, headersFrame(1, { ...post, authorization: `Bearer ${alice.token}` })]));
    socket.write(frame(DATA, 0, 1, Buffer.from('x'.repeat(1000))));
    await until(() => plane.upstream.requests[0]?.connection.received().includes('xxx') === true, 'its first piece');
    socket.write(frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code])));
    await plane.upstream.requests[0]?.connection.ended;
    expect(whole).toBe(false);
    expect(plane.upstream.requests[0]?.connection.received()).not.toContain('xxx\r\n0\r\n');
    socket.destroy();
  });

  it('never lets half a list look like a whole one', async () => {
    plane.upstream.answer = (req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write('{"items":[');
      setImmediate(() => req.socket.destroy());
    };
    const list = h2.open(alice, PODS);
    expect(await list.ended).toBe('INTERNAL_ERROR');
    plane.upstream.answer = answerJson(LIST);
    expect((await h2.call(alice, PODS)).status).toBe(200);
  });

  it('reads no more of an upload than the API server reads', async () => {
    plane.upstream.answer = (req) => void req.pause();
    const upload = h2.open(alice, PODS, { method: 'POST', body: null });
    const ALL = 64 * 1024 * 1024;
    let sent = 0;
    const chunk = Buffer.alloc(65_536);
    const pump = (): void => {
      if (upload.stream.destroyed) return;
      sent += chunk.length;
      if (sent < ALL) upload.stream.write(chunk, pump);
    };
    pump();
    await standstill(() => sent);
    expect(sent).toBeLessThan(ALL / 2);
    upload.stream.close(8);
  });

  it('is still served over HTTP/1.1 where the client offers nothing else', async () => {
    expect((await call(plane, alice, PODS)).status).toBe(200);
  });
});
