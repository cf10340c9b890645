import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { END_HEADERS, END_STREAM, PREFACE, headersFrame } from '../support/http2-frames.ts';

const PODS = '/api/v1/namespaces/default/pods';
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** @param command 0x20 LOCAL, 0x21 PROXY; @param family 0x11 TCP over IPv4, 0x21 over IPv6 */
function header(command: number, family: number, addresses: Buffer, length = addresses.length): Buffer {
  return Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 0xff]), addresses]);
}

const PORTS = Buffer.from([0x30, 0x39, 0x19, 0x2b]);
const V4 = Buffer.concat([Buffer.from([203, 0, 113, 7, 10, 0, 0, 1]), PORTS]);
const V6 = Buffer.concat([Buffer.from('20010db8000000000000000000000007', 'hex'), Buffer.alloc(16), PORTS]);
const MAPPED = Buffer.concat([Buffer.from('00000000000000000000ffffcb007109', 'hex'), Buffer.alloc(16), PORTS]);
/** Not an IPv4-mapped address, although it looks like one: a client chooses the second half of its address. */
const ALIKE = Buffer.concat([Buffer.from('20010db8000000000000ffffcb007109', 'hex'), Buffer.alloc(16), PORTS]);
const LOOPBACK = Buffer.concat([Buffer.alloc(15), Buffer.from([1]), Buffer.alloc(16), PORTS]);
const EXTENSION = Buffer.concat([V4, Buffer.from([0x04, 0x00, 0x03, 1, 2, 3])]);

