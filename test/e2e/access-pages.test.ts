/** A request at two browsers: the requester's and the approver's, who comes by the link and has a keyboard only. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SELF_AUDIENCE } from '../../src/core/core.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { ACCESS_ROLES } from '../support/pages-access.ts';
import { openChromium, signedInContext, signInAtProvider } from '../support/pages-browser.ts';
import { tabTo } from '../support/pages-keyboard.ts';

describe('an access request', () => {
  let instance: TestInstance;
  let browser: Browser;
  let terminal: OAuthClient;
  let session: string;

  beforeAll(async () => {
    instance = await startTestInstance({
      file: (settings) => ({ ...settings, access: { roles: ACCESS_ROLES } }),
    });
    browser = await openChromium();
    terminal = await instance.connect();
    ({ session } = await terminal.signIn('alice', { resource: SELF_AUDIENCE }));
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });

  const grants = async (): Promise<readonly string[]> =>
    ((await instance.server.store.sessions.read(session))?.grants ?? []).map(({ role }) => role);

  async function pageOf(user: string, options: { readonly javaScriptEnabled?: boolean } = {}): Promise<Page> {
    const signedIn = await signedInContext(browser, instance.urls.web, user);
    const context = await browser.newContext(options);
    await context.addCookies(await signedIn.cookies());
    await signedIn.close();
    return context.newPage();
  }

  /** By keyboard. */
  async function ask(page: Page): Promise<string> {
    await page.goto(`${instance.urls.web}/me`);
    await tabTo(page, 'a', /^Access$/);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/access');
    await tabTo(page, 'a', /^Request shop-admins$/);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/access?role=shop-admins');
    await tabTo(page, 'input', /^Reason$/);
    await page.keyboard.type('INC-4711: the checkout is down');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Your request for shop-admins' }).waitFor();
    return page.url();
  }

  it('is approved by someone who comes by its link, is shown where its user waits, and ends with a receipt', async () => {
    const requester = await pageOf('alice');
    const link = await ask(requester);
    expect(await grants()).toEqual([]);
    const approver = await (await browser.newContext()).newPage();
    await approver.goto(link);
    await signInAtProvider(approver, 'root');
    await approver.waitForURL(link);
    expect(await approver.textContent('main')).toContain('INC-4711: the checkout is down');
    await tabTo(approver, 'button', /^Approve$/);
    await approver.keyboard.press('Enter');
    await approver.getByRole('status').getByText('Granted').waitFor();
    expect(await grants()).toEqual(['shop-admins']);
    // It was loaded before, and asks by itself.
    await requester.getByRole('status').getByText('Granted').waitFor();
    const unscripted = await pageOf('alice', { javaScriptEnabled: false });
    await unscripted.goto(`${instance.urls.web}/me`);
    await unscripted.getByRole('button', { name: 'End shop-admins' }).click();
    await unscripted.getByRole('heading', { name: 'Access ended' }).waitFor();
    expect(await unscripted.textContent('main')).toContain('Complete.');
    expect(await grants()).toEqual([]);
    await approver.goto(link);
    expect(await approver.textContent('main')).toMatch(/Over\s+ended by its user/);
    expect(await approver.getByRole('row').allInnerTexts()).toContainEqual(expect.stringMatching(/applied/));
  });
});
