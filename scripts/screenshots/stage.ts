/** What the pictures show: the demo with three replicas, and users at work. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { addRole } from './access.ts';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { demoPorts, USERS } from '../../demo/demo.ts';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import { freePort, takenPorts } from '../../demo/ports.ts';
import { startRedisServer } from '../../demo/redis-server.ts';
import { startReplicas, type Replicas } from '../../demo/tour/replicas.ts';
import { Terminal } from '../../demo/tour/terminal.ts';

/** Each user's own computer. */
const DEVICES: Readonly<Record<string, string>> = {
  alice:
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15',
  bob: 'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
  vera: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0',
  root: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
};

const SIGN_IN_WITHIN_MS = 30_000;

export interface Stage extends AsyncDisposable {
  readonly demo: RunningDemo;
  readonly replicas: Replicas;
  /** A browser on this user's computer, before any sign-in. */
  newBrowser(user: string): Promise<BrowserContext>;
  /** Signs in at the pages, and shows the user's own page. */
  signIn(context: BrowserContext, user: string): Promise<Page>;
  /** Signs in kubectl, by `portcullis login`. */
  terminal(user: string): Promise<Terminal>;
}

async function freePortBase(): Promise<number> {
  for (;;) {
    const base = await freePort();
    if ((await takenPorts(demoPorts(base))).length === 0) return base;
  }
}

async function typeAtProvider(page: Page, user: string): Promise<void> {
  const who = USERS.find(({ name }) => name === user);
  if (who === undefined) throw new Error(`there is no user ${user}`);
  // Anyone who is known there already is only asked whether to go on.
  if (await page.getByLabel('Password').isVisible()) {
    await page.getByLabel('Name').fill(who.name);
    await page.getByLabel('Password').fill(who.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
  await page.getByRole('button', { name: 'Share and go on' }).click();
}

/** @returns the URL that the plugin would have opened */
async function askedUrl(file: string): Promise<string> {
  const deadline = performance.now() + SIGN_IN_WITHIN_MS;
  while (performance.now() < deadline) {
    const url = await readFile(file, 'utf8').catch(() => '');
    if (url !== '') return url;
    await pause(50);
  }
  throw new Error('the plugin opened no browser');
}

async function loginOf(demo: RunningDemo, browser: Browser, user: string): Promise<Terminal> {
  const { directory, command } = demo.files;
  const [asked, opener] = [join(directory, `asked-by-${user}`), join(directory, `browser-of-${user}`)];
  // Of an earlier sign-in.
  await rm(asked, { force: true });
  await writeFile(opener, `#!/bin/sh\nprintf %s "$1" > '${asked}.new' && mv '${asked}.new' '${asked}'\n`);
  await chmod(opener, 0o755);
  const env = { ...process.env, PORTCULLIS_CACHE_DIR: join(directory, 'cache', user), BROWSER: opener };
  // Not the name of the machine that makes the pictures.
  const login = ['login', '--server', demo.urls.web, '--device-name', `${user}-laptop`];
  const child = spawn(command, login, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const context = await browser.newContext({ userAgent: DEVICES[user] ?? '' });
  const page = await context.newPage();
  const ended = once(child, 'exit') as Promise<[number | null]>;
  await page.goto(await askedUrl(asked));
  await typeAtProvider(page, user);
  const [code] = await ended;
  if (code !== 0) throw new Error(`portcullis login of ${user} ended with ${code}`);
  await context.close();
  return new Terminal(demo.files, user, { browser: false });
}

/** @throws Error where Chromium, kubectl or redis-server is missing */
export async function openStage(): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-screenshots-'));
  const stops = new AsyncDisposableStack();
  stops.defer(() => rm(directory, { recursive: true, force: true }));
  try {
    const base = await freePortBase();
    const demo = await startDemo({ directory, portBase: base });
    stops.defer(() => demo.stop());
    // Its ports are the first replica's.
    await demo.server.stop();
    await addRole(demo.files.config);
    const redis = await startRedisServer(directory);
    if (redis === undefined) throw new Error('the pictures need redis-server');
    stops.defer(() => redis.stop());
    const replicas = stops.use(await startReplicas(demo.files, demoPorts(base), redis.url));
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium-headless-shell',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    });
    stops.defer(() => browser.close());
    return {
      demo,
      replicas,
      newBrowser: (user) =>
        browser.newContext({
          viewport: { width: 1440, height: 900 },
          deviceScaleFactor: 1,
          colorScheme: 'light',
          reducedMotion: 'reduce',
          locale: 'en-GB',
          timezoneId: 'Europe/Zurich',
          userAgent: DEVICES[user] ?? '',
        }),
      async signIn(context, user) {
        const page = await context.newPage();
        await page.goto(`${demo.urls.web}/login/start?provider=demo&to=me`);
        await typeAtProvider(page, user);
        await page.waitForURL(`${demo.urls.web}/me`);
        return page;
      },
      terminal: (user) => loginOf(demo, browser, user),
      [Symbol.asyncDispose]: () => stops.disposeAsync(),
    };
  } catch (error) {
    await stops.disposeAsync();
    throw error;
  }
}
