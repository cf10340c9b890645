import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';

const CHROMIUM = {
  executablePath: '/usr/bin/chromium-headless-shell',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};

describe('a user at a real browser', () => {
  let instance: RunningDemo;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let urlFile: string;
  let writesUrl: string;

  beforeAll(async () => {
    instance = await startTestInstance();
    browser = await chromium.launch(CHROMIUM);
    urlFile = join(instance.files.directory, 'url-to-open');
    writesUrl = join(instance.files.directory, 'write-url');
    await writeFile(writesUrl, `#!/bin/sh\nprintf %s "$1" > '${urlFile}.new' && mv '${urlFile}.new' '${urlFile}'\n`);
    await chmod(writesUrl, 0o755);
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
  });
  afterEach(() => context.close());

  async function signInAtProvider(name: string): Promise<void> {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password').fill(`${name}-demo`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Share and go on' }).click();
  }

  async function signInToPages(name: string): Promise<void> {
    await page.goto(instance.urls.web);
    await page.getByRole('link', { name: 'Sign in with demo' }).click();
    await signInAtProvider(name);
    await page.waitForURL(`${instance.urls.web}/me`);
  }

  /** What the plugin asked the browser to open. */
  async function askedUrl(): Promise<string> {
    await expect.poll(() => readFile(urlFile, 'utf8').catch(() => ''), { timeout: 20_000 }).toMatch(/^http/);
    return readFile(urlFile, 'utf8');
  }

  it('signs in through the provider, and the kubectl that waited goes on by itself', async () => {
    const alice = new CliContext(instance, 'alice', { BROWSER: writesUrl });
    const kubectl = alice.open('kubectl', ['get', 'pods']);
    await page.goto(await askedUrl());
    await signInAtProvider('alice');
    await page.getByRole('heading', { name: /signed in/i }).waitFor();
    expect(await page.textContent('main')).toMatch(/may close this tab/i);
    expect(new URL(page.url()).search).toBe('');
    const got = await kubectl.finished;
    expect(got.code, got.all).toBe(0);
    expect(got.stdout).toContain('web-1');
    // No second sign-in: the credential is kept.
    expect((await alice.kubectl('auth', 'whoami')).stdout).toContain('demo:alice');
  });

  it('shows a user their sessions, and lets them end one', async () => {
    const bob = new CliContext(instance, 'bob');
    expect((await bob.portcullis('login', '--device-name', 'bobs-laptop')).code).toBe(0);
    await signInToPages('bob');
    expect(await page.textContent('main')).toContain('demo:bob');
    await page
      .getByRole('row', { name: /kubectl/ })
      .getByRole('button', { name: /^Sign out bobs-laptop/ })
      .click();
    await page.waitForLoadState();
    const refused = await new CliContext(instance, 'bob', { PORTCULLIS_NO_BROWSER: '1' }).kubectl('get', 'pods');
    expect(refused.code, refused.all).toBe(1);
    expect(refused.stderr).toMatch(/portcullis login/);
  });

  it('lets an administrator end a session from the admin page: the open watch is cut', async () => {
    const alice = new CliContext(instance, 'alice');
    const watch = alice.open('kubectl', ['get', 'pods', '--watch']);
    await watch.until(/web-1/);
    await signInToPages('root');
    await page.getByRole('link', { name: 'Users', exact: true }).click();
    await page
      .getByRole('row', { name: /demo:alice.*kubectl/ })
      .first()
      .getByRole('link', { name: /revoke/i })
      .click();
    await page.getByLabel(/reason/i).fill('lost laptop');
    await page.getByRole('button', { name: /revoke/i }).click();
    await page.getByRole('status').filter({ hasText: 'Complete.' }).waitFor();
    expect((await watch.finished).stdout).toContain('your session was ended');
  });

  it('keeps an ordinary user out of the admin page', async () => {
    await signInToPages('alice');
    const answer = await page.goto(`${instance.urls.web}/admin`);
    expect(answer?.status()).toBe(403);
  });
});
