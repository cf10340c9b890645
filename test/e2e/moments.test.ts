import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { chromium, type Browser as Chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { cookiesOf } from '../unit/web/cookies.ts';
import { browserAt, closeStages, openStage, openSession, signIn, type Stage } from '../unit/web/harness.ts';

const CHROMIUM = {
  executablePath: '/usr/bin/chromium-headless-shell',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};

let chrome: Chromium;
let server: Server | undefined;

beforeAll(async () => {
  chrome = await chromium.launch(CHROMIUM);
});
afterEach(async () => {
  server?.close();
  server?.closeAllConnections();
  await closeStages();
});
afterAll(() => chrome.close());

/** The own page of a user with sessions of several ages, in New York, at the time of the server's clock. */
async function ownPage(stage: Stage, cookies: string, javaScriptEnabled: boolean): Promise<Page> {
  if (server?.listening !== true) {
    server = createServer(stage.web.app).listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const context = await chrome.newContext({ javaScriptEnabled, locale: 'en-US', timezoneId: 'America/New_York' });
  await context.addCookies(
    cookies.split('; ').map((pair) => ({ name: pair.split('=')[0] ?? '', value: pair.split('=')[1] ?? '', url })),
  );
  const page = await context.newPage();
  await page.clock.setFixedTime(stage.clock.nowMs());
  await page.goto(`${url}me`);
  return page;
}

async function aged(): Promise<{ readonly stage: Stage; readonly cookies: string }> {
  const stage = await openStage();
  for (const [id, seconds] of Object.entries({ old: 3 * 60, older: 40 * 60, newest: 59 })) {
    await openSession(stage, id, 'alice');
    stage.clock.advance(seconds);
  }
  const browser = browserAt(stage);
  await signIn(browser, 'alice');
  return { stage, cookies: cookiesOf(browser) };
}

/** How long ago the sessions were used, as the titles say. */
const agoOn = (page: Page): Promise<string[]> =>
  page
    .locator('td[data-label="Last used"] time')
    .evaluateAll((times) => times.map((time) => time.title.split(' (')[0] ?? ''));

it('shows moments in the reader’s own zone, with the exact one on hover', async () => {
  const { stage, cookies } = await aged();
  const page = await ownPage(stage, cookies, true);
  const first = page.locator('time').last();
  await expect.poll(() => first.textContent()).toMatch(/Nov 25, 2026, 7:00\sAM/);
  expect(await first.getAttribute('title')).toBe('43 min ago (2026-11-25T12:00:00Z)');
  expect(await page.locator('caption').first().textContent()).toContain('America/New_York');
});

it('says how long ago in the same way as the page without scripts, which says that its times are UTC', async () => {
  const { stage, cookies } = await aged();
  const plain = await ownPage(stage, cookies, false);
  const scripted = await ownPage(stage, cookies, true);
  await expect.poll(() => scripted.locator('caption').first().textContent()).toContain('New_York');
  expect(await agoOn(plain)).toEqual(['just now', 'just now', '40 min ago', '43 min ago']);
  expect(await agoOn(scripted)).toEqual(await agoOn(plain));
  expect(await plain.locator('caption').first().innerText()).toContain('Times are in UTC');
  expect(await plain.locator('time').last().textContent()).toBe('25 Nov 2026, 12:00');
});
