/** Servers with wrong responses, by accident or on purpose: each is rejected with a message that names the next step. */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sendRequest, type HttpRequest } from '../../../src/cli/http/http-client.ts';
import { DeviceServer, type DeviceServerOptions } from '../../support/device-server.ts';

const NETWORK = { noProxy: '', certDirs: [] };
const HOUR = 3_600_000;
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n';

let fakeServer = new DeviceServer();
const servers: Server[] = [];
const sockets = new Set<Socket>();

beforeEach(() => {
  fakeServer = new DeviceServer();
});

afterEach(async () => {
  await fakeServer.stop();
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

/** Starts a server on loopback without TLS. @returns its origin */
async function serve(server: Server): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const get = (origin: string, limits?: { timeoutMs: number; responseBytes: number }) =>
  sendRequest({ method: 'GET', url: `${origin}/x` }, NETWORK, limits);

/** Starts a raw server that sends these bytes after it has received any. */
const serverThatSends = (bytes: string, end = true): Promise<string> =>
  serve(
    createServer((socket) => {
      socket.once('data', () => (end ? socket.end(bytes) : socket.write(bytes)));
    }),
  );

describe('a response', () => {
  test('of 100 MB is read only up to a few megabytes', async () => {
    const chunk = Buffer.alloc(256 * 1024, 0x20);
    let sent = 0;
    const closed = Promise.withResolvers<void>();
    const origin = await serve(
      createHttpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).on('close', () => closed.resolve());
        const pump = (): void => {
          while (sent < 100 * 1024 * 1024) {
            sent += chunk.length;
            if (!response.write(chunk)) return void response.once('drain', pump);
          }
          response.end();
        };
        pump();
      }),
    );
    await expect(get(origin)).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'answer_too_long' });
    await closed.promise;
    expect(sent).toBeLessThan(30 * 1024 * 1024);
  });

  const drip = (head: string, drop: string): Promise<string> =>
    serve(
      createServer((socket) => {
        socket.write(head);
        const timer = setInterval(() => socket.write(drop), 20);
        socket.on('close', () => clearInterval(timer));
      }),
    );

  test.each([
    { name: 'whose header never ends', head: 'HTTP/1.1 200 OK\r\nx-slow:', drop: 'x' },
    { name: 'whose body never ends', head: 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{', drop: ' ' },
    { name: 'that is only announced, again and again', head: '', drop: 'HTTP/1.1 103 Early Hints\r\n\r\n' },
    { name: 'that never begins', head: '', drop: '' },
  ])('$name ends after a timeout, however steadily bytes arrive', async ({ head, drop }) => {
    const asked = get(await drip(head, drop), { timeoutMs: 400, responseBytes: 1_000_000 });
    await expect(asked).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'server_unreachable' });
    await expect(asked).rejects.toThrow(/no complete response within 0\.4 seconds.*\n {2}Next: check the network/);
  });

  test.each([301, 302, 303, 307, 308])('with status %i is not followed as a redirect', async (status) => {
    const hits: string[] = [];
    const origin = await serve(
      createHttpServer((request, response) => {
        hits.push(request.url ?? '');
        // The body alone would be a valid response.
        response.writeHead(status, { location: '/elsewhere', 'content-type': 'application/json' }).end('{}');
      }),
    );
    const asked = sendRequest({ method: 'POST', url: `${origin}/x`, body: { form: { refresh_token: 'r' } } }, NETWORK);
    await expect(asked).rejects.toMatchObject({ reason: 'redirected' });
    expect(hits).toEqual(['/x']);
  });

  const page = '<html><script>x</script></html>';
  const http = (status: string, type: string, body: string): string =>
    `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
  test.each([
    { name: 'a load balancer’s page', bytes: http('502 Bad Gateway', 'text/html', page), reason: 'server_unavailable' },
    { name: 'a page of the network', bytes: http('200 OK', 'text/html', page), reason: 'not_portcullis' },
    {
      name: 'JSON that is called text',
      bytes: http('200 OK', 'text/plain', '{"issuer":"x"}'),
      reason: 'not_portcullis',
    },
    {
      name: 'JSON that is called a script',
      bytes: http('200 OK', 'application/jsonp', '{}'),
      reason: 'not_portcullis',
    },
    { name: 'broken JSON', bytes: http('200 OK', 'application/json', '{"a":'), reason: 'not_portcullis' },
    { name: 'a list', bytes: http('200 OK', 'application/json', '[1]'), reason: 'not_portcullis' },
    { name: 'a firewall’s page', bytes: http('403 Forbidden', 'text/html', page), reason: 'not_portcullis' },
    { name: 'another protocol', bytes: 'SSH-2.0-OpenSSH_9.9\r\n', reason: 'server_unreachable' },
    { name: 'a switch to another protocol', bytes: SWITCH, reason: 'server_unreachable' },
    { name: 'nothing', bytes: '', reason: 'server_unreachable' },
    {
      name: 'half a body',
      bytes: http('200 OK', 'application/json', '{}').replace(': 2', ': 9'),
      reason: 'server_unreachable',
    },
    { name: 'endless headers', bytes: `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(1e6)}`, reason: 'server_unreachable' },
  ])('that is $name is rejected ($reason)', async ({ bytes, reason }) => {
    const asked = get(await serverThatSends(bytes));
    await expect(asked).rejects.toMatchObject({ code: 'upstream_unavailable', reason });
    await expect(asked).rejects.toThrow(/^[^<>]+\n {2}Next: [^<>]+$/);
  });

  test.each(['application/json', 'application/problem+json; charset=utf-8', 'Application/JSON;charset=utf-8'])(
    'of type %s counts',
    async (type) => {
      await expect(get(await serverThatSends(http('200 OK', type, '{"a":1}')))).resolves.toMatchObject({
        body: { a: 1 },
      });
    },
  );

  test('without a body is accepted as well', async () => {
    await expect(get(await serverThatSends('HTTP/1.1 204 No Content\r\n\r\n'))).resolves.toMatchObject({
      status: 204,
      body: {},
    });
  });
});

describe('a server that cannot be reached or trusted', () => {
  const question = async (place: DeviceServerOptions, change: Partial<HttpRequest> = {}): Promise<HttpRequest> => {
    await fakeServer.start(place);
    return { method: 'GET', url: `${fakeServer.origin}/x`, ca: fakeServer.certificates.ca, ...change };
  };

  test.each<{ name: string; sendRequest: () => Promise<HttpRequest> | HttpRequest; reason: string; message: RegExp }>([
    {
      name: 'does not listen',
      sendRequest: () => ({ method: 'GET', url: 'https://127.0.0.1:1/x' }),
      reason: 'server_unreachable',
      message: /^127\.0\.0\.1:1 cannot be reached: no server listens there \(ECONNREFUSED\)\.\n {2}Next: .*VPN/,
    },
    {
      name: 'has no name',
      sendRequest: () => ({ method: 'GET', url: 'https://portcullis.invalid/x' }),
      reason: 'server_unreachable',
      message: /name.*\((?:ENOTFOUND|EAI_AGAIN)\)\.\n {2}Next: /,
    },
    {
      name: 'is signed by no CA',
      sendRequest: async () => {
        const { ca: _, ...open } = await question({});
        return open;
      },
      reason: 'server_untrusted',
      message: /is not trusted here .*\n {2}Next: .*--ca-file.*SSL_CERT_FILE/,
    },
    {
      name: 'is signed by another CA than the one at sign-in',
      sendRequest: async () => {
        const other = new DeviceServer();
        await other.start();
        await other.stop();
        const binding = { certificate: other.certificates.cert, privateKey: other.certificates.key };
        return question({}, { ca: other.certificates.ca, binding });
      },
      reason: 'server_untrusted',
      message: /is not trusted here .*\n {2}Next: .*portcullis login/,
    },
    {
      name: 'has a certificate for another name',
      sendRequest: () => question({ names: ['other.example.com'] }),
      reason: 'server_untrusted',
      message: /it is for another name.*\n {2}Next: check the address/,
    },
    {
      name: 'has a certificate that is not valid yet: a clock is wrong',
      sendRequest: () => question({ certifiedAt: Date.now() + 10 * HOUR }),
      reason: 'server_untrusted',
      message: /CERT_NOT_YET_VALID.*this machine's clock says \d{4}-\d\d-\d\dT\d\d:\d\dZ.*\n {2}Next: .*clock/,
    },
    {
      name: 'has a certificate that is over',
      sendRequest: () => question({ certifiedAt: Date.now() - 30 * 24 * HOUR }),
      reason: 'server_untrusted',
      message: /CERT_HAS_EXPIRED.*this machine's clock says/,
    },
    {
      name: 'speaks no TLS',
      sendRequest: async () => {
        const origin = await serverThatSends('HTTP/1.1 400 Bad Request\r\n\r\n');
        return { method: 'GET', url: `${origin.replace('http:', 'https:')}/x` };
      },
      reason: 'server_unreachable',
      message: /does not speak TLS correctly/,
    },
  ])('because it $name is reported with the reason', async ({ sendRequest: arrange, reason, message }) => {
    const asked = sendRequest(await arrange(), NETWORK);
    await expect(asked).rejects.toMatchObject({ code: 'upstream_unavailable', reason });
    await expect(asked).rejects.toThrow(message);
  });

  test.each([
    'http://portcullis.example.com/x',
    'ftp://portcullis.example.com/x',
    'https://a:b@portcullis.example.com/x',
    'file:///etc/passwd',
  ])('at %s is sent no request', async (url) => {
    await expect(sendRequest({ method: 'GET', url }, NETWORK)).rejects.toMatchObject({ code: 'bad_request' });
  });
});
