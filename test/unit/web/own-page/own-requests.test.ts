import { afterEach, expect, test } from 'vitest';
import type { RecentRequest } from '../../../../src/store/store.ts';
import { browserAt, closeHouses, openHouse, openSession, signIn, type House } from '../harness.ts';

afterEach(closeHouses);

const request = (house: House, change: Partial<RecentRequest>): RecentRequest => ({
  at: house.clock.now(),
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

test('shows the latest requests of all my sessions and of nobody else, newest first', async () => {
  const house = await openHouse();
  const browser = browserAt(house);
  await signIn(browser, 'alice');
  await openSession(house, 'laptop', 'alice');
  await openSession(house, 'bastion', 'alice');
  await openSession(house, 'of-root', 'root');
  const now = house.clock.now();
  await house.store.recent.add('laptop', [
    request(house, { at: now - 7_200_000, namespace: 'web', name: 'web-1', verb: 'get' }),
    request(house, { at: now - 60_000, code: 403 }),
  ]);
  await house.store.recent.add('bastion', [
    request(house, { at: now - 120_000, code: 429, reason: 'too_many_requests' }),
  ]);
  await house.store.recent.add('of-root', [request(house, { cluster: 'of-root' })]);
  expect(requestsOn(await browser.get('/me').expect(200))).toEqual([
    '1 min ago prod list pods 403 refused by the cluster 203.0.113.7',
    '2 min ago prod list pods 429 by Portcullis: too many requests 203.0.113.7',
    '2 h ago prod get pods web-1 in web 200 203.0.113.7',
  ]);
});

test('shows fifty at most', async () => {
  const house = await openHouse();
  const browser = browserAt(house);
  await signIn(browser, 'alice');
  for (const id of ['one', 'two']) {
    await openSession(house, id, 'alice');
    const many = Array.from({ length: 40 }, (_, index) => request(house, { at: house.clock.now() - index }));
    await house.store.recent.add(id, many);
  }
  expect(requestsOn(await browser.get('/me'))).toHaveLength(50);
});

test('shows what a client wrote as text', async () => {
  const house = await openHouse();
  const browser = browserAt(house);
  await signIn(browser, 'alice');
  await openSession(house, 'laptop', 'alice');
  const { resource: _none, ...bare } = request(house, { uri: '/<script>x</script>"', verb: '<b>' });
  await house.store.recent.add('laptop', [bare]);
  const { text } = await browser.get('/me');
  expect(text).toContain('/&lt;script&gt;x&lt;/script&gt;&quot;');
  expect(text).toContain('&lt;b&gt;');
});

test('stays a page where the requests cannot be read, and says so', async () => {
  const house = await openHouse({
    change: (deps) => ({
      ...deps,
      store: {
        ...deps.store,
        recent: { add: async () => {}, read: () => Promise.reject(new Error('the store is away')) },
      },
    }),
  });
  const browser = browserAt(house);
  await signIn(browser, 'alice');
  const { text } = await browser.get('/me').expect(200);
  expect(text).toContain('They cannot be read right now.');
  expect(text).toContain('this browser');
  expect(house.logged).toHaveLength(1);
});
