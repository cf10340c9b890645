import { once } from 'node:events';
import { createServer, request as send, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { cookiesOf } from '../cookies.ts';
import { closeStages, PUBLIC_URL, signedInAs } from '../harness.ts';

afterEach(closeStages);

test('a form whose user is revoked while it is read changes nothing', async () => {
  const { stage, browser, csrf } = await signedInAs('alice');
  const [own] = (await stage.store.sessions.list({ limit: 1 })).sessions;

  const server = createServer(stage.web.app as RequestListener).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  // It is unpacked by a thread, so the guard waits for it.
  const form = gzipSync(new URLSearchParams({ csrf }).toString());
  const request = send({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    path: '/logout',
    method: 'POST',
    headers: {
      cookie: cookiesOf(browser),
      origin: PUBLIC_URL,
      'content-type': 'application/x-www-form-urlencoded',
      'content-encoding': 'gzip',
      'content-length': form.length,
    },
  });
  const read = stage.store.sessions.read.bind(stage.store.sessions);
  const revoked = Promise.withResolvers<unknown>();
  stage.store.sessions.read = async (id) => {
    const record = await read(id);
    // Once the guard has gone on with it.
    if (id === own?.id) {
      setImmediate(() => revoked.resolve(stage.guard.revoke({ target: { kind: 'session', session: id } })));
    }
    return record;
  };
  request.end(form);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await revoked.promise;
  expect(response.statusCode).toBe(401);
  expect(stage.named('logout')).toEqual([]);
  expect(stage.named('logout-refused')).toHaveLength(1);
});
