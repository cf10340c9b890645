import { afterEach, expect, test } from 'vitest';
import type { RecentRequest } from '../../../../src/store/store.ts';
import { BY_ADMINS, withAccess } from '../../../support/admin-access.ts';
import { browserAt, closeStages, openStage, openSession, signIn, type Stage } from '../harness.ts';

afterEach(closeStages);

const request = (stage: Stage, change: Partial<RecentRequest>): RecentRequest => ({
  at: stage.clock.nowMs(),
  auditId: crypto.randomUUID(),
  cluster: 'prod',
  verb: 'list',
  uri: '/api/v1/pods',
  resource: 'pods',
  code: 200,
  address: '203.0.113.7',
  ...change,
});

/** What the page says of requests, newest first, as a reader has it. */
const requestsOn = ({ text }: { readonly text: string }): readonly string[] =>
  [...(/<table class="log">[\s\S]*?<\/table>/.exec(text)?.[0] ?? '').matchAll(/<tr>\s*<td[\s\S]*?<\/tr>/g)].map(
    ([row]) =>
      row
        .replaceAll(/<[^>]*>/g, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim(),
  );

test('shows the latest requests of all my sessions and of no other user, newest first', async () => {
  const stage = await openStage(withAccess({ roles: [BY_ADMINS] }));
  const browser = browserAt(stage);
  await signIn(browser, 'alice');
  await openSession(stage, 'laptop', 'alice');
  await openSession(stage, 'bastion', 'alice');
  await openSession(stage, 'of-root', 'root');
  const now = stage.clock.nowMs();
  await stage.store.recent.add('laptop', [
    request(stage, { at: now - 7_200_000, namespace: 'web', name: 'web-1', verb: 'get' }),
    request(stage, { at: now - 60_000, code: 403, auditId: 'c1' }),
    request(stage, { at: now - 70_000, code: 403, auditId: 'c2', impersonatedUser: 'bob' }),
    request(stage, { at: now - 90_000, code: 403, resource: 'pods/proxy' }),
  ]);
  await stage.store.recent.add('bastion', [
    request(stage, { at: now - 120_000, code: 429, reason: 'too_many_requests', auditId: 'p1' }),
  ]);
  await stage.store.recent.add('of-root', [request(stage, { cluster: 'of-root' })]);
  const page = await browser.get('/me').expect(200);
  // For what the user may do themselves, and may be granted for a while.
  expect(page.text.match(/<a class="small" href="\/access">/g)).toHaveLength(1);
  expect(requestsOn(page)).toEqual([
    '25 Nov 2026, 11:59 prod list pods 403 denied by the cluster request id c1 Ask for access 203.0.113.7',
    '25 Nov 2026, 11:58 prod as bob : list pods 403 denied by the cluster request id c2 203.0.113.7',
    '25 Nov 2026, 11:58 prod list pods/proxy 403 203.0.113.7',
    '25 Nov 2026, 11:58 prod list pods 429 by Portcullis: too many requests request id p1 203.0.113.7',
    '25 Nov 2026, 10:00 prod get pods web-1 in web 200 203.0.113.7',
  ]);
});

test('names the user that a request acted as', async () => {
  const stage = await openStage();
  const browser = browserAt(stage);
  await signIn(browser, 'root');
  await openSession(stage, 'laptop', 'root');
  await stage.store.recent.add('laptop', [request(stage, { impersonatedUser: 'corp:<b>' })]);
  expect(requestsOn(await browser.get('/me').expect(200))).toEqual([
    '25 Nov 2026, 12:00 prod as corp:&lt;b&gt; : list pods 200 203.0.113.7',
  ]);
});

test('shows fifty at most', async () => {
  const stage = await openStage();
  const browser = browserAt(stage);
  await signIn(browser, 'alice');
  for (const id of ['one', 'two']) {
    await openSession(stage, id, 'alice');
    const many = Array.from({ length: 40 }, (_, index) => request(stage, { at: stage.clock.nowMs() - index }));
    await stage.store.recent.add(id, many);
  }
  expect(requestsOn(await browser.get('/me'))).toHaveLength(50);
});

test('shows what a client wrote as text', async () => {
  const stage = await openStage();
  const browser = browserAt(stage);
  await signIn(browser, 'alice');
  await openSession(stage, 'laptop', 'alice');
  const { resource: _none, ...bare } = request(stage, { uri: '/<script>x</script>"', verb: '<b>' });
  await stage.store.recent.add('laptop', [bare]);
  const { text } = await browser.get('/me');
  expect(text).toContain('/&lt;script&gt;x&lt;/script&gt;&quot;');
  expect(text).toContain('&lt;b&gt;');
});

test('stays a page where the requests cannot be read, and says so', async () => {
  const fails = () => Promise.reject(new Error('the store is unavailable'));
  const stage = await openStage({
    change: (deps) => ({
      ...deps,
      store: {
        ...deps.store,
        recent: { add: async () => {}, read: fails, readEach: fails },
      },
    }),
  });
  const browser = browserAt(stage);
  await signIn(browser, 'alice');
  const { text } = await browser.get('/me').expect(200);
  expect(text).toContain('The requests cannot be read right now.');
  expect(text).toContain('this browser');
  expect(stage.logged).toHaveLength(1);
});
