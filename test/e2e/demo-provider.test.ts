/** The pages of the demo's identity provider, which a newcomer sees before any of Portcullis' own. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { openChromium } from '../support/pages-browser.ts';

describe.each([390, 1440])('the identity provider of the demo in %i columns of pixels', (width) => {
  let instance: RunningDemo;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    [instance, browser] = await Promise.all([startTestInstance(), openChromium()]);
    page = await browser.newPage({ viewport: { width, height: 844 } });
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });

  it('has nothing that is wider than its form', async () => {
    await page.goto(`${instance.urls.web}/login/start?provider=demo&to=me`);
    const [form, table] = await Promise.all(['form', 'table'].map((part) => page.locator(part).boundingBox()));
    expect(table?.width).toBe(form?.width);
  });

  it('takes no for an answer, and Portcullis shows that the sign-in was rejected', async () => {
    await page.getByLabel('Name').fill('alice');
    await page.getByLabel('Password').fill('alice-demo');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'Sign-in rejected' }).waitFor();
    expect(new URL(page.url()).origin).toBe(instance.urls.web);
  });
});
