/** The requests and responses that `portcullis proxy` forwards. */
import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { valuesOf } from '../../../src/core/http/header-names.ts';
import { ConnectProxy } from '../../support/connect-proxy.ts';
import { answerOf, callLocal, localConnection, openLocal } from '../../support/local-proxy.ts';
import { answerJson } from '../../support/upstream.ts';
import { openWatch, proxyStage } from './local-proxy-setup.ts';

const stage = proxyStage();
const PODS = '/api/v1/namespaces/default/pods';
const WATCH = `${PODS}?watch=true`;

const tokenOf = (headers: readonly string[]): string =>
  valuesOf(headers, 'authorization').join().replace('Bearer ', '');
const currentToken = (): string => stage.at.machine.session?.tokens['urn:portcullis:cluster:prod']?.token ?? '';

describe('a request', () => {
  test('is forwarded with the token and the certificate, and with no header of this hop', async () => {
    const { local } = await stage.onPort();
    const headers = {
      'impersonate-user': 'bob',
      'impersonate-group': 'ops',
      accept: 'application/json;as=Table',
      cookie: 'a=b',
      connection: 'keep-alive, x-mine',
      'x-mine': '1',
      'proxy-authorization': 'Basic eDp5',
      te: 'trailers',
      origin: `https://127.0.0.1:${local.port}`,
    };
    const { status } = await callLocal(local, `${PODS}?limit=5&labelSelector=a%3Db`, {
      method: 'POST',
      headers,
      body: '{"a":1}',
    });
    expect(status).toBe(200);
    const [request] = stage.instance.requests;
    expect(request).toMatchObject({ method: 'POST', url: `${PODS}?limit=5&labelSelector=a%3Db` });
    const { rawHeaders = [], connection } = request ?? {};
    expect(tokenOf(rawHeaders)).toBe(currentToken());
    expect(stage.presented()).toBe(stage.at.fakeServer.sessions[0]?.thumbprint);
    expect(valuesOf(rawHeaders, 'impersonate-user')).toEqual(['bob']);
    expect(valuesOf(rawHeaders, 'impersonate-group')).toEqual(['ops']);
    expect(valuesOf(rawHeaders, 'accept')).toEqual(['application/json;as=Table']);
    expect(valuesOf(rawHeaders, 'host')).toEqual([new URL(stage.instance.server).host]);
    for (const name of [
      'cookie',
      'x-mine',
      'proxy-authorization',
      'te',
      'origin',
      'x-forwarded-for',
      'forwarded',
      'via',
    ]) {
      expect(valuesOf(rawHeaders, name), name).toEqual([]);
    }
    expect(connection?.received()).toContain('{"a":1}');
    expect(connection?.received()).not.toContain(local.secret);
  });

  test('keeps its connection to the server for the next one', async () => {
    const { local } = await stage.onPort();
    for (const path of ['/a', '/b', '/c']) await callLocal(local, path);
    expect(stage.instance.requests).toHaveLength(3);
    expect(stage.instance.connections).toHaveLength(1);
  });

  test('that waits for 100 before it sends its body gets it', async () => {
    const { local } = await stage.onPort();
    const headers = { expect: '100-continue', 'content-length': '2' };
    const request = openLocal(local, PODS, { method: 'POST', headers });
    const answered = answerOf(request);
    await once(request, 'continue');
    request.end('{}');
    expect((await answered).statusCode).toBe(200);
    expect(stage.instance.requests[0]?.connection.received()).toMatch(/\r\n\r\n\{\}$/);
  });

  test('is forwarded through the HTTP proxy of the company, with the certificate', async () => {
    const company = new ConnectProxy();
    const port = await company.start();
    const at = new URL(stage.instance.server);
    const named = `api.cluster.test:${at.port}`;
    company.ways.set(named, Number(at.port));
    stage.at.fakeServer.clusterServer = `https://${named}`;
    await stage.at.login();
    stage.at.machine.env = { HTTPS_PROXY: `http://127.0.0.1:${port}` };
    const { local } = await stage.onPort();
    expect((await callLocal(local, PODS)).status).toBe(200);
    expect(company.asked.map(({ target }) => target)).toEqual([named]);
    expect(stage.presented()).toBe(stage.at.fakeServer.sessions.at(-1)?.thumbprint);
    await company.stop();
  });

  test('to a server that is unreachable gets a Status, and the run goes on', async () => {
    stage.at.fakeServer.clusterServer = 'https://127.0.0.1:1';
    await stage.at.login();
    const { local, child } = await stage.onPort();
    const { status, text } = await callLocal(local, PODS);
    expect(status).toBe(502);
    expect(JSON.parse(text)).toMatchObject({ kind: 'Status', message: expect.stringContaining('cannot be reached') });
    expect(child.exitCode).toBeNull();
  });
});

