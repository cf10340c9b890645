/** What holds for every page of this project, whatever is on it. */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const AXE = await readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
export const ARTEFACTS = fileURLToPath(new URL('../../test-artefacts/pages/', import.meta.url));

export const SCHEMES = ['light', 'dark'] as const;
/** Pixels: a telephone and a laptop. */
export const WIDTHS = [360, 1440] as const;
/** The smallest that text may have to fit in (WCAG 2.2, 1.4.10), and a wall. */
export const ALL_WIDTHS = [320, ...WIDTHS, 3840] as const;

const HEIGHTS: Readonly<Record<number, number>> = { 320: 640, 360: 740, 1440: 900, 3840: 2160 };

export async function resize(page: Page, width: number): Promise<void> {
  await page.setViewportSize({ width, height: HEIGHTS[width] ?? 900 });
}

/** Until no colour is on its way to another one any more. */
const settled = (page: Page): Promise<unknown> =>
  page.evaluate(`Promise.all(
    document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity).map((one) => one.finished),
  ).then(() => true)`);

/** A pattern behind the text keeps axe from judging its contrast, and is too faint to matter. */
const NO_PATTERN = 'body::before { content: none !important; }';

/** What is cut off of a long name lies, unseen, over the text next to it: nothing to judge. */
const OVERLAP = /overlap/;

type Finding = AxeResults['violations'][number];

const linesOf = ({ id, help, nodes }: Finding): readonly string[] =>
  nodes.map(({ target, any, failureSummary }) => {
    const why = failureSummary ?? any.map(({ message }) => message).join('; ');
    return `${id} (${help}): ${target.join(' ')}: ${why}`;
  });

/**
 * Runs axe in the page. No policy of the page stands in the way: neither the script nor the style comes by its document.
 * @returns a line for each finding, of impact serious or critical where not every one is asked for, and for each text whose contrast could not be
 * judged
 */
export async function axeFindings(page: Page, which: 'serious' | 'every' = 'serious'): Promise<readonly string[]> {
  await page.evaluate(`{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(${JSON.stringify(NO_PATTERN)});
    document.adoptedStyleSheets = [sheet];
  }`);
  await settled(page);
  // Half a megabyte, which the browser compiles again each time.
  if (await page.evaluate<boolean>(`globalThis.axe === undefined`)) await page.evaluate(AXE);
  const { violations, incomplete } = await page.evaluate<Pick<AxeResults, 'violations' | 'incomplete'>>(
    `axe.run(document, { resultTypes: ['violations', 'incomplete'], rules: { 'target-size': { enabled: true } } })
      .then(({ violations, incomplete }) => ({ violations, incomplete }))`,
  );
  const found =
    which === 'every' ? violations : violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const unjudged = incomplete.filter(({ id }) => id === 'color-contrast').flatMap(linesOf);
  return [...found.flatMap(linesOf), ...unjudged.filter((line) => !OVERLAP.test(line))];
}

/** @returns the elements that stick out to the right, when the page can be scrolled sideways */
export const stickingOut = (page: Page): Promise<readonly string[]> =>
  page.evaluate<string[]>(`(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const out = [...document.body.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > clientWidth);
    return ['the page is ' + scrollWidth + ' px wide', ...out.slice(0, 5).map((one) => one.outerHTML.slice(0, 120))];
  })()`);

/** Keeps a picture of the whole page. @returns its path */
export async function keepPicture(page: Page, name: string): Promise<string> {
  await mkdir(ARTEFACTS, { recursive: true });
  const path = `${ARTEFACTS}${name}.png`;
  await settled(page);
  await page.screenshot({ path, fullPage: true });
  return path;
}
