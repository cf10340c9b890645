/** The pages by Tab and Enter alone. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { HOSTILE_DELEGATED, openAgents } from '../support/pages-delegated.ts';
import { axeFindings } from '../support/pages-checks.ts';
import { openChromium } from '../support/pages-browser.ts';
import { focusOf, tabTo } from '../support/pages-keyboard.ts';

describe('by keyboard', () => {
  let instance: TestInstance;
  let browser: Browser;
  let alice: OAuthClient;
  let page: Page;

  beforeAll(async () => {
    instance = await startTestInstance();
    browser = await openChromium();
    alice = await instance.connect();
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });
  beforeEach(async () => {
    page = await (await browser.newContext()).newPage();
  });
  afterEach(() => page.context().close());

  async function signIn(user: string): Promise<void> {
    await page.goto(instance.urls.web);
    await tabTo(page, 'a', /^Sign in with demo$/);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${instance.urls.issuer}/**`);
    await expect.poll(() => focusOf(page)).toMatchObject({ name: 'Name' });
    await page.keyboard.type(user);
    await page.keyboard.press('Tab');
    await page.keyboard.type(`${user}-demo`);
    await page.keyboard.press('Enter');
    await expect.poll(() => focusOf(page)).toMatchObject({ name: 'Share and go on' });
    await page.keyboard.press('Enter');
    await page.waitForURL(`${instance.urls.web}/me`);
  }

  it('skips what stands on every page', async () => {
    await signIn('alice');
    await page.keyboard.press('Tab');
    expect(await focusOf(page)).toMatchObject({ name: 'Skip to content', visible: true });
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('content');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.closest("main") !== null')).toBe(true);
  });

  it('signs a user in and ends a session of theirs', async () => {
    const { session } = await alice.signIn('alice');
    await signIn('alice');
    await tabTo(page, 'button', /^Sign out portcullis-demo-visitor$/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Session ended' }).waitFor();
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });

  it('opens the rules of a delegated session, of which there are hundreds, and ends it', async () => {
    const { session } = await alice.signIn('alice');
    await openAgents(instance.server, session);
    await signIn('alice');
    await page.goto(`${instance.urls.web}/me/sessions/${HOSTILE_DELEGATED}`);
    await tabTo(page, 'summary', /^1 limit, 120 rules$/);
    await page.keyboard.press('Enter');
    await tabTo(page, 'pre', /<i>r119<\/i>/);
    await tabTo(page, 'button', /^End this session$/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Session ended' }).waitFor();
    expect(await instance.server.store.sessions.read(HOSTILE_DELEGATED)).toBeUndefined();
    expect(await instance.server.store.sessions.read(session)).toBeDefined();
  });

  it('revokes a session, as far as the receipt', async () => {
    const { session } = await alice.signIn('alice');
    await signIn('root');
    await tabTo(page, 'input', /^Find$/);
    await page.keyboard.type('alice');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/admin?search=alice');
    await tabTo(page, 'a', /^Revoke a session of demo:alice$/);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/admin/revoke?*');
    await tabTo(page, 'input', /^Reason/);
    await page.keyboard.type('INC-4711');
    await tabTo(page, 'button', /^Revoke now$/);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/admin/revocations/*');
    await page.getByText('No replica accepts what you revoked any more').waitFor();
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    await tabTo(page, 'summary', /^Copy as text or JSON$/);
    await page.keyboard.press('Enter');
    await tabTo(page, 'button', /^Copy Text$/);
    await page.keyboard.press('Enter');
    await page.getByText('Copied').waitFor();
    await page.goto(`${instance.urls.web}/admin`);
    await page.getByLabel('Search').focus();
    await page.keyboard.press('Control+V');
    expect(await page.getByLabel('Search').inputValue()).toContain(`Target: session:${session}`);
  });

  it('keeps what was typed when the session is over, and sends it after a sign-in in another tab', async () => {
    const { session } = await alice.signIn('alice');
    await signIn('root');
    await page.goto(`${instance.urls.web}/admin/revoke?kind=session&value=${session}`);
    const [own] = (await instance.server.store.sessions.list({ account: 'demo/root', limit: 1 })).sessions;
    await instance.server.guard.revoke({ target: { kind: 'session', session: own?.id ?? '' } });
    await tabTo(page, 'input', /^Reason/);
    await page.keyboard.type('INC-4711 "><script>');
    await page.keyboard.press('Enter');
    await page.getByText('Nothing was revoked.').waitFor();
    expect(await axeFindings(page, 'every')).toEqual([]);
    const opened = page.context().waitForEvent('page');
    await tabTo(page, 'a', /^Sign in again/);
    await page.keyboard.press('Enter');
    const tab = await opened;
    await tab.getByText('Your session here was ended').waitFor();
    expect(await axeFindings(tab, 'every')).toEqual([]);
    await tabTo(tab, 'a', /^Sign in with demo/);
    await tab.keyboard.press('Enter');
    // The provider knows this browser still.
    await tab.getByRole('button', { name: 'Share and go on' }).click();
    await tab.waitForURL(`${instance.urls.web}/admin`);
    await tab.close();
    expect(await page.getByLabel('Reason').inputValue()).toBe('INC-4711 "><script>');
    await tabTo(page, 'button', /^Send it again$/);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/admin/revocations/*');
    expect(await page.textContent('main')).toContain('INC-4711 "><script>');
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });
});
