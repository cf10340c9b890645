import { once } from 'node:events';
import { createServer, request as send, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { cookiesOf } from '../cookies.ts';
import { browserAt, closeStages, openSession, PUBLIC_URL, signedInAs, signIn, type Stage } from '../harness.ts';

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

/** Holds the lists of sessions back until they are released. */
function holdLists({ store: { sessions } }: Stage) {
  const list = sessions.list.bind(sessions);
  const released = Promise.withResolvers<void>();
  let [running, most] = [0, 0];
  sessions.list = async (query) => {
    running += 1;
    most = Math.max(most, running);
    await released.promise;
    running -= 1;
    return list(query);
  };
  return { release: released.resolve, mostAtOnce: () => most };
}

test('an account has one page and one read at a time, and no other account and no change waits for them', async () => {
  const { stage, browser, csrf } = await signedInAs('root');
  const lists = holdLists(stage);
  const rejected = Promise.withResolvers<void>();
  const statuses: number[] = [];
  const asked = Array.from({ length: 40 }, async (_, index) => {
    const { status, headers } = await browser.get(index % 2 === 0 ? '/me/end-others' : '/admin/api/v1/sessions');
    expect(headers['retry-after']).toBe(status === 429 ? '1' : undefined);
    statuses.push(status);
    if (statuses.length === 15) rejected.resolve();
  });
  await rejected.promise;
  expect(statuses).toEqual(Array.from({ length: 15 }, () => 429));
  const other = browserAt(stage);
  await signIn(other, 'alice');
  await other.get('/me/kubeconfig').expect(200);
  await browser
    .post('/logout')
    .set('Origin', PUBLIC_URL)
    .type('form')
    .send({ csrf: `${csrf}x` })
    .expect(403);
  lists.release();
  await Promise.all(asked);
  expect(lists.mostAtOnce()).toBe(1);
  expect(statuses.slice(15)).toEqual(Array.from({ length: 25 }, () => 200));
});

test('pages that search audit logs wait for one another, and no other page waits for them', async () => {
  const { stage, browser } = await signedInAs('root');
  const lists = holdLists(stage);
  const userPages = async (count: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, () => browser.get('/admin/accounts/corp%2Falice').expect(200)));
  const first = userPages(1);
  await vi.waitFor(() => expect(lists.mostAtOnce()).toBeGreaterThan(0));
  const ofOne = lists.mostAtOnce();
  const later = userPages(2);
  const locks = await browser
    .get('/admin/locks')
    .timeout(10_000)
    .then(({ status }) => status)
    .catch(() => 'no response');
  lists.release();
  await Promise.all([first, later]);
  expect([locks, lists.mostAtOnce()]).toEqual([200, ofOne]);
});

test('one form of an account at a time ends all of its other sessions', async () => {
  const { stage, browser, csrf } = await signedInAs('alice');
  await openSession(stage, 'laptop', 'alice');
  const lists = holdLists(stage);
  const { sessions } = stage.store;
  const read = sessions.read.bind(sessions);
  let left = 8;
  sessions.read = async (id) => {
    left -= 1;
    // All are signed in, and have had time to go on.
    if (left === 0) setTimeout(lists.release, 20);
    return read(id);
  };
  const end = () => browser.post('/me/end-others').set('Origin', PUBLIC_URL).type('form').send({ csrf });
  await Promise.all(Array.from({ length: left }, () => end().expect(200)));
  expect(lists.mostAtOnce()).toBe(1);
  expect(stage.named('logout')).toHaveLength(1);
});
