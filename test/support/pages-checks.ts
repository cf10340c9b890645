/** What holds for every page of ours, whatever is on it. */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const AXE = await readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const ARTEFACTS = fileURLToPath(new URL('../../test-artefacts/pages/', import.meta.url));

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

/**
 * Runs axe in the page, whose context must bypass its content security policy.
 * @returns a line for each finding of impact serious or critical
 */
export async function axeFindings(page: Page): Promise<readonly string[]> {
  await settled(page);
  await page.evaluate(AXE);
  const { violations } = await page.evaluate<Pick<AxeResults, 'violations'>>(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => ({ violations }))`,
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id} (${help}): ${target.join(' ')}: ${failureSummary ?? ''}`),
    );
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
