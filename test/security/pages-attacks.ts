/** What a page can try against another origin with nothing but a browser in which a user is signed in there, and the results. */
import type { Page } from 'playwright-core';

/** A form of the server, as a user with an account sees it. */
export interface SeenForm {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface Seen {
  /** Paths, with their queries, of the pages that links lead to: one of each kind, such as one session's. */
  readonly pages: readonly string[];
  readonly forms: readonly SeenForm[];
}

/**
 * Follows every link of the server's pages. The page's context must bypass the content security policy.
 * @param from paths to begin at
 * @returns what can be got by GET, and the forms that stand there; one of each kind
 */
export const crawl = (page: Page, from: readonly string[]): Promise<Seen> =>
  page
    .evaluate<Seen>(`(async () => {
    const [pages, waiting, forms] = [new Set(), ${JSON.stringify(from)}, new Map()];
    for (let path = waiting.shift(); path !== undefined && pages.size < 100; path = waiting.shift()) {
      if (pages.has(path)) continue;
      pages.add(path);
      // The way to the identity provider cannot be followed by a script.
      const answer = await fetch(path).catch(() => undefined);
      if (answer?.headers.get('content-type')?.startsWith('text/html') !== true) continue;
      const seen = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const link of seen.querySelectorAll('a[href^="/"]')) waiting.push(link.getAttribute('href'));
      for (const form of seen.querySelectorAll('form')) {
        if (form.method !== 'post') continue;
        const action = form.getAttribute('action');
        forms.set(action, { action, fields: Object.fromEntries(new FormData(form)) });
      }
    }
    return { pages: [...pages], forms: [...forms.values()] };
  })()`)
    .then(({ pages, forms }) => ({
      pages: oneOfEach(pages, (path) => path),
      forms: oneOfEach(forms, ({ action }) => action),
    }));

/** What differs only in whose it is, or what it asks for, is of one kind. */
function oneOfEach<T>(all: readonly T[], pathOf: (one: T) => string): readonly T[] {
  const kindOf = (path: string): string =>
    path.replaceAll(/=[^&]*/g, '').replace(/^(\/(?:(?:me|admin)\/(?:sessions|accounts)|access)\/)[^/?]+/, '$1');
  return [...new Map(all.map((one) => [kindOf(pathOf(one)), one])).values()];
}

const submitting = (target: string, url: string, fields: object): string => `(() => {
  const form = Object.assign(document.createElement('form'), { method: 'post', action: ${JSON.stringify(url)}, target: '${target}' });
  for (const [name, value] of Object.entries(${JSON.stringify(fields)})) {
    form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
  }
  document.body.append(form);
  form.submit();
})()`;

/** Sends a form as the next document of its own window. @returns the status of the response */
export async function postFromTop(page: Page, url: string, fields: object): Promise<number> {
  const context = page.context();
  const [opened, answered] = await Promise.all([
    context.waitForEvent('page'),
    context.waitForEvent('response', (response) => response.request().method() === 'POST'),
    page.evaluate(submitting('_blank', url, fields)),
  ]);
  await opened.close();
  return answered.status();
}

/** Sends a form into a frame of the page. @returns the status of the response */
export async function postFromFrame(page: Page, url: string, fields: object): Promise<number> {
  const answered = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.evaluate(`document.body.append(Object.assign(document.createElement('iframe'), { name: 'hidden' }))`);
  await page.evaluate(submitting('hidden', url, fields));
  const status = (await answered).status();
  await page.evaluate(`document.querySelector('iframe').remove()`);
  return status;
}

/** @returns `blocked`, or what the page's script has learned */
export const fetched = (page: Page, url: string, init: object): Promise<string> =>
  page.evaluate<string>(`fetch(${JSON.stringify(url)}, ${JSON.stringify({ credentials: 'include', ...init })}).then(
    async (answer) => [answer.status, answer.type, await answer.text()].join(' '),
    () => 'blocked',
  )`);

/** Loads something by an element that needs no permission. @returns `blocked`, or `loaded` */
export const embedded = (page: Page, element: 'img' | 'script' | 'video' | 'link', url: string): Promise<string> =>
  page.evaluate<string>(`new Promise((resolve) => {
    const one = document.createElement('${element}');
    one.addEventListener('error', () => resolve('blocked'));
    for (const event of ['load', 'loadeddata']) one.addEventListener(event, () => resolve('loaded'));
    one.rel = 'stylesheet';
    one['${element === 'link' ? 'href' : 'src'}'] = ${JSON.stringify(url)};
    document.body.append(one);
  })`);

/** Shows a page in a frame of any kind. @returns where each frame has ended up */
export async function framed(
  page: Page,
  element: 'iframe' | 'object' | 'embed',
  url: string,
): Promise<readonly string[]> {
  await page.evaluate(`new Promise((resolve) => {
    const one = document.createElement('${element}');
    for (const event of ['load', 'error']) one.addEventListener(event, resolve);
    one['${element === 'object' ? 'data' : 'src'}'] = ${JSON.stringify(url)};
    document.body.append(one);
  }).then(() => true)`);
  const frames = page.frames().filter((frame) => frame.parentFrame() !== null);
  await page.evaluate(`document.querySelector('${element}').remove()`);
  return frames.map((frame) => frame.url());
}

/** @returns `blocked`, or what came */
export const streamed = (page: Page, url: string): Promise<string> =>
  page.evaluate<string>(`new Promise((resolve) => {
    const source = new EventSource(${JSON.stringify(url)}, { withCredentials: true });
    source.onopen = () => resolve('opened');
    source.onmessage = ({ data }) => resolve(data);
    source.onerror = () => { source.close(); resolve('blocked'); };
  })`);

/** @returns `blocked`, or `opened` */
export const socketed = (page: Page, url: string): Promise<string> =>
  page.evaluate<string>(`new Promise((resolve) => {
    const socket = new WebSocket(${JSON.stringify(url.replace(/^http/, 'ws'))});
    socket.onopen = () => resolve('opened');
    socket.onerror = () => resolve('blocked');
  })`);

/** Opens a window and keeps hold of it. @returns whether the page still reaches the window, and the window the page */
export async function openedWindow(
  page: Page,
  url: string,
): Promise<{ readonly reaches: boolean; readonly isReached: boolean }> {
  const opening = page.waitForEvent('popup');
  await page.evaluate(`void (globalThis.opened = window.open(${JSON.stringify(url)}))`);
  const popup = await opening;
  await popup.waitForLoadState();
  const isReached = await popup.evaluate<boolean>('window.opener !== null');
  await page.waitForFunction('globalThis.opened.closed', undefined, { timeout: 5_000 }).catch(() => undefined);
  const reaches = await page.evaluate<boolean>('!globalThis.opened.closed');
  await popup.close();
  return { reaches, isReached };
}

/** Until the browser shows something of that origin, or has put it on disk. */
async function landedAt(page: Page, url: string): Promise<void> {
  const { origin } = new URL(url);
  await Promise.any([page.waitForURL((now) => now.origin === origin), page.waitForEvent('download')]);
}

/** Leads the browser there as a link does, with the cookies that such a step carries. */
export async function ledTo(page: Page, url: string): Promise<void> {
  await Promise.all([landedAt(page, url), page.evaluate(`location.assign(${JSON.stringify(url)})`)]);
}

/** The same, in its own window. */
export async function ledToInNewWindow(page: Page, url: string): Promise<void> {
  const opening = page.waitForEvent('popup');
  // A window in which only a download began shows nothing; its opener is told.
  const saved = page.waitForEvent('download', { timeout: 0 });
  await page.evaluate(`void window.open(${JSON.stringify(url)})`);
  const popup = await opening;
  await Promise.any([landedAt(popup, url), saved]);
  await popup.close();
}