describe('behind a load balancer that speaks the PROXY protocol', () => {
  let plane: TestPlane;
  let alice: TestUser;
  const sockets: Socket[] = [];
  beforeAll(async () => {
    plane = await startPlane({ proxiesFrom: ['127.0.0.0/8'] });
    alice = await signIn(plane);
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    plane.audited.length = 0;
    plane.counted.rejections.length = 0;
  });
  afterAll(() => plane.close());

  async function tcp(): Promise<Socket> {
    const socket = connectTcp(plane.port, '127.0.0.1');
    socket.on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }

  async function tlsOver(socket: Socket, protocol = 'http/1.1'): Promise<TLSSocket> {
    const { cert, key } = alice.certificate;
    const ALPNProtocols = [protocol];
    const tls = connectTls({ socket, servername: HOST, ca: plane.ca, cert, key, ALPNProtocols });
    tls.on('error', () => undefined);
    await once(tls, 'secureConnect');
    return tls;
  }

  async function answerOn(tls: TLSSocket): Promise<string> {
    let text = '';
    tls.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    tls.write(`GET ${PODS} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`);
    await until(() => text.includes('\r\n\r\n'), 'an answer');
    return text;
  }

  it.each([
    ['IPv4', header(0x21, 0x11, V4), '203.0.113.7'],
    ['IPv6', header(0x21, 0x21, V6), '2001:db8::7'],
    ['IPv4 in IPv6 dress', header(0x21, 0x21, MAPPED), '203.0.113.9'],
    ['IPv6 that only looks like that', header(0x21, 0x21, ALIKE), '2001:db8::ffff:cb00:7109'],
    ['the loopback of IPv6', header(0x21, 0x21, LOOPBACK), '::1'],
    ['IPv4 and an extension', header(0x21, 0x11, EXTENSION), '203.0.113.7'],
    ['a health check of its own', header(0x20, 0x00, Buffer.alloc(0)), '127.0.0.1'],
  ])('the audit event has the address of the header: %s', async (_kind, bytes, address) => {
    const socket = await tcp();
    socket.write(bytes);
    expect(await answerOn(await tlsOver(socket))).toMatch(/^HTTP\/1\.1 200 /);
    await until(() => plane.audited.length === 1, 'the audit line');
    expect(plane.audited[0]?.sourceIPs).toEqual([address]);
    const forwarded = plane.upstream.requests.at(-1)?.rawHeaders ?? [];
    expect(forwarded[forwarded.indexOf('X-Forwarded-For') + 1]).toBe(address);
  });

  it('reads the header and nothing of what follows, however the bytes arrive', async () => {
    const socket = await tcp();
    for (const byte of header(0x21, 0x11, V4)) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    expect(await answerOn(await tlsOver(socket))).toMatch(/^HTTP\/1\.1 200 /);
    const together = await tcp();
    together.cork();
    together.write(header(0x21, 0x11, V4));
    const tls = tlsOver(together);
    together.uncork();
    expect(await answerOn(await tls)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('also in front of HTTP/2', async () => {
    const socket = await tcp();
    socket.write(header(0x21, 0x11, V4));
    const tls = await tlsOver(socket, 'h2');
    const head = { ':method': 'GET', ':path': PODS, ':scheme': 'https', ':authority': HOST };
    const authorized = { ...head, authorization: `Bearer ${alice.token}` };
    tls.write(Buffer.concat([PREFACE, headersFrame(1, authorized, END_HEADERS | END_STREAM)]));
    await until(() => plane.audited.length === 1, 'the audit line');
    expect(plane.audited[0]).toMatchObject({ sourceIPs: ['203.0.113.7'], responseStatus: { code: 200 } });
  });

  it.each([
    ['TLS without a header', Buffer.from('16030100f1010000ed0303000000000000000000', 'hex')],
    ['HTTP without TLS', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['almost the signature', header(0x21, 0x11, V4).fill(0x0b, 11, 12)],
    ['version 1', Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n')],
    ['another version in the binary form', header(0x11, 0x11, V4)],
    ['an unknown command', header(0x22, 0x11, V4)],
    ['UDP', header(0x21, 0x12, V4)],
    ['a Unix socket', header(0x21, 0x31, Buffer.alloc(216))],
    ['no address', header(0x21, 0x00, Buffer.alloc(0))],
    ['an address that is too short', header(0x21, 0x11, V4.subarray(0, 8))],
    ['an IPv6 family with IPv4 addresses', header(0x21, 0x21, V4)],
    ['a length without end', header(0x21, 0x11, V4, 0xffff)],
  ])('drops the connection without a response: %s', async (_kind, bytes) => {
    const socket = await tcp();
    let received = 0;
    socket.on('data', (piece: Buffer) => (received += piece.length));
    const closed = once(socket, 'close').catch(() => undefined);
    socket.write(bytes);
    await closed;
    expect(received).toBe(0);
    expect(plane.counted.rejections).toHaveLength(1);
    expect(plane.counted.rejections[0]).toMatch(/^proxy_header_(malformed|too_long)$/);
  });

  it.each([
    [14, 'malformed'],
    [20, 'closed'],
  ])('drops a connection that ends within the header, after %i bytes', async (bytes, reason) => {
    const socket = await tcp();
    socket.end(header(0x21, 0x11, V4).subarray(0, bytes));
    await until(() => plane.counted.rejections.length === 1, 'the drop');
    expect(plane.counted.rejections).toEqual([`proxy_header_${reason}`]);
  });

  it('accepts it from the configured addresses only', async () => {
    const strict = await startPlane({ proxiesFrom: ['192.0.2.0/24', '2001:db8::/32'] });
    const socket = connectTcp(strict.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(header(0x21, 0x11, V4));
    await once(socket, 'close').catch(() => undefined);
    expect(strict.counted.rejections).toEqual(['proxy_header_untrusted_peer']);
    await strict.close();
  });

  it('does not wait for it longer than its timeout', async () => {
    const impatient = await startPlane({ proxiesFrom: ['127.0.0.1/32'], timing: { proxyHeaderMs: 50 } });
    const socket = connectTcp(impatient.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(header(0x21, 0x11, V4).subarray(0, 20));
    await once(socket, 'close').catch(() => undefined);
    expect(impatient.counted.rejections).toEqual(['proxy_header_late']);
    await impatient.close();
  });

  it('keeps the time limit for the head of a request', async () => {
    const limited = await startPlane({ proxiesFrom: ['127.0.0.1/32'], timing: { headMs: 200 } });
    const socket = connectTcp(limited.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(header(0x21, 0x11, V4));
    const tls = connectTls({ socket, servername: HOST, ca: limited.ca });
    tls.on('error', () => undefined);
    let text = '';
    tls.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    await once(tls, 'secureConnect');
    tls.write('GET / HTTP/1.1\r\nHost: ');
    await once(tls, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    await limited.close();
  });
});

describe('where no PROXY protocol is spoken', () => {
  it('a header is no TLS, and the connection ends', async () => {
    const plane = await startPlane();
    const alice = await signIn(plane);
    const socket = connectTcp(plane.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(header(0x21, 0x11, V4));
    socket.resume();
    await once(socket, 'close').catch(() => undefined);
    const connection = await rawConnection(plane, alice.certificate);
    connection.socket.destroy();
    expect(plane.audited).toEqual([]);
    await plane.close();
  });
});
