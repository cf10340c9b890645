/** The pages in a browser that runs no script. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { openAgents } from '../support/pages-delegated.ts';
import { openChromium, signInAtProvider } from '../support/pages-browser.ts';

describe('without script', () => {
  let instance: TestInstance;
  let browser: Browser;
  let terminal: OAuthClient;
  let page: Page;

  beforeAll(async () => {
    instance = await startTestInstance();
    browser = await openChromium();
    terminal = await instance.connect();
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });
  beforeEach(async () => {
    page = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  });
  afterEach(() => page.context().close());

  async function signIn(user: string): Promise<void> {
    await page.goto(instance.urls.web);
    await page.getByRole('link', { name: 'Sign in with demo' }).click();
    await signInAtProvider(page, user);
    await page.waitForURL(`${instance.urls.web}/me`);
  }

  it('a user sees their sessions in UTC, and ends one', async () => {
    const { session } = await terminal.signIn('alice');
    await signIn('alice');
    expect(await page.textContent('main')).toMatch(/Times are in\s+UTC/);
    await page
      .getByRole('row', { name: /kubectl/ })
      .getByRole('button', { name: /^Sign out/ })
      .click();
    await page.getByRole('heading', { name: 'Session ended' }).waitFor();
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });

  it('a user sees what ends with a session before they end it, and in its receipt', async () => {
    const { session } = await terminal.signIn('alice');
    await openAgents(instance.server, session);
    await signIn('alice');
    await page.getByRole('row', { name: /^Delegated from .*: claude delegated/ }).waitFor();
    await page.getByRole('link', { name: /^Sign out .*, and what is delegated from it$/ }).click();
    await page.getByText('These delegated sessions end with it').waitFor();
    await page.getByRole('button', { name: 'Sign out of 4 sessions' }).click();
    await page.getByRole('heading', { name: 'Session ended' }).waitFor();
    expect(await page.textContent('main')).toContain('claude/reviewer');
    expect(await instance.server.store.sessions.read('delegated-reviewer')).toBeUndefined();
  });

  it('an administrator revokes a user with a lock, reads the receipt, and unlocks them', async () => {
    const { session } = await terminal.signIn('bob');
    await signIn('root');
    await page.goto(`${instance.urls.web}/admin/accounts/demo%2Fbob`);
    await page.getByText('End everything and lock…').click();
    await page.getByLabel(/^Reason, for/).fill('INC-4711');
    await page.getByRole('button', { name: 'End everything now' }).click();
    await page.getByText('No replica accepts what you revoked any more').waitFor();
    expect(await page.getByRole('row').allInnerTexts()).toContainEqual(expect.stringMatching(/applied/));
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    await page.getByRole('link', { name: 'Users', exact: true }).click();
    await page.getByRole('link', { name: 'Locks', exact: true }).click();
    await page.getByLabel('Reason for unlocking demo/bob').fill('found again');
    await page.getByRole('button', { name: 'Unlock demo/bob' }).click();
    await expect.poll(() => instance.server.store.locks.list()).toEqual([]);
  });

  it('an administrator who ends their own sessions is asked for their name, at the server too', async () => {
    await signIn('root');
    await page.goto(`${instance.urls.web}/admin/accounts/demo%2Froot`);
    await page.getByRole('link', { name: 'End everything and lock…' }).click();
    await page.getByLabel('Lock the account').uncheck();
    await page.getByLabel('Reason').fill('laptop lost');
    // What the browser itself asks for is asked for at the server.
    const skipValidation = () => page.evaluate(`document.querySelector('main form').noValidate = true`);
    await skipValidation();
    for (const typed of ['', 'demo:roo']) {
      await page.getByLabel('Type demo:root').fill(typed);
      await page.keyboard.press('Enter');
      await page.locator('#word:focus[aria-invalid=true]').waitFor();
      expect(await page.getByLabel('Reason').inputValue()).toBe('laptop lost');
      expect(await page.getByLabel('Lock the account').isChecked()).toBe(false);
      expect(await page.textContent('main')).toContain('Nothing was done');
      await skipValidation();
    }
    await page.keyboard.press('Control+A');
    await page.keyboard.type('demo:root');
    await page.keyboard.press('Enter');
    await page.getByText('You have revoked your own session with it').waitFor();
    await page.goto(`${instance.urls.web}/admin`);
    await page.waitForURL((url) => url.origin !== instance.urls.web || url.pathname.startsWith('/login'));
  });

  it('an administrator searches and sorts, and the address says how', async () => {
    for (const user of ['alice', 'vera']) await terminal.signIn(user);
    await signIn('root');
    await page.goto(`${instance.urls.web}/admin`);
    const users = (): Promise<string[]> => page.locator('tbody tr .main bdi').allInnerTexts();
    await page.getByLabel('Search', { exact: true }).fill('demo:v');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(/search=demo%3Av/);
    expect(await users()).toEqual([expect.stringContaining('demo:vera')]);
    await page.getByLabel('Search', { exact: true }).fill('');
    await page.getByLabel('Sort').selectOption({ label: 'Oldest first' });
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(/sort=oldest/);
    const oldest = await users();
    await page.getByLabel('Sort').selectOption({ label: 'Newest first' });
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL((url) => !url.search.includes('oldest'));
    // Those of one user are beneath one another, from the newest of all on.
    const newest = await users();
    expect(newest[0]).toBe(oldest.at(-1));
    expect(newest.toSorted()).toEqual(oldest.toSorted());
    expect(newest.filter((name, at) => name !== newest[at - 1])).toEqual([...new Set(newest)]);
  });

  it('the live pages say what to do instead, or show what is so now', async () => {
    await signIn('vera');
    await page.goto(`${instance.urls.web}/admin/audit?account=demo%2Falice`);
    expect(await page.textContent('main')).toContain('portcullis audit tail --account demo/alice');
    await page.goto(`${instance.urls.web}/admin/overview`);
    expect(await page.locator('#replicas').getByRole('row').count()).toBe(2);
  });
});
