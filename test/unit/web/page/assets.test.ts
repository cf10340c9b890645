import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { assetText } from '../../../../src/web/page/assets.ts';
import { browserAt, closeStages, openStage, signIn } from '../harness.ts';

afterEach(closeStages);

async function styleSheet() {
  const stage = await openStage();
  const browser = browserAt(stage);
  const url = /href="([^"]+\/portcullis\.css)"/.exec((await browser.get('/')).text)?.[1] ?? '';
  return { browser, url };
}

test('the style sheet of a page is cached permanently, because its URL names its content', async () => {
  const { browser, url } = await styleSheet();
  const { headers, text } = await browser.get(url).expect(200);
  expect(url).toMatch(/^\/assets\/[\w-]{16}\/portcullis\.css$/);
  expect(headers).toMatchObject({
    'content-type': 'text/css; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  });
  expect(text).not.toMatch(/url\(|@import/);
  await browser
    .get(url)
    .set('If-None-Match', headers['etag'] ?? '')
    .expect(304);
});

test('the style sheet of all pages has every component, and each once', () => {
  const folder = new URL('../../../../src/web/assets/portcullis/', import.meta.url);
  const css = assetText('portcullis.css');
  const names = readdirSync(folder);
  // Without what is for those who write it.
  const components = names.map((name) => readFileSync(new URL(name, folder), 'utf8').replaceAll(/\/\*[^]*?\*\//g, ''));
  for (const component of components) expect(css.split(component)).toHaveLength(2);
  expect(css.length).toBe(components.join('\n').length);
});

test.each(['/assets/AAAAAAAAAAAAAAAA/portcullis.css', '/assets/portcullis.css'])(
  '%s, of another version, is served and not kept: replicas differ during an upgrade',
  async (path) => {
    const { browser, url } = await styleSheet();
    const other = await browser.get(path).expect(200).expect('Cache-Control', 'no-cache');
    expect(other.text).toBe((await browser.get(url)).text);
  },
);

test('is compressed for a client that accepts it, and plain for one that does not', async () => {
  const { browser, url } = await styleSheet();
  const plain = await browser.get(url).set('Accept-Encoding', 'identity');
  expect(plain.headers['content-encoding']).toBeUndefined();
  // The client takes it apart again.
  const small = await browser.get(url).set('Accept-Encoding', 'gzip').expect(200);
  expect(small.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
  expect(Number(small.headers['content-length'])).toBeLessThan(Number(plain.headers['content-length']) / 2);
  expect(small.text).toBe(plain.text);
});

test.each(['/assets/', '/assets/x/', '/assets/nothing.css', '/assets/x/..%2fdeps.ts', '/assets/x/y/portcullis.css'])(
  '%s is nothing',
  async (path) => {
    const stage = await openStage();
    expect((await browserAt(stage).get(path)).status).toBe(404);
  },
);

test('My sessions needs less than 50 kB with all that it loads, even with fifty requests', async () => {
  const stage = await openStage();
  const browser = browserAt(stage);
  await signIn(browser, 'root');
  const [session] = (await stage.store.sessions.list({ account: 'corp/sub-root', limit: 1 })).sessions;
  const requests = Array.from({ length: 50 }, (_, index) => ({
    at: stage.clock.nowMs() - index,
    auditId: `id-${index}`,
    cluster: 'prod',
    verb: 'list',
    uri: '/api/v1/namespaces/team-payments-staging/pods?limit=500',
    resource: 'pods/portforward',
    namespace: 'team-payments-staging',
    name: `payments-worker-6c9f7d8b5-${index}`,
    code: 403,
    reason: 'delegation_refused',
    address: '203.0.113.77',
  }));
  await stage.store.recent.add(session?.id ?? '', requests);
  const { text } = await browser.get('/me').expect(200);
  expect(text.match(/delegation refused/g)).toHaveLength(50);
  const loaded = [...text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, url = '']) => url);
  let bytes = Buffer.byteLength(text);
  for (const url of new Set(loaded)) {
    const { headers } = await browser.head(url).set('Accept-Encoding', 'gzip').expect(200);
    expect(headers['content-length'], url).toBeDefined();
    bytes += Number(headers['content-length']);
  }
  expect(bytes).toBeLessThan(50_000);
});
