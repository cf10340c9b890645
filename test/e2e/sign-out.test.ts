import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startLogoutInstance, type LogoutInstance } from '../support/logout-instance.ts';

const CHROMIUM = {
  executablePath: '/usr/bin/chromium-headless-shell',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};

let stage: LogoutInstance;
let browser: Browser;

beforeAll(async () => {
  stage = await startLogoutInstance();
  browser = await chromium.launch(CHROMIUM);
});
afterAll(async () => {
  await browser.close();
  await stage.stop();
});

it('leads a real browser from our button through the provider’s sign-out and back, and anyone who comes next has to sign in', async () => {
  const page = await browser.newPage();
  await page.goto(`${stage.web}/login/start?provider=demo&to=me`);
  await page.waitForURL(`${stage.web}/me`);
  await page.locator('button.own').click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  // By itself, although `form-action` of the page that the button stood on names our own origin only.
  await page.waitForURL(`${stage.provider.endSession}?**`);
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.waitForURL(`${stage.web}/?state=signed-out`);
  expect(await page.getByText('You are signed out here.').isVisible()).toBe(true);
  // This provider knows one user and asks no password; a user who is signed in there does not come by the page that would.
  const asked = page.waitForRequest((request) => request.url().startsWith(`${stage.provider.issuer}/interaction/`));
  await page.goto(`${stage.web}/me`);
  await asked;
});
