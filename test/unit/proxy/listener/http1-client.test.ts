import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, it } from 'vitest';
import { http1Client } from '../../../../src/proxy/listener/http1-client.ts';
import type { ClientConnection } from '../../../../src/proxy/listener/connection.ts';

it('a response is finished when its endpoint has ended it, although its client reads nothing', () => {
  const socket = new Duplex({ read: () => undefined, write: () => undefined }) as Socket;
  const req = new IncomingMessage(socket);
  const res = new ServerResponse(req);
  res.assignSocket(socket);
  const { response } = http1Client(req, res, {} as ClientConnection);
  const said: string[] = [];
  response.onFinished(() => void said.push('finished'));
  res.writeHead(200, { 'Content-Length': '2' }).write('a');
  expect([said, response.finished]).toEqual([[], false]);
  res.end('b');
  expect([said, response.finished, response.waiting > 0]).toEqual([['finished'], true, true]);
});
