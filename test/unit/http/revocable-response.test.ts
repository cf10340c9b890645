/** What is registered with the revocation guard for a response: it is over when the response is. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import { beginContext, contextOf, type Actor } from '../../../src/http/request-context.ts';
import { cutWhenRevoked } from '../../../src/http/revocable-response.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

const CONNECT = 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n';

// Node announces the end of a response before it is registered, or never.
it.each([
  ['has left before it', get('/made')],
  ['pipelined it behind another one, and a CONNECT', `${get('/waits')}${get('/made')}${CONNECT}`],
  ['pipelined it behind another one', `${get('/waits')}${get('/made')}`],
])('nothing stays of the response to a client that %s', async (_what, text) => {
  const open = new Set<object>();
  const begun = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const actor = {
    assertValid: () => undefined,
    register: (flight: object) => {
      open.add(flight);
      return { close: () => void open.delete(flight) };
    },
  } as unknown as Actor;
  const app = express();
  app.get('/waits', () => undefined);
  app.get('/made', (req, res, next) => {
    beginContext(req, res);
    contextOf(req).actor = actor;
    begun.resolve();
    left.promise.then(() => {
      cutWhenRevoked(res);
      return res.end('made');
    }, next);
  });
  const server = createServer(app);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const closed = once(server, 'connection').then(async ([socket]) => once(socket, 'close'));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  client.write(text);
  await begun.promise;
  client.destroy();
  await closed;
  left.resolve();
  await expect.poll(() => open.size).toBe(0);
});
