/**
 * Chromium without a window (its headless shell, half the CPU of the whole browser) as Debian ships it, and what a page
 * of this project did there that it must not do.
 */
import {
  chromium,
  type Browser,
  type BrowserContext,
  type ConsoleMessage,
  type Page,
  type Response,
} from 'playwright-core';
import { USERS } from '../../demo/demo.ts';

/** @param args in addition to the usual, such as `--host-resolver-rules` */
export function openChromium(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium-headless-shell',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', ...args],
  });
}

/** What a page's load cost and did; from the last document on, so that the steps to a page do not count. */
export interface Watched {
  /** The document that the page shows, as the server sent it. */
  document(): Response;
  /** Console errors, violations of the content security policy included, and exceptions. */
  readonly errors: readonly string[];
  /** URLs at other origins. */
  readonly foreign: readonly string[];
  /** Heads and bodies of all responses, without what a live view reads: a stream has no end, and its size is that of the traffic. */
  transferred(): Promise<readonly Transfer[]>;
}

interface Transfer {
  readonly path: string;
  readonly bytes: number;
}

/** Chromium says of each document with such a status that it "failed to load". That is no error where the test expects that status. */
const saysStatus = (message: ConsoleMessage, page: Page): boolean =>
  message.text().startsWith('Failed to load resource: the server responded') && message.location().url === page.url();

async function transferOf(response: Response): Promise<Transfer> {
  const { responseHeadersSize, responseBodySize } = await response.request().sizes();
  return { path: new URL(response.url()).pathname, bytes: responseHeadersSize + responseBodySize };
}

/** Streams, and the events that `audit.js` reads between the page and its stream: all of the last two seconds, of every user. */
const isLive = (response: Response): boolean =>
  response.headers()['content-type']?.startsWith('text/event-stream') === true ||
  new URL(response.url()).pathname === '/admin/api/v1/audit/events';

/** @param origin the server's */
export function watch(page: Page, origin: string): Watched {
  const errors: string[] = [];
  const foreign: string[] = [];
  let responses: Response[] = [];
  let document: Response | undefined;
  page.on('console', (message) => {
    if (message.type() === 'error' && !saysStatus(message, page)) errors.push(message.text());
  });
  page.on('pageerror', (error) => void errors.push(error.message));
  page.on('request', (request) => {
    const isDocument = request.isNavigationRequest() && request.frame() === page.mainFrame();
    // The way to a page may lead over the identity provider.
    if (isDocument) [errors.length, foreign.length] = [0, 0];
    else if (new URL(request.url()).origin !== origin) foreign.push(request.url());
  });
  page.on('response', (response) => {
    const request = response.request();
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) {
      responses = [];
      document = response;
    }
    responses.push(response);
  });
  return {
    document: () => {
      if (document === undefined) throw new Error('the page shows no document yet');
      return document;
    },
    errors,
    foreign,
    transferred: () => Promise.all(responses.filter((response) => !isLive(response)).map(transferOf)),
  };
}

/** Types name and password at the demo's provider, and agrees to what it asks. */
export async function signInAtProvider(page: Page, user: string): Promise<void> {
  const who = USERS.find(({ name }) => name === user);
  if (who === undefined) throw new Error(`no user is called ${user}`);
  await page.getByLabel('Name').fill(who.name);
  await page.getByLabel('Password').fill(who.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Share and go on' }).click();
}

/** Signs a user in at the server's pages, in a context of their own. @param web the server's address */
export async function signedInContext(browser: Browser, web: string, user: string): Promise<BrowserContext> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${web}/login/start?provider=demo&to=me`);
  await signInAtProvider(page, user);
  await page.waitForURL(`${web}/me`);
  await page.close();
  return context;
}
