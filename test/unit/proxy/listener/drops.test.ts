import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { acceptOn } from '../../../../src/proxy/listener/accept.ts';
import { ConnectionLimit } from '../../../../src/proxy/listener/connection-limit.ts';
import { ConnectionTable } from '../../../../src/proxy/listener/connection.ts';
import { dropReporter, handshakeDrop } from '../../../../src/proxy/listener/drops.ts';
import { startPlane } from '../../../support/data-plane.ts';
import { makeCertificate } from '../../../support/upstream.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** Resolves when the connection has closed, with an error or not. */
function closing(socket: Socket): Promise<void> {
  ends.push(() => socket.destroy());
  socket.on('error', () => undefined).resume();
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

describe('a connection that ends without a response', () => {
  it('is counted each time, and logged once a minute for each reason', () => {
    const counted: string[] = [];
    const logged: unknown[] = [];
    let nowMs = 0;
    const onDropped = dropReporter({
      metrics: { rejection: (reason: string) => void counted.push(reason) } as never,
      logger: { warn: (fields: object, message: string) => void logged.push({ ...fields, message }) } as never,
      clock: { nowMs: () => nowMs },
    });
    for (nowMs of [0, 59_999, 60_000]) {
      onDropped('certificate_too_large', '192.0.2.1');
      onDropped('proxy_header_late', '192.0.2.2');
    }
    expect(counted.filter((reason) => reason === 'certificate_too_large')).toHaveLength(3);
    expect(counted.filter((reason) => reason === 'proxy_header_late')).toHaveLength(3);
    expect(logged).toHaveLength(4);
    expect(logged[0]).toEqual({
      reason: 'certificate_too_large',
      peer: '192.0.2.1',
      message: 'connection closed: its client certificate is larger than 8 KiB',
    });
    expect(logged[1]).toMatchObject({ reason: 'proxy_header_late', message: expect.stringMatching(/PROXY header/) });
  });

  it.each([
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'handshake_late'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'handshake_failed'],
    ['ECONNRESET', undefined],
    ['EPIPE', undefined],
  ])('after the error %s of its handshake has the reason %s', (code, reason) => {
    expect(handshakeDrop(Object.assign(new Error('x'), { code }))).toBe(reason);
  });

  it('has one where its handshake failed, and none where its client left', async () => {
    const plane = await startPlane();
    ends.push(() => plane.close());
    const left = connect(plane.port, '127.0.0.1');
    left.end(Buffer.from([0x16, 3, 1, 2, 0, 1]));
    await closing(left);
    await closing(connectTls({ port: plane.port, host: '127.0.0.1', ca: plane.ca, maxVersion: 'TLSv1.2' }));
    await expect.poll(() => plane.counted.rejections).toEqual(['handshake_failed']);
  });

  async function listening(handshakeMs: number) {
    const server = createServer(await makeCertificate('x.test'));
    const limit = new ConnectionLimit({ most: 100, waitMs: 60_000, memoryInUse: () => 0, onClosed: () => undefined });
    const connections = new ConnectionTable(limit, { isBehind: () => false, isHeldBack: () => false });
    const dropped: unknown[] = [];
    acceptOn(server, {
      connections,
      serveHttp2: () => expect.unreachable(),
      proxiesFrom: undefined,
      proxyHeaderMs: 100,
      handshakeMs,
      onDropped: (...drop) => void dropped.push(drop),
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    return { port, connections, dropped };
  }

  it('has one where its client is silent', async () => {
    const { port, dropped } = await listening(100);
    await closing(connect(port, '127.0.0.1'));
    expect(dropped).toEqual([['connection_silent', '127.0.0.1']]);
  });

  it.each([
    ['begins a ClientHello and does not go on', [0x16, 3, 1, 0, 10, 1, 0, 1, 44, 3, 3, 0, 0, 0, 0], 'handshake_late'],
    ['sends something else', [0x15, 3, 1, 0, 2, 1, 90], 'handshake_failed'],
    ['announces more than any other', [0x16, 3, 1, 0, 4, 1, 1, 0, 0], 'handshake_too_large'],
  ])('has one where its client %s, and no TLS is begun', async (_what, bytes, reason) => {
    const { port, connections, dropped } = await listening(100);
    connections.handshakeBegun = () => expect.unreachable();
    const client = connect(port, '127.0.0.1');
    client.write(Buffer.from(bytes));
    await closing(client);
    expect(dropped).toEqual([[reason, '127.0.0.1']]);
  });

  it('has one where its ClientHello comes in more pieces than any client’s', async () => {
    const { port, dropped } = await listening(60_000);
    const client = connect(port, '127.0.0.1').setNoDelay(true);
    const closed = closing(client);
    // As long as it may be, so that it is never whole.
    const head = [0x16, 3, 1, 62, 0, 1, 0, 61, 0];
    for (let at = 0; !client.destroyed && at < 1_000; at += 1) {
      client.write(Buffer.from([head[at] ?? 7]));
      await pause(5);
    }
    await closed;
    expect(dropped).toEqual([['handshake_too_large', '127.0.0.1']]);
  });

  it('has one where it cannot be reset', async () => {
    const { port, connections, dropped } = await listening(60_000);
    // As a connection that the table was never told of.
    connections.remember = () => undefined;
    await closing(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }));
    expect(dropped).toEqual([['connection_unknown', '127.0.0.1']]);
  });
});
