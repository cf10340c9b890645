/** Every page at a real browser, as every user who can see it, in light and dark, from a telephone to a wall. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watch, type Watched } from '../support/pages-browser.ts';
import {
  ALL_WIDTHS,
  ARTEFACTS,
  axeFindings,
  keepPicture,
  resize,
  SCHEMES,
  stickingOut,
  WIDTHS,
} from '../support/pages-checks.ts';
import { htmlErrors } from '../support/pages-html-validate.ts';
import { startPagesStage, type PagesStage, type Who } from '../support/pages-stage.ts';
import { PAGES, type PageRow } from './pages-table.ts';

const BUDGET_BYTES = 50_000;
/** Pictures of every page are for developers, and take a third of the time. */
const KEEPS_PICTURES = process.env['PORTCULLIS_TEST_PICTURES'] === 'true';

const LOOKED_AT = ['body', 'main', 'main > .card', 'h1', '.notice', '.button', '.top', '.brand'];
const PROPERTIES = ['color', 'background-color', 'font-family', 'padding', 'border-radius'];

describe.each(PAGES)('the page $name', (row) => {
  // For whom it holds the most: the others see parts of the same markup.
  const examined: readonly Who[] = row.who.includes('root') ? ['root'] : row.who;

  it.each(row.who)('has valid HTML, fits its widths, stays within its budget and passes axe for %s', async (who) => {
    await using opened = await open(row, who);
    const { page, watched } = opened;
    const response = watched.document();
    expect(response.status()).toBe(row.status ?? 200);
    expect(await page.title()).toMatch(row.title);
    expect(await page.locator('h1').allInnerTexts()).toEqual([expect.stringMatching(row.heading)]);
    expect(await htmlErrors(await response.text())).toEqual([]);
    const transferred = await watched.transferred();
    const bytes = transferred.reduce((sum, one) => sum + one.bytes, 0);
    expect(bytes, JSON.stringify(transferred)).toBeLessThanOrEqual(BUDGET_BYTES);
    expect(await layoutErrors(page, `${row.name}-${who}`)).toEqual([]);
    // When all of the page has run, and nothing of the test has.
    expect(watched.foreign).toEqual([]);
    expect(watched.errors).toEqual([]);
    if (!examined.includes(who)) return;
    // Colours depend on the scheme, and what is shown on the width: each end of both is enough.
    for (const [index, scheme] of SCHEMES.entries()) {
      const width = WIDTHS.at(-index) ?? 0;
      await page.emulateMedia({ colorScheme: scheme });
      await resize(page, width);
      expect(await axeFindings(page), `${scheme}, ${width} px`).toEqual([]);
    }
  });
});

it('shows its pages on foreign hosts, where the style sheet has no path, as it shows the others', async () => {
  const looks: Record<string, unknown> = {};
  for (const name of ['foreign-host', 'not-found']) {
    const row = PAGES.find((one) => one.name === name);
    if (row === undefined) throw new Error(`there is no page ${name}`);
    await using opened = await open(row, 'anonymous');
    looks[name] = await Promise.all(
      LOOKED_AT.map((selector) =>
        opened.page.locator(selector).evaluate((element, names) => {
          const style = element.ownerDocument.defaultView?.getComputedStyle(element);
          return names.map((property) => style?.getPropertyValue(property));
        }, PROPERTIES),
      ),
    );
  }
  expect(looks['foreign-host']).toEqual(looks['not-found']);
});

it('shows 25 sessions on a screen of 1440 x 900', async () => {
  const row = PAGES.find(({ name }) => name === 'sessions');
  if (row === undefined) throw new Error('there is no such page');
  await using opened = await open(row, 'root');
  await resize(opened.page, 1440);
  const rows = opened.page.locator('tbody tr');
  expect(await rows.count()).toBe(25);
  const last = await rows.last().boundingBox();
  expect((last?.y ?? Infinity) + (last?.height ?? 0)).toBeLessThanOrEqual(900);
});

it('shows the text around a name where it belongs, whatever direction the name is written in', async () => {
  const row = PAGES.find(({ name }) => name === 'person-locked');
  if (row === undefined) throw new Error('there is no such page');
  await using opened = await open(row, 'root');
  // What turns all that follows it, as long as nothing ends it.
  const between = await opened.page.evaluate<number>(`(() => {
    const code = document.querySelector('.lead code');
    code.textContent = 'demo/\\u202Ebob';
    const after = document.createRange();
    after.setStart(code.nextSibling, 0);
    after.setEnd(code.nextSibling, 1);
    return after.getBoundingClientRect().left - code.getBoundingClientRect().right;
  })()`);
  expect(Math.abs(between)).toBeLessThan(1);
});

/** What is on paper: the elements that can only be pressed, the colours of text, and what is cut off. */
const PRINTED = `(() => {
  const all = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility());
  const texts = all.filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ''));
  return {
    pressed: all.filter((one) => one.matches('nav, form, button, .button, .revoke')).map((one) => one.outerHTML.slice(0, 80)),
    ground: getComputedStyle(document.body).backgroundColor,
    colours: [...new Set(texts.map((one) => getComputedStyle(one).color))],
    cut: all
      .filter((one) => !one.matches('.visually-hidden, thead') && getComputedStyle(one).overflowX !== 'visible')
      .filter((one) => one.scrollWidth > one.clientWidth + 1)
      .map((one) => one.outerHTML.slice(0, 80)),
  };
})()`;

it.each(['receipt', 'audit-request', 'sessions', 'person-hard'])(
  'prints the page %s black on white, and whole',
  async (name) => {
    const row = PAGES.find((one) => one.name === name);
    if (row === undefined) throw new Error('there is no such page');
    await using opened = await open(row, 'root');
    const { page } = opened;
    // A4 with usual margins, and a screen that is dark.
    await page.setViewportSize({ width: 718, height: 1047 });
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    const [white, black] = ['rgb(255, 255, 255)', 'rgb(0, 0, 0)'];
    expect(await page.evaluate(PRINTED)).toEqual({ pressed: [], ground: white, colours: [black], cut: [] });
    if (KEEPS_PICTURES) await keepPicture(page, `${name}-print`);
  },
);

let stage: PagesStage;
beforeAll(async () => {
  stage = await startPagesStage();
});
afterAll(async () => {
  await stage.stop();
  if (KEEPS_PICTURES) console.log(`pictures of every page: ${ARTEFACTS}`);
});

interface Opened extends AsyncDisposable {
  readonly page: Page;
  readonly watched: Watched;
}

/** In its own context, so that nothing of it is in a cache. */
async function open({ at }: PageRow, who: Who): Promise<Opened> {
  const { web } = stage.instance.urls;
  const context = await stage.context(who);
  const page = await context.newPage();
  const watched = watch(page, web);
  if (typeof at === 'object') await at.steps(page, stage);
  else await page.goto(web + (typeof at === 'string' ? at : at(stage)));
  return { page, watched, [Symbol.asyncDispose]: () => context.close() };
}

/** Checks the page at each width, and keeps pictures where they are asked for. */
async function layoutErrors(page: Page, name: string): Promise<readonly string[]> {
  const errors: string[] = [];
  for (const width of ALL_WIDTHS) {
    await resize(page, width);
    errors.push(...(await stickingOut(page)).map((error) => `${width} px: ${error}`));
  }
  if (!KEEPS_PICTURES) return errors;
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const width of WIDTHS) {
      await resize(page, width);
      await keepPicture(page, `${name}-${width}-${scheme}`);
    }
  }
  return errors;
}
