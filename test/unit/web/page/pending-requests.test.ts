import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { MOST_PENDING } from '../../../../src/core/http/pending-requests.ts';
import { beginContext } from '../../../../src/http/request-context.ts';
import { limitPending } from '../../../../src/web/page/pending-requests.ts';

interface Pages {
  readonly audited: AuditEvent[];
  /** Forms that a page has seen. */
  readonly forms: unknown[];
  /** Sends bytes on a connection of their own. */
  readonly send: (text: string) => Promise<{ readonly socket: Socket; readonly received: () => string }>;
  readonly server: Server;
}

async function pages(options: Parameters<typeof limitPending>[1] = {}): Promise<Pages> {
  const audited: AuditEvent[] = [];
  const forms: unknown[] = [];
  const deps = {
    audit: { record: (event: AuditEvent) => void audited.push(event) },
    clock: { nowMs: () => 0 },
    config: { contact: 'it@example.com', limits: { connections: 10_000 } },
  } as unknown as Parameters<typeof limitPending>[0];
  const app = express();
  app.use((req, res, next) => {
    beginContext(req, res);
    next();
  });
  // Not limited, and has no response.
  app.use('/waits', () => undefined);
  app.use(limitPending(deps, options), express.urlencoded({ extended: false }));
  app.use((req, res) => {
    forms.push(req.body);
    res.end('done');
  });
  const server = createServer(app);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const send: Pages['send'] = async (text) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    let received = '';
    socket.on('error', () => undefined).on('data', (chunk: Buffer) => (received += chunk.toString()));
    await once(socket, 'connect');
    socket.write(text);
    return { socket, received: () => received };
  };
  return { audited, forms, send, server };
}

const form = (path: string, length: number): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${length}\r\n\r\n`;
const reasons = ({ audited }: Pages): unknown[] =>
  audited.map(({ annotations }) => annotations['portcullis.dev/reason']);

describe('a form that is never finished', () => {
  it('reaches no page, gives way to one that is, and is not executed when its rest comes then', async () => {
    const site = await pages({ most: { ...MOST_PENDING, address: 1 } });
    const sent = async (text: string): ReturnType<Pages['send']> => {
      const asked = once(site.server, 'request');
      const connection = await site.send(text);
      await asked;
      return connection;
    };
    const attacker = await sent(`${form('/revoke', 3)}a=`);
    const user = await sent(`${form('/revoke', 3)}b=2`);
    attacker.socket.write('1');
    await expect.poll(user.received).toMatch(/^HTTP\/1\.1 200 /);
    await expect.poll(attacker.received).toMatch(/^HTTP\/1\.1 429 [^]*Retry-After: 1\r\n[^]*Connection: close/);
    expect(site.forms).toEqual([{ b: '2' }]);
    expect(reasons(site)).toEqual(['address_pending']);
  });

  it('is rejected in the shape that programs read at their endpoints', async () => {
    const site = await pages({ most: { ...MOST_PENDING, all: 0 } });
    const { received } = await site.send(form('/oauth/token', 3));
    await expect.poll(received).toMatch(/^HTTP\/1\.1 429 [^]*"error":"temporarily_unavailable"/);
    expect(reasons(site)).toEqual(['all_pending']);
  });

  it('is over in time, and one that is too large at once', async () => {
    const site = await pages({ bodyMs: 100 });
    const late = await site.send(form('/revoke', 3));
    await expect.poll(late.received).toMatch(/^HTTP\/1\.1 408 /);
    const large = await site.send(`${form('/revoke', 40_000)}${'a'.repeat(33_000)}`);
    await expect.poll(large.received).toMatch(/^HTTP\/1\.1 413 /);
    expect(site.forms).toEqual([]);
    expect(reasons(site)).toEqual(['request_too_slow', 'body_too_large']);
  });
});

describe('a connection that ends', () => {
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const [upgrade, connecting] = [
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  ];

  // Node tells queued responses nothing of it after these.
  it.each([
    ['a CONNECT', connecting],
    ['an upgrade', upgrade],
    ['nothing', ''],
  ])('leaves nothing of what was pipelined on it, with %s behind', async (_what, last) => {
    const site = await pages({ most: { ...MOST_PENDING, all: 2 } });
    site.server.on('upgrade', (_req, socket: Socket) => void socket.destroy());
    const { socket: attacker } = await site.send(`${get('/waits')}${get('/a')}${get('/b')}${last}`);
    await expect.poll(() => site.forms).toHaveLength(2);
    attacker.destroy();
    await expect
      .poll(async () => {
        const { socket, received } = await site.send(get('/'));
        await expect.poll(received).toMatch(/^HTTP/);
        socket.destroy();
        return received().slice(0, 12);
      })
      .toBe('HTTP/1.1 200');
  });
});
