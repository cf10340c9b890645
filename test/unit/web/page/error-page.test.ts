import { afterEach, expect, test } from 'vitest';
import { LIMITS, PUBLIC_URL, beginAt, browserAt, closeStages, openStage, pendingAt, signedInAs } from '../harness.ts';
import { TestProvider } from '../test-provider.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { errorDocument } from '../../../../src/web/web.ts';

afterEach(closeStages);

test('a refused sign-in says which rule, whom to ask, and the request id', async () => {
  const stage = await openStage({ config: { contact: '#help <us>' } });
  const browser = browserAt(stage);
  const state = await beginAt(browser);
  const { text, headers } = await browser.get(`/login/finish?code=unknown&state=${state}`).expect(403);
  expect(text).toContain('Only &lt;b&gt;example.com&lt;/b&gt; may sign in.');
  expect(text).toContain('#help &lt;us&gt;');
  expect(text).toContain(headers['x-request-id']);
});

test.each(['/nowhere', '/login/finish?state=long-ago', '/login/start?provider=unknown'])(
  '%s says whom to ask',
  async (path) => {
    const stage = await openStage();
    expect((await browserAt(stage).get(path)).text).toContain('#platform-help');
  },
);

test('too many sign-ins say whom to ask, and when to go on', async () => {
  const limits = { ...LIMITS, signInsPerMinute: 1 };
  const stage = await openStage({ config: { limits }, providers: [new TestProvider('corp')] });
  const browser = browserAt(stage);
  await beginAt(browser);
  const { text } = await browser.get('/login/start?provider=corp').expect(429);
  expect(text).toContain('Try again in 60 seconds.');
  expect(text).toContain('#platform-help');
});

test.each([
  ['/login/uid-1', 'a pending authorization'],
  ['/callback/corp?code=alice&state=s', 'a login transaction'],
])('%s that cannot read %s has a link to itself', async (path) => {
  const stage = await openStage();
  const away = () => Promise.reject(new AppError('store_unavailable', 'away'));
  stage.authorizations.pending = away;
  stage.store.artefacts.find = away;
  const { text } = await pendingAt(stage, 'uid-1').get(path).expect(503).expect('Retry-After', '1');
  expect(text).toMatch(/<a [^>]*href="">Try again<\/a>.*href="\/">Front page/s);
});

test('a form that the store was too slow for is not sent by a link', async () => {
  const { stage, browser, csrf } = await signedInAs('alice');
  stage.store.sessions.read = () => Promise.reject(new AppError('store_unavailable', 'away'));
  const form = browser.post('/logout').type('form').set('Origin', PUBLIC_URL).send({ csrf });
  const { text } = await form.expect(503);
  expect(text).toContain('Front page');
  expect(text).not.toContain('>Try again<');
});

test('the page for an error of the authorization server has its message as text', () => {
  const page = errorDocument({ cause: { detail: 'no <client>' }, requestId: 'id-1' }, '#help');
  for (const text of ['no &lt;client&gt;', 'id-1', '#help']) expect(page).toContain(text);
  expect(page).not.toContain('Try again');
});

test('the page for an internal error of the authorization server has a link to the same request', () => {
  const thrown = new AppError('store_unavailable', 'The store does not answer.', { reason: 'redis_timeout' });
  const page = errorDocument({ cause: { thrown }, requestId: 'id-1', again: '/oauth/authorize?a=1&b="2"' }, '#help');
  expect(page).toContain('Portcullis cannot reach its store');
  expect(page).toContain('href="/oauth/authorize?a=1&amp;b=&quot;2&quot;">Try again</a>');
  expect(page).not.toContain('redis_timeout');
  const foreign = errorDocument({ cause: { thrown: new Error('secret text') }, requestId: 'id-1' }, '#help');
  expect(foreign).toContain('Something went wrong');
  expect(foreign).not.toContain('secret text');
});