describe('a response', () => {
  test('is forwarded as it arrives: status, events, and repeated headers', async () => {
    const { local } = await stage.onPort();
    stage.instance.answer = (req, res) => {
      res.setHeader('warning', ['299 - "one"', '299 - "two"']);
      openWatch(req, res);
    };
    const answer = await answerOf(openLocal(local, WATCH).end());
    expect(valuesOf(answer.rawHeaders, 'warning')).toEqual(['299 - "one"', '299 - "two"']);
    const [event] = (await once(answer, 'data')) as [Buffer];
    expect(event.toString()).toBe('{"type":"ADDED"}\n');
  });

  test('is read no faster than the client reads it', async () => {
    const { local } = await stage.onPort();
    let sent = 0;
    const chunk = Buffer.alloc(65_536);
    stage.instance.answer = (_req, res) => {
      res.writeHead(200);
      const more = (): void => {
        while (sent < 256 * 1_048_576) {
          sent += chunk.length;
          if (!res.write(chunk)) return void res.once('drain', more);
        }
        res.end();
      };
      more();
    };
    const answer = await answerOf(openLocal(local, '/big').end());
    // Until no more bytes move: then the buffers in between are full.
    let before = -1;
    await vi.waitUntil(() => before === (before = sent), { interval: 500 });
    expect(sent).toBeLessThan(64 * 1_048_576);
    answer.destroy();
  });

  test('that ends half way is cut, and does not look like a complete one', async () => {
    const { local } = await stage.onPort();
    stage.instance.answer = (req, res) => {
      openWatch(req, res);
      setImmediate(() => res.socket?.destroy());
    };
    const answer = await answerOf(openLocal(local, WATCH).end());
    answer.resume();
    await expect(once(answer, 'end')).rejects.toThrow('aborted');
  });

  test('is cancelled at the server when no client waits for it any more', async () => {
    const { local } = await stage.onPort();
    stage.instance.answer = openWatch;
    const request = openLocal(local, WATCH).end();
    await answerOf(request);
    request.destroy();
    await stage.instance.connections[0]?.ended;
    // And a request that has no response yet.
    stage.instance.answer = () => undefined;
    const waiting = openLocal(local, PODS).end();
    await vi.waitUntil(() => stage.instance.requests.length === 2);
    waiting.destroy();
    await stage.instance.connections[1]?.ended;
    expect(stage.instance.connections).toHaveLength(2);
  });
});

