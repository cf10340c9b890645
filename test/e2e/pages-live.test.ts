/** The live parts of pages at a real browser: a receipt of three replicas, the replicas themselves, and the audit log. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLink, type Link } from '../chaos/link.ts';
import type { ReplicaSetup } from '../chaos/protocol.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { openChromium, signedInContext, watch } from '../support/pages-browser.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const REPLICA = fileURLToPath(new URL('../chaos/replica.ts', import.meta.url));
/** Seconds. Long enough to be looked at while it has not run out yet. */
const STALENESS = 8;

/** Beyond what a lease lasts on this stage, and a busy machine. */
const LATE = { timeout: 30_000 };

/** A port on which no program listens. */
const UNUSED_PORT = 1;

async function startThird(url: string): Promise<ChildProcess> {
  const setup: ReplicaSetup = {
    name: 'three',
    redis: { url, nodes: 1, prefix: 'portcullis-demo' },
    // Of the log it needs nothing that is sealed.
    sealingKey: '0'.repeat(64),
    stalenessSeconds: STALENESS,
  };
  const child = spawn(process.execPath, [REPLICA, JSON.stringify(setup)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return child;
}

describe('live', () => {
  let redis: RedisServer;
  let instance: TestInstance;
  /** In its own process, which can be stopped as a host can. */
  let third: ChildProcess;
  /** Between the browser and the server. */
  let wire: Link;
  let browser: Browser;
  let alice: OAuthClient;
  let context: BrowserContext;
  let page: Page;
  let web: string;

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({
      redis: redis.url,
      file: (settings) => ({ ...settings, revocation: { staleness: `${STALENESS}s` } }),
      name: 'one',
    });
    await instance.replica({ name: 'two' });
    third = await startThird(redis.url);
    ({ web } = instance);
    const port = instance.server.ports.web;
    wire = await createLink(port);
    browser = await openChromium([`--host-resolver-rules=MAP localhost:${port} ${new URL(wire.url).host}`]);
    alice = await instance.connect();
  });
  afterAll(async () => {
    await browser.close();
    await wire[Symbol.asyncDispose]();
    const gone = once(third, 'exit');
    third.kill('SIGKILL');
    await gone;
    await instance.stop();
    await redis.stop();
  });
  beforeEach(async () => {
    context = await signedInContext(browser, web, 'root');
    page = await context.newPage();
  });
  afterEach(() => context.close());

  const row = (name: string) => page.getByRole('row', { name: new RegExp(`\\b${name}\\b`) });

  it('the audit log shows an event as it is written, holds it back while it is paused, and goes on after a cut', async () => {
    await page.goto(`${web}/admin/audit`);
    const lines = page.locator('[data-lines] > li');
    const connection = page.locator('[data-connection]');
    await connection.getByText('live').waitFor(LATE);
    const { accessToken } = await alice.signIn('alice');
    const visit = (pod: string) => alice.get(`/api/v1/namespaces/default/pods/${pod}`, accessToken);
    await visit('first');
    await lines.filter({ hasText: 'pods/first' }).waitFor(LATE);

    await page.getByRole('button', { name: 'Pause' }).click();
    await visit('second');
    await page.getByRole('button', { name: /^Resume \([1-9]/ }).waitFor(LATE);
    expect(await lines.filter({ hasText: 'pods/second' }).count()).toBe(0);
    await page.getByRole('button', { name: /^Resume/ }).click();
    await lines.filter({ hasText: 'pods/second' }).waitFor(LATE);

    wire.leadTo(UNUSED_PORT);
    await connection.getByText(/reconnecting/).waitFor(LATE);
    await visit('third');
    wire.leadTo(instance.server.ports.web);
    await lines.filter({ hasText: 'pods/third' }).waitFor(LATE);
    await connection.getByText('live').waitFor(LATE);
    // Each once, and nothing is said to be missing but what the third would have to show: it has no record, past or live.
    expect(await lines.filter({ hasText: 'pods/second' }).count()).toBe(1);
    const missing = async (): Promise<string[]> =>
      (await lines.filter({ hasText: 'may be missing' }).allInnerTexts()).toSorted();
    await expect
      .poll(missing, LATE)
      .toEqual([
        expect.stringContaining('a replica has not confirmed yet that it sends its events'),
        expect.stringContaining('while this page was loaded could not be read'),
      ]);
  });

  it('the audit log opens with the past, and the end of a stream replaces its beginning', async () => {
    const { accessToken } = await alice.signIn('alice');
    const lines = page.locator('[data-lines] > li');
    const ending = new AbortController();
    const { signal } = ending;
    const headers = { authorization: `Bearer ${accessToken}` };
    const watching = alice.send('GET', '/api/v1/namespaces/default/pods?watch=true', { headers, signal });
    await alice.get('/api/v1/namespaces/default/pods/of-the-past', accessToken);
    await expect
      .poll(async () => {
        await page.goto(`${web}/admin/audit?user=demo:alice`);
        return await lines.filter({ hasText: 'of-the-past' }).count();
      }, LATE)
      .toBe(1);
    await page.locator('[data-connection]').getByText('live').waitFor(LATE);
    const stream = lines.filter({ hasText: /watch(?:ed)? pods in default/ });
    await expect.poll(async () => await stream.allInnerTexts(), LATE).toEqual([expect.stringContaining('open')]);
    ending.abort();
    await expect(watching).rejects.toThrow('aborted');
    await expect.poll(async () => await stream.allInnerTexts(), LATE).toEqual([expect.not.stringContaining('open')]);
    expect(await lines.filter({ hasText: 'of-the-past' }).count()).toBe(1);
  });

  it('the audit log names the user that a request acts as', async () => {
    await page.goto(`${web}/admin/audit`);
    await page.locator('[data-connection]').getByText('live').waitFor(LATE);
    const { accessToken } = await alice.signIn('alice');
    const headers = { authorization: `Bearer ${accessToken}`, 'impersonate-user': 'demo:bob' };
    await alice.send('GET', '/api/v1/namespaces/default/pods/as-another', { headers });
    const line = page.locator('[data-lines] > li', { hasText: 'as-another' });
    await line.waitFor(LATE);
    expect(await line.locator('[data-text="who"]').innerText()).toBe('demo:alice as demo:bob');
  });

  it('the audit log shows a beginning as the server does until its outcome comes, and says what it could not read', async () => {
    const event = (id: string, stage: string) => ({
      auditID: id,
      stage,
      verb: 'delete',
      requestURI: `/api/${id}`,
      user: { username: 'demo:alice' },
      stageTimestamp: new Date().toISOString(),
      ...(stage === 'ResponseComplete' && { responseStatus: { code: 200 } }),
    });
    const stages = [
      event('one', 'RequestReceived'),
      event('two', 'RequestReceived'),
      event('two', 'ResponseComplete'),
      // Late, from another replica.
      event('two', 'RequestReceived'),
    ];
    const body = `retry: 10\n\n${stages.map((one) => `data: ${JSON.stringify(one)}\n\n`).join('')}`;
    let asked = 0;
    await page.route(/\/v1\/audit(\?|$)/, async (route) => {
      asked += 1;
      if (asked === 1) await route.fulfill({ contentType: 'text/event-stream', body });
      else await route.fulfill({ status: 429, json: { detail: 'Too many live views are open.' } });
    });
    let missed = 0;
    await page.route(/\/v1\/audit\/events\?/, async (route) => {
      missed += 1;
      await route.fulfill({ status: 429, headers: { 'Retry-After': '0' }, json: {} });
    });
    await page.goto(`${web}/admin/audit?user=demo:unknown`);
    const lines = page.locator('[data-lines] > li');
    await page.locator('[data-connection]').getByText('Too many live views are open.').waitFor(LATE);
    await lines.filter({ hasText: 'could not be read' }).waitFor(LATE);
    expect(missed).toBe(4);
    const code = async (id: string): Promise<readonly string[]> =>
      await lines
        .filter({ hasText: `/api/${id}` })
        .locator('[data-text="code"]')
        .allInnerTexts();
    expect(await code('one')).toEqual(['no outcome']);
    expect(await code('two')).toEqual(['200']);
    // One gap for the connection that is lost, however often it is tried again.
    await expect.poll(() => asked, LATE).toBeGreaterThan(6);
    expect(await lines.filter({ hasText: 'the connection was interrupted' }).count()).toBe(1);
  });

  it('the receipt comes in replica by replica: two at once, and a stopped one when its lease has run out', async () => {
    await alice.signIn('alice');
    const watched = watch(page, web);
    await page.goto(`${web}/admin/overview`);
    for (const name of ['one', 'two', 'three']) await row(name).getByText('serving').waitFor(LATE);
    await page.goto(`${web}/admin/revoke?kind=account&value=demo%2Falice`);
    await page.getByLabel(/Reason/).fill('INC-4711');
    third.kill('SIGSTOP');
    await page.getByRole('button', { name: 'Revoke now' }).click();
    await page.waitForURL('**/admin/revocations/*');
    await page.evaluate('globalThis.sameDocument = true');
    expect(await row('one').innerText()).toContain('applied');
    expect(await row('two').innerText()).toContain('applied');
    expect(await row('three').innerText()).toContain('not confirmed yet');
    expect(await page.getByText('Written, and being proven').isVisible()).toBe(true);
    await row('three').getByText('fenced').waitFor(LATE);
    await page.getByText('No replica accepts what you revoked any more').waitFor(LATE);
    expect(await page.title()).toMatch(/complete/);
    expect(await page.evaluate('globalThis.sameDocument')).toBe(true);
    await page.getByText('Copy as text or JSON').click();
    const copy = page.getByRole('button', { name: 'Copy Text' });
    await copy.dblclick();
    expect(await copy.innerText()).toBe('Copied');
    await expect.poll(() => copy.innerText(), LATE).toBe('Copy');
    expect(watched.errors).toEqual([]);
  });

  it('the page Now sees that one has fallen silent', async () => {
    await page.goto(`${web}/admin/overview`);
    await row('three')
      .getByText(/silent|fenced/)
      .waitFor(LATE);
    await row('one').getByText('serving').waitFor(LATE);
    expect(await row('two').innerText()).toContain('serving');
    const asked = page.waitForResponse(/\/v1\/audit\/events\?/);
    await page.goto(`${web}/admin/audit`);
    expect(await (await asked).json()).toMatchObject({ complete: false, missing: ['three'] });
    await page.locator('[data-lines] > li').getByText('could not be read').waitFor(LATE);
  });

  it('the page Now says what it does not know any more, and since when', async () => {
    await page.goto(`${web}/admin/overview`);
    await row('one').getByText('serving').waitFor(LATE);
    wire.leadTo(UNUSED_PORT);
    await row('one')
      .getByText(/unknown since \d/)
      .waitFor(LATE);
    expect(await page.locator('[data-rows]').getByText('serving').count()).toBe(0);
    expect(await page.getByText('every replica has a valid lease').isVisible()).toBe(false);
    const seen = (): Promise<string> => row('one').locator('[data-text="seen"]').innerText();
    const before = await seen();
    await expect.poll(seen, LATE).not.toBe(before);
    wire.leadTo(instance.server.ports.web);
    await row('one').getByText('serving').waitFor(LATE);
    // Also where the server never sends a first one.
    await page.route('**/admin/api/v1/replicas', () => undefined);
    await page.reload();
    await row('one').getByText('serving').waitFor(LATE);
    await row('one').getByText('unknown since').waitFor(LATE);
  });
});
