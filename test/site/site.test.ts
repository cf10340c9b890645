/** The documentation as a site, in Chromium: every page, from a server and from a folder. */
import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openChromium, watch } from '../support/pages-browser.ts';
import { axeFindings, resize, SCHEMES } from '../support/pages-checks.ts';
import { buildSite, type BuiltSite } from './built-site.ts';

/** What lies beyond the edge of a table or a block that scrolls is not judged there; the same colours are at other widths. */
const HIDDEN = /partially obscured/;

let site: BuiltSite;
let browser: Browser;
beforeAll(async () => {
  [site, browser] = await Promise.all([
    buildSite(true, ['--repository', 'https://git.example/portcullis']),
    openChromium(['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await site?.[Symbol.asyncDispose]();
});

const attributes = (html: string, names: string): readonly string[] =>
  [...html.matchAll(new RegExp(` (?:${names})="([^"]*)"`, 'g'))].map(([, value = '']) =>
    value.replaceAll('&amp;', '&'),
  );

describe('the files', () => {
  /** Where links, pictures, scripts, styles and versions lead: a file below the folder, and an id in it. */
  async function brokenIn(page: string, texts: ReadonlyMap<string, string>): Promise<readonly string[]> {
    const links = attributes(texts.get(page) ?? '', 'href|src|srcset').concat(
      attributes(texts.get(page) ?? '', 'value').filter((value) => value.endsWith('.html')),
    );
    const ids = (file: string): ReadonlySet<string> => new Set(attributes(texts.get(file) ?? '', 'id'));
    const broken = await Promise.all(
      links
        .filter((link) => !/^(?:https:|mailto:|data:)/.test(link))
        .map(async (link) => {
          const [path = '', anchor] = link.split('#');
          const file = path === '' ? page : posix.join(posix.dirname(page), decodeURI(path));
          const there =
            texts.has(file) ||
            (await readFile(join(site.folder, file)).then(
              () => true,
              () => false,
            ));
          return there && (anchor === undefined || anchor === '_top' || ids(file).has(decodeURIComponent(anchor)))
            ? []
            : [`${page}: ${link}`];
        }),
    );
    return broken.flat();
  }

  it('lead only to what is there, whatever the address of the site is', async () => {
    const texts = new Map(
      await Promise.all(
        site.pages.map(async (page) => [page, await readFile(join(site.folder, page), 'utf8')] as const),
      ),
    );
    // These two know their address, because a server shows them at any depth.
    const pages = site.pages.filter((page) => !page.endsWith('404.html'));
    expect(pages.length).toBeGreaterThan(250);
    expect((await Promise.all(pages.map((page) => brokenIn(page, texts)))).flat()).toEqual([]);
    expect(
      pages.flatMap((page) => attributes(texts.get(page) ?? '', 'href|src').filter((link) => link.startsWith('/'))),
    ).toEqual([]);
  });

  it('lead to the repository for a source file, at the state that the page is of', async () => {
    const html = await readFile(join(site.folder, '0.1.0/architecture.html'), 'utf8');
    expect(html).toContain('href="https://git.example/portcullis/blob/v0.1.0/src/main.ts"');
    const next = await readFile(join(site.folder, 'next/architecture.html'), 'utf8');
    expect(next).toMatch(/href="https:\/\/git\.example\/portcullis\/blob\/[0-9a-f]{40}\/src\/main\.ts"/);
  });

  it('have a policy that allows no script and no style but their own', async () => {
    const html = await readFile(join(site.folder, 'next/revocation.html'), 'utf8');
    const [policy = ''] = attributes(html, 'content').filter((text) => text.startsWith('default-src'));
    expect(policy).toMatch(/^default-src 'none'; script-src 'self' /);
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|https?:|\*/);
  });
});

describe('every page in Chromium', () => {
  it('has no error in the console, asks no other host, and has no finding of axe', async () => {
    const pages = site.pages.filter((page) => page.startsWith('next/'));
    const findings: string[] = [];
    const queue = pages.entries();
    const visit = async (): Promise<void> => {
      const context = await browser.newContext({ reducedMotion: 'reduce' });
      const page = await context.newPage();
      const watched = watch(page, new URL(site.url).origin);
      for (const [index, path] of queue) {
        // By turns, so that each colour scheme and each width meets pages of every kind.
        await page.emulateMedia({ colorScheme: SCHEMES[index % 2] ?? 'light' });
        await resize(page, index % 4 < 2 ? 1440 : 390);
        await page.goto(`${site.url}${path}`);
        const wide = await page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth');
        if (wide === true) findings.push(`${path}: wider than the window`);
        findings.push(
          ...[
            ...watched.errors,
            ...watched.foreign,
            ...(await axeFindings(page, 'every')).filter((one) => !HIDDEN.test(one)),
          ].map((one) => `${path}: ${one}`),
        );
      }
      await context.close();
    };
    await Promise.all([visit(), visit()]);
    expect(pages.length).toBeGreaterThan(130);
    expect(findings).toEqual([]);
  }, 600_000);
});

describe.each(['from a server', 'from a folder'])('%s', (from) => {
  const open = async (
    path: string,
    scheme: 'light' | 'dark' = 'light',
  ): Promise<{ page: Page; errors: readonly string[] }> => {
    const base = from === 'from a server' ? site.url : `${pathToFileURL(site.folder).href}/`;
    const page = await (await browser.newContext({ colorScheme: scheme })).newPage();
    const { errors } = watch(page, new URL(base).origin);
    await page.goto(`${base}${path}`);
    return { page, errors };
  };

  it('finds a word, and leads to its heading', async () => {
    const { page, errors } = await open('next/runbooks/down.html');
    await page.keyboard.press('/');
    await page.getByRole('searchbox').fill('lease lapsed');
    await expect.poll(() => page.getByRole('status').textContent()).toMatch(/^\d+ found$/);
    await page.getByRole('searchbox').fill('quokka');
    await expect
      .poll(() => page.locator('site-search li').allTextContents())
      .toEqual([expect.stringContaining('Since then')]);
    expect(await axeFindings(page, 'every')).toEqual([]);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/next\/since-then\.html$/);
    expect(errors).toEqual([]);
  });

  it('says that nothing was found, and takes what is typed for no markup', async () => {
    const { page } = await open('next/index.html');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('searchbox').fill('<img src=x onerror=alert(1)>zzzzqq');
    await expect.poll(() => page.getByRole('status').textContent()).toBe('Nothing found.');
    expect(await page.locator('site-search dialog img').count()).toBe(0);
  });

  it('leads from the top to the newest release, and to the same page of another version', async () => {
    const { page } = await open('index.html');
    await page.waitForURL(/\/0\.1\.0\/index\.html$/);
    await page.goto(new URL('revocation.html', page.url()).href);
    await page.getByLabel('Version').first().selectOption({ label: 'Unreleased' });
    await page.waitForURL(/\/next\/revocation\.html$/);
    await expect.poll(() => page.getByText('This is about what is not released yet').count()).toBe(1);
    await page.goto(new URL('since-then.html', page.url()).href);
    // The release does not have this page.
    await page.getByLabel('Version').first().selectOption({ label: '0.1.0' });
    await page.waitForURL(/\/0\.1\.0\/index\.html$/);
  });

  it('is dark where the reader wants it, by the system or by choice', async () => {
    const { page, errors } = await open('0.1.0/glossary.html', 'dark');
    const theme = () => page.evaluate('document.documentElement.dataset.theme');
    expect(await theme()).toBe('dark');
    await page.getByLabel('Select theme').first().selectOption('light');
    expect(await theme()).toBe('light');
    await page.reload();
    expect(await theme()).toBe('light');
    expect(errors).toEqual([]);
  });
});

it('shows the page for what is not found at any depth, with its styles and its navigation', async () => {
  const page = await browser.newPage();
  const { errors } = watch(page, new URL(site.url).origin);
  const response = await page.goto(`${site.url}next/no/such/page.html`);
  expect(response?.status()).toBe(404);
  await page.getByRole('link', { name: 'Portcullis' }).first().click();
  await page.waitForURL(/\/portcullis\/0\.1\.0\/index\.html$/);
  expect(errors).toEqual([]);
});

it('shows source files as paths where no repository is known, and what is not released while nothing is', async () => {
  await using plain = await buildSite(false);
  const html = await readFile(join(plain.folder, 'next/architecture.html'), 'utf8');
  expect(html).toContain('<code>src/main.ts</code>');
  expect(html).not.toContain('git.example');
  expect(html).toMatch(/<span class="version">\d+\.\d+\.\d+, unreleased<\/span>/);
  expect(await readFile(join(plain.folder, 'index.html'), 'utf8')).toContain('url=next/index.html');
}, 120_000);