describe('an upgrade', () => {
  const HEAD = (port: number, secret: string): string =>
    [
      'GET /exec HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${secret}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Protocol: v5.channel.k8s.io',
      '',
      'early',
    ].join('\r\n');

  test('is a tunnel after the 101, and no byte of the client is forwarded before', async () => {
    const { local } = await stage.onPort();
    const asked = Promise.withResolvers<() => void>();
    let early = '';
    stage.instance.answerUpgrade = (_req, socket, head) => {
      early = head.toString();
      asked.resolve(() => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst');
        socket.pipe(socket);
      });
    };
    const socket = localConnection(local);
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    socket.write(HEAD(local.port, local.secret));
    const accept = await asked.promise;
    expect(early).toBe('');
    expect(stage.instance.connections[0]?.received()).not.toContain('early');
    expect(stage.instance.connections[0]?.received()).not.toContain(local.secret);
    accept();
    await vi.waitUntil(() => heard.endsWith('firstearly'));
    expect(heard).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    socket.write('later');
    await vi.waitUntil(() => heard.endsWith('later'));
    socket.destroy();
    await stage.instance.connections[0]?.ended;
  });

  test('that the server ends is ended for the client after all its bytes, and does not keep the run from its end', async () => {
    const { local, child, ended } = await stage.onPort();
    stage.instance.answerUpgrade = (_req, instance) => {
      instance.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nlast');
    };
    const socket = localConnection(local);
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    socket.write(HEAD(local.port, local.secret));
    await once(socket, 'close');
    expect(heard).toMatch(/\r\n\r\nlast$/);
    // That was the normal end of a stream, so the server was not asked about the session.
    expect(stage.at.fakeServer.counts.refreshes).toBe(0);
    const began = Date.now();
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
    expect(Date.now() - began).toBeLessThan(5000);
  });

  test('forwards each WebSocket frame in a separate TLS record, as the Python client requires', async () => {
    const { local } = await stage.onPort();
    const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    const frames = ['one', 'two', 'three'].map((text) =>
      Buffer.from(`\u0002${String.fromCharCode(text.length)}${text}`),
    );
    stage.instance.answerUpgrade = (_req, instance) => {
      instance.end(Buffer.concat([Buffer.from(head), ...frames]));
    };
    const socket = localConnection(local);
    // Node returns the bytes of one record at a time.
    const records: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void records.push(chunk));
    socket.write(HEAD(local.port, local.secret));
    await once(socket, 'close');
    expect(records.slice(1)).toEqual(frames);
  });

  test('that the server rejects gets its response, and is repeated with another token when the token was rejected', async () => {
    const { local } = await stage.onPort();
    const tokens: string[] = [];
    stage.instance.answerUpgrade = ({ rawHeaders }, socket) => {
      tokens.push(tokenOf(rawHeaders));
      const status = tokens.length === 1 ? '401 Unauthorized' : '403 Forbidden';
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno`);
    };
    const socket = localConnection(local);
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    socket.write(HEAD(local.port, local.secret).replace('early', ''));
    await once(socket, 'close');
    expect(heard).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[^]*\r\n\r\nno$/);
    expect(new Set(tokens).size).toBe(2);
  });
});

describe('a token', () => {
  test('that is rejected is renewed once, and the request is repeated', async () => {
    const { local } = await stage.onPort();
    const before = currentToken();
    stage.instance.answer = (req, res) => answerJson({}, {}, tokenOf(req.rawHeaders) === before ? 401 : 200)(req, res);
    expect((await callLocal(local, PODS)).status).toBe(200);
    expect(stage.instance.requests.map(({ rawHeaders }) => tokenOf(rawHeaders))).toEqual([before, currentToken()]);
    expect(stage.at.fakeServer.counts.refreshes).toBe(1);
  });

  test('that is rejected for a request with a body is renewed, and the client decides whether to repeat it', async () => {
    const { local } = await stage.onPort();
    const before = currentToken();
    stage.instance.answer = (req, res) => {
      req.resume().on('end', () => answerJson({}, {}, tokenOf(req.rawHeaders) === before ? 401 : 200)(req, res));
    };
    expect((await callLocal(local, PODS, { method: 'POST', body: '{}' })).status).toBe(401);
    expect((await callLocal(local, PODS, { method: 'POST', body: '{}' })).status).toBe(200);
    expect(stage.instance.requests).toHaveLength(2);
  });

  test('is not renewed for each 401 of something behind the server', async () => {
    const { local } = await stage.onPort();
    stage.instance.answer = answerJson({}, {}, 401);
    const answers = await Promise.all(Array.from({ length: 20 }, () => callLocal(local, PODS)));
    for (const { status } of answers) expect(status).toBe(401);
    expect((await callLocal(local, PODS)).status).toBe(401);
    expect(stage.at.fakeServer.counts.refreshes).toBe(1);
  });

  test('is renewed before it ends, and not while it is unused', async () => {
    stage.at.fakeServer.expiresIn = 5;
    await stage.at.login();
    const { local } = await stage.onPort();
    const began = stage.at.fakeServer.counts.refreshes;
    await callLocal(local, PODS);
    await vi.waitUntil(() => stage.at.fakeServer.counts.refreshes === began + 1);
    // The second token has not been used, so it expires.
    const unused = currentToken();
    await vi.waitUntil(
      () => (stage.at.machine.session?.tokens['urn:portcullis:cluster:prod']?.expiresAt ?? 0) < Date.now(),
    );
    expect(stage.at.fakeServer.counts.refreshes).toBe(began + 1);
    expect((await callLocal(local, PODS)).status).toBe(200);
    expect(tokenOf(stage.instance.requests.at(-1)?.rawHeaders ?? [])).not.toBe(unused);
  });

  test('is used to its end while the server is unavailable', async () => {
    const { local } = await stage.onPort();
    stage.at.fakeServer.refreshAnswer = { status: 503, body: { error: 'temporarily_unavailable' } };
    const before = currentToken();
    stage.instance.answer = (req, res) => answerJson({}, {}, tokenOf(req.rawHeaders) === before ? 401 : 200)(req, res);
    expect((await callLocal(local, PODS)).status).toBe(401);
    stage.instance.answer = answerJson({});
    expect((await callLocal(local, PODS)).status).toBe(200);
  });
});
