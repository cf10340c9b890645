/** The traffic between a console and a browser: what is forwarded, what is rejected, and what ends it. Real listeners and a real server. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { NAVIGATION, page, type TestBrowser, type TestConsole } from '../support/console.ts';
import {
  HEADLAMP,
  MAIN,
  openConsoleStage,
  OTHER,
  OWN_FETCH,
  signInAt,
  type ConsoleStage,
} from '../support/console-stage.ts';
import { until } from '../support/data-plane.ts';
import type { Stage } from '../unit/web/harness.ts';

let stage: ConsoleStage;
let web: Stage;
let headlamp: TestConsole;
let other: TestConsole;
let alice: TestBrowser;

beforeEach(async () => {
  stage = await openConsoleStage();
  ({ web, headlamp, other } = stage);
  alice = stage.newBrowser();
});
afterEach(() => stage.close());

describe('requests that do not come from the console’s own page', () => {
  beforeEach(async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    headlamp.seen.length = 0;
  });

  it.each([
    ['a POST without Origin', 'POST', { ...OWN_FETCH }],
    ['a POST from a sibling', 'POST', { ...OWN_FETCH, origin: OTHER, 'sec-fetch-site': 'same-site' }],
    ['a form from anywhere', 'POST', { ...NAVIGATION, origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['a DELETE from the main host', 'DELETE', { ...OWN_FETCH, origin: MAIN }],
    ['a script from a sibling', 'GET', { ...OWN_FETCH, 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }],
    ['a frame in a sibling', 'GET', { ...NAVIGATION, 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'same-site' }],
    ['a preflight from a sibling', 'OPTIONS', { ...OWN_FETCH, origin: OTHER, 'access-control-request-method': 'PUT' }],
  ])('are rejected: %s', async (_what, method, headers) => {
    expect((await alice.send(`${HEADLAMP}/api`, headers, { method })).status).toBe(403);
    expect(headlamp.seen).toEqual([]);
  });

  it.each([
    ['h2c', { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings', 'http2-settings': '' }],
    ['SPDY', { upgrade: 'SPDY/3.1', connection: 'Upgrade' }],
    ['a WebSocket with a body', { upgrade: 'websocket', connection: 'Upgrade', 'content-length': '5' }],
  ])('are rejected as upgrades to %s', async (_what, headers) => {
    const { status } = await alice.send(`${HEADLAMP}/x`, { ...OWN_FETCH, origin: HEADLAMP, ...headers });
    expect(status).toBe(400);
    expect(headlamp.seen).toEqual([]);
  });

  it('are forwarded when a user followed a link', async () => {
    expect((await alice.send(`${HEADLAMP}/`, { 'sec-fetch-site': 'cross-site' })).status).toBe(200);
  });

  it.each([OTHER, MAIN, 'null', ''])('are rejected as WebSockets from %j', async (origin) => {
    expect(await stage.openSocket(alice, origin)).toBe(403);
    expect(headlamp.seen).toEqual([]);
  });
});

describe('the response that the browser receives', () => {
  beforeEach(async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
  });

  it('has no cookie for other hosts or with our names, and only our security headers', async () => {
    headlamp.answer = (_req, res) => {
      res.setHeader('set-cookie', [
        'theme=dark; Domain=test; Path=/; HttpOnly',
        '__Host-portcullis=evil; Path=/; Secure',
        '__Host-portcullis-console=evil; Path=/; Secure',
        'portcullis_interaction=evil; domain=test',
        '=__Host-portcullis-console=evil',
      ]);
      res.setHeader('clear-site-data', '"cookies"');
      res.setHeader('strict-transport-security', 'max-age=1; includeSubDomains');
      res.setHeader('access-control-allow-origin', OTHER);
      res.setHeader('access-control-allow-credentials', 'true');
      res.setHeader('content-security-policy', "script-src 'self'");
      res.setHeader('x-frame-options', 'ALLOWALL');
      res.setHeader('refresh', '0; url=https://evil.test');
      res.setHeader('nel', '{"report_to":"x","max_age":31536000,"include_subdomains":true}');
      res.setHeader('report-to', '{"group":"x","max_age":1,"endpoints":[{"url":"https://evil.test"}]}');
      res.end('ok');
    };
    const { headers } = await alice.send(`${HEADLAMP}/x`);
    expect(headers['set-cookie']).toEqual(['theme=dark; Path=/; HttpOnly']);
    expect(headers['clear-site-data']).toBeUndefined();
    expect(headers['refresh']).toBeUndefined();
    expect(headers).not.toHaveProperty('nel');
    expect(headers).not.toHaveProperty('report-to');
    expect(headers['access-control-allow-origin']).toBeUndefined();
    expect(headers['strict-transport-security']).toBe('max-age=31536000');
    expect(headers['x-frame-options']).toBe('SAMEORIGIN');
    expect(headers['content-security-policy']).toBe("script-src 'self', frame-ancestors 'self'");
    expect(headers['cache-control']).toBe('no-store');
  });

  it.each([
    ['https://evil.test/', undefined],
    ['//evil.test/', undefined],
    [String.raw`/\evil.test/`, undefined],
    ['/\t/evil.test/', undefined],
    ['javascript:alert(1)', undefined],
    [`${MAIN}/admin`, undefined],
    ['https://user:secret@headlamp.test/', undefined],
    ['/login', '/login'],
    ['next?x=1', 'next?x=1'],
    [`${HEADLAMP}/a`, `${HEADLAMP}/a`],
    ['SERVER//evil.test/', `${HEADLAMP}//evil.test/`],
  ])('is never a redirect to another host: %s', async (location, expected) => {
    headlamp.answer = (_req, res) =>
      void res.writeHead(302, { location: location.replace('SERVER', headlamp.server) }).end();
    const response = await alice.send(`${HEADLAMP}/x`);
    expect(response.status).toBe(expected === undefined ? 502 : 302);
    expect(response.headers.location).toBe(expected);
  });

  it('is our error page when the console is unavailable', async () => {
    await headlamp.close();
    const response = await alice.send(`${HEADLAMP}/<script>`);
    expect(response.status).toBe(502);
    expect(response.text).toContain('The console headlamp cannot be reached.');
    expect(response.text).not.toContain('script');
  });

  it.each(['000', '099'])(
    'is our error page when the console responds with %s, which is not a valid status',
    async (status) => {
      headlamp.answer = (_req, res) => void res.socket?.end(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`);
      expect((await alice.send(`${HEADLAMP}/x`)).status).toBe(502);
      headlamp.answer = page('still there');
      expect((await alice.send(`${HEADLAMP}/x`)).text).toBe('still there');
    },
  );

  it('is our rejection when the console responds to a WebSocket with an invalid status', async () => {
    headlamp.upgradeRejection = 'HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n';
    expect(await stage.openSocket(alice, HEADLAMP)).toBe(502);
  });

  it('is cut when the console cuts its response, and never looks complete', async () => {
    headlamp.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/plain' });
      res.write('half', () => res.destroy());
    };
    await expect(alice.send(`${HEADLAMP}/x`)).rejects.toThrow(/aborted|ECONNRESET/);
  });
});

describe('an account that may no longer use the cluster', () => {
  it('is rejected at its next request, whatever token was issued before', async () => {
    const root = stage.newBrowser();
    expect((await signInAt(root, 'root', `${OTHER}/`)).status).toBe(200);
    const session = await stage.soleSession();
    const identity = { username: 'corp:root@example.com', uid: 'corp/sub-root', groups: [], extra: {} };
    await web.store.sessions.update(session, { identity, secret: {} });
    other.seen.length = 0;
    expect((await root.send(`${OTHER}/`)).status).toBe(403);
    expect(other.seen).toEqual([]);
  });
});

describe('a session that ends', () => {
  beforeEach(async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
  });

  const revoke = async (): Promise<number> =>
    (await web.guard.revoke({ target: { kind: 'session', session: await stage.soleSession() } })).streamsClosed;

  it('cuts an open event stream on both sides, over TLS as well', async () => {
    const root = stage.newBrowser();
    await signInAt(root, 'root', `${OTHER}/`);
    other.answer = (_req, res) => void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
    const stream = root.open(`${OTHER}/events`, OWN_FETCH);
    stream.end();
    const [response] = (await once(stream, 'response')) as [IncomingMessage];
    const ended = once(response, 'error');
    response.resume();
    const { streamsClosed } = await web.guard.revoke({ target: { kind: 'account', account: 'corp/sub-root' } });
    expect(streamsClosed).toBe(1);
    expect(await ended).toMatchObject([{ code: 'ECONNRESET' }]);
    await until(() => other.connections.size === 0, 'the end of the connection to the console');
  });

  it('cuts an open event stream on both sides, and the next request starts a new sign-in', async () => {
    headlamp.answer = (_req, res) =>
      void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
    const stream = alice.open(`${HEADLAMP}/events`, OWN_FETCH);
    stream.end();
    const [response] = (await once(stream, 'response')) as [IncomingMessage];
    // The end is an RST, so that the browser reads no queued bytes; a normal end would be no error of the socket.
    const reset = once(response.socket, 'error');
    const ended = new Promise<string>((resolve) => {
      response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      response.on('end', () => resolve('whole'));
    });
    await once(response, 'data');
    response.resume();
    expect(await revoke()).toBe(1);
    expect(await ended).toBe('ECONNRESET');
    expect(await reset).toMatchObject([{ code: 'ECONNRESET', syscall: 'read' }]);
    await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
    expect((await alice.send(`${HEADLAMP}/`)).status).toBe(303);
  });

  it('cuts an open WebSocket on both sides', async () => {
    const socket = (await stage.openSocket(alice, HEADLAMP)) as WebSocket;
    socket.send('hello');
    const [echo] = (await once(socket, 'message')) as [Buffer];
    expect(echo.toString()).toBe('hello');
    expect(socket.protocol).toBe('v5.channel.k8s.io');
    const closed = once(socket, 'close');
    expect(await revoke()).toBe(1);
    expect((await closed)[0]).toBe(1006);
    await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
    expect(await stage.openSocket(alice, HEADLAMP)).toBe(401);
  });

  it('leaves nothing registered once a request is over', async () => {
    headlamp.answer = page('done');
    await alice.send(`${HEADLAMP}/x`);
    const socket = (await stage.openSocket(alice, HEADLAMP)) as WebSocket;
    expect(web.guard.inFlight).toBe(1);
    socket.close();
    await until(() => web.guard.inFlight === 0, 'nothing in flight');
  });

  describe('leaves nothing registered after requests that were pipelined before an upgrade', () => {
    const request = (path: string, more = ''): string =>
      `GET ${path} HTTP/1.1\r\nHost: headlamp.test\r\nSec-Fetch-Site: same-origin\r\n${more}\r\n`;
    const UPGRADE = 'Connection: Upgrade\r\nUpgrade: foo\r\n';

    /** `ended` resolves with the code of the error that ended the connection, or with `end`. */
    async function send(bytes: string): Promise<{ readonly socket: TLSSocket; readonly ended: Promise<string> }> {
      const socket = connect({ host: '127.0.0.1', port: stage.port, ca: stage.ca, servername: 'portcullis.test' });
      const { promise, resolve } = Promise.withResolvers<string>();
      let outcome = 'end';
      socket.resume();
      socket.on('error', (error: NodeJS.ErrnoException) => (outcome = error.code ?? 'error'));
      socket.once('close', () => resolve(outcome));
      await once(socket, 'secureConnect');
      socket.write(bytes);
      return { socket, ended: promise };
    }

    it.each([
      ['', ''],
      [', whose upgrade announces a body', 'Content-Length: 5\r\n'],
    ])('by an unauthenticated client, at the console and at our own pages%s', async (_what, more) => {
      const ours = request('/').replace('headlamp.test', 'portcullis.test');
      const { ended } = await send(request('/a').repeat(20) + ours.repeat(20) + request('/x', UPGRADE + more));
      expect(await ended).toBe('ECONNRESET');
      await until(() => web.guard.inFlight === 0, 'nothing in flight', 20_000);
    });

    it('by a user, and ends the responses that the console has begun', async () => {
      headlamp.answer = (_req, res) => void res.writeHead(200).write('data: 1\n\n');
      const cookie = `Cookie: ${alice.cookieHeader('headlamp.test')}\r\n`;
      headlamp.seen.length = 0;
      const { socket, ended } = await send(request('/a', cookie).repeat(3));
      await until(() => headlamp.seen.length === 3, 'three event streams', 20_000);
      expect(web.guard.inFlight).toBe(3);
      socket.write(request('/x', UPGRADE));
      expect(await ended).toBe('ECONNRESET');
      await until(() => web.guard.inFlight === 0 && headlamp.connections.size === 0, 'their end', 20_000);
    });

    it('by a client that keeps its side of the rejected upgrade open', async () => {
      const { socket, ended } = await send(request('/x', UPGRADE));
      socket.write('x');
      expect(await ended).toBe('end');
      await until(() => web.guard.inFlight === 0, 'nothing in flight', 20_000);
    });
  });

  it('accepts no cookie from the response to an upgrade', async () => {
    headlamp.upgradeHeaders = ['Set-Cookie: __Host-portcullis-console=evil; Path=/; Secure', 'X-Evil: 1'];
    const request = alice.open(`${HEADLAMP}/x`, {
      ...OWN_FETCH,
      origin: HEADLAMP,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    });
    request.end();
    const [response, socket] = (await once(request, 'upgrade')) as [IncomingMessage, Socket];
    expect(Object.keys(response.headers).toSorted()).toEqual(['connection', 'sec-websocket-accept', 'upgrade']);
    socket.destroy();
  });

  it('forwards nothing while the server is fenced, or while the audit log cannot be written', async () => {
    web.audit.blocked = true;
    expect((await alice.send(`${HEADLAMP}/`)).status).toBe(503);
    web.audit.blocked = false;
    const socket = (await stage.openSocket(alice, HEADLAMP)) as WebSocket;
    const closed = once(socket, 'close');
    headlamp.seen.length = 0;
    web.lapse();
    expect((await alice.send(`${HEADLAMP}/`)).status).toBe(503);
    expect(headlamp.seen).toEqual([]);
    socket.send('one more');
    expect((await closed)[0]).toBe(1006);
    await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
    expect(headlamp.messages).toEqual([]);
  });
});
