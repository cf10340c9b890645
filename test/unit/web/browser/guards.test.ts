import { once } from 'node:events';
import { createServer, request as send, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { cookiesOf } from '../cookies.ts';
import { closeStages, PUBLIC_URL, signedInAs } from '../harness.ts';

afterEach(closeStages);

test('a form whose user is revoked while its body comes changes nothing', async () => {
  const { stage, browser, csrf } = await signedInAs('alice');
  const [own] = (await stage.store.sessions.list({ limit: 1 })).sessions;

  const server = createServer(stage.web.app as RequestListener).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const form = new URLSearchParams({ csrf }).toString();
  const request = send({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    path: '/logout',
    method: 'POST',
    headers: {
      cookie: cookiesOf(browser),
      origin: PUBLIC_URL,
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': form.length,
    },
  });
  const read = stage.store.sessions.read.bind(stage.store.sessions);
  const identified = Promise.withResolvers<void>();
  stage.store.sessions.read = async (id) => {
    const record = await read(id);
    // Once the guard has gone on with it, and waits for the rest of the form.
    if (id === own?.id) setImmediate(() => identified.resolve());
    return record;
  };
  request.write(form.slice(0, 9));
  await identified.promise;
  await stage.guard.revoke({ target: { kind: 'session', session: own?.id ?? '' } });
  request.end(form.slice(9));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(401);
  expect(stage.named('logout')).toEqual([]);
  expect(stage.named('logout-refused')).toHaveLength(1);
});
