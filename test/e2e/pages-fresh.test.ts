/** An administrator who signed in too long ago for a change, at a real browser. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { FRESH_TOLERANCE_SECONDS } from '../../src/core/identity/freshness.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { SessionRecord } from '../../src/store/store.ts';
import { startTestInstance } from '../support/instance.ts';
import { openChromium, signedInContext, signInAtProvider } from '../support/pages-browser.ts';
import { axeFindings } from '../support/pages-checks.ts';
import { htmlErrors } from '../support/pages-html-validate.ts';

/** Seconds. Enough to type a reason in, on a busy machine. */
const FRESHNESS = 12;

/** root at a browser, whose sign-in was fresh once, with the list of locks open since. */
interface Stale {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly session: string;
}

describe('after a while', () => {
  let instance: RunningDemo;
  let browser: Browser;
  /** One for each test, so that they become stale together. */
  const signedIn: Stale[] = [];
  let page: Page;
  let before: string;

  beforeAll(async () => {
    instance = await startTestInstance({
      file: (settings) => settings,
      // The clocks' tolerance comes on top: less than nothing, so that the test need not wait for a minute.
      loaded: (config) => ({
        ...config,
        admin: { ...config.admin, freshness: FRESHNESS - FRESH_TOLERANCE_SECONDS },
      }),
    });
    browser = await openChromium();
    const lock = { reason: 'INC-4711', by: 'demo:root', at: Math.floor(Date.now() / 1000) };
    await instance.server.guard.revoke({ target: { kind: 'account', account: 'demo/bob' }, lock });
    for (const _test of [1, 2, 3]) signedIn.push(await signIn());
    const { authTime = 0 } = (await newestSession()) ?? {};
    const stale = (): void => {
      if (Date.now() / 1000 - authTime <= FRESHNESS + 1) throw new Error('the sign-in is fresh still');
    };
    await vi.waitFor(stale, { timeout: 2000 * FRESHNESS, interval: 200 });
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });
  let context: BrowserContext;
  beforeEach(() => {
    const next = signedIn.shift();
    if (next === undefined) throw new Error('no one is signed in for this test');
    ({ context, page, session: before } = next);
  });
  afterEach(() => context.close());

  const newestSession = async (): Promise<SessionRecord | undefined> =>
    (await instance.server.store.sessions.list({ account: 'demo/root', limit: 1 })).sessions[0];

  async function signIn(): Promise<Stale> {
    const own = await signedInContext(browser, instance.urls.web, 'root');
    const opened = await own.newPage();
    await opened.goto(`${instance.urls.web}/admin/locks`);
    return { context: own, page: opened, session: (await newestSession())?.id ?? '' };
  }

  it('a change is rejected on a page that keeps what was typed, and goes through after a fresh sign-in in its tab', async () => {
    await page.getByLabel('Reason for unlocking demo/bob').fill('found again');
    const answered = page.waitForResponse((response) => response.request().method() === 'POST');
    await page.getByRole('button', { name: 'Unlock demo/bob' }).click();
    const refused = await answered;
    expect(refused.status()).toBe(401);
    expect(await htmlErrors(await refused.text())).toEqual([]);
    expect(await axeFindings(page, 'every')).toEqual([]);
    expect(await instance.server.store.locks.list()).toHaveLength(1);
    const opened = context.waitForEvent('page');
    await page.getByRole('link', { name: 'Sign in again' }).click();
    const tab = await opened;
    // Anyone who sits there now has to know the password, although the provider knows this browser.
    await signInAtProvider(tab, 'root');
    await tab.waitForURL(`${instance.urls.web}/admin/locks`);
    await tab.close();
    expect(await page.getByLabel('Reason').inputValue()).toBe('found again');
    await page.getByRole('button', { name: 'Send it again' }).click();
    await page.waitForURL(`${instance.urls.web}/admin/locks`);
    await expect.poll(() => instance.server.store.locks.list()).toEqual([]);
    // One screen is one session.
    expect(await instance.server.store.sessions.read(before)).toBeUndefined();
  });

  it('the page that asks about a revocation asks for the sign-in first, and comes back to the very question', async () => {
    const question = `${instance.urls.web}/admin/revoke?kind=account&value=demo%2Fbob`;
    await page.goto(question);
    await signInAtProvider(page, 'root');
    await page.waitForURL(question);
    await page.getByLabel(/Reason/).fill('INC-4711');
    await page.getByRole('button', { name: 'Revoke now' }).click();
    await page.getByText('No replica accepts what you revoked any more').waitFor();
    expect(page.url()).toContain('/admin/revocations/');
  });

  it('an administrator who only reads is not asked', async () => {
    for (const path of ['/admin', '/admin/accounts/demo%2Fbob', '/admin/audit', '/admin/overview']) {
      expect((await page.goto(instance.urls.web + path))?.status(), path).toBe(200);
      expect(page.url()).toBe(instance.urls.web + path);
    }
  });
});
