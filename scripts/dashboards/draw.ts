/** Draws a dashboard as its JSON arranges it: grid, titles, units, thresholds, legends. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import type { Dashboard } from '../../test/support/deployed.ts';
import type { PanelAnswers } from './prometheus.ts';

const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const STYLE = `
  body { margin: 0; padding: 16px; background: #f4f5f5; color: #24292e; font: 13px 'Inter', 'Noto Sans', 'DejaVu Sans', sans-serif; }
  h1 { font-size: 18px; font-weight: 500; margin: 0 0 12px; }
  main { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 28px; gap: 8px; }
  section { display: flex; flex-direction: column; overflow: hidden; background: #fff; border: 1px solid #dfe1e4; border-radius: 2px; }
  h2 { font-size: 13px; font-weight: 500; margin: 0; padding: 7px 10px 4px; }
  .stats { flex: 1; display: flex; align-items: center; justify-content: space-evenly; padding: 0 8px 8px; }
  .stats div { text-align: center; }
  .stats span { display: block; font-size: 12px; color: #5a626b; }
  .stats b { font-size: 26px; font-weight: 500; white-space: nowrap; }
  .plot { flex: 1; min-height: 0; }
  .legend { padding: 0 10px 6px; font-size: 11px; color: #4a525a; line-height: 1.5; }
  .legend i { display: inline-block; width: 12px; height: 4px; margin: 0 5px 2px 0; border-radius: 2px; }
  .legend span { margin-right: 12px; white-space: nowrap; }
  .none { flex: 1; display: grid; place-items: center; color: #5a626b; }`;

/**
 * Shows the dashboard in the page.
 * @param answers one for each panel, in their order
 */
export async function drawDashboard(page: Page, dashboard: Dashboard, answers: readonly PanelAnswers[]): Promise<void> {
  await page.setContent(`<!doctype html><title>dashboard</title><style>${STYLE}</style><h1></h1><main></main>`);
  await page.addStyleTag({ path: fileURLToPath(import.meta.resolve('uplot/dist/uPlot.min.css')) });
  await page.addScriptTag({ path: fileURLToPath(import.meta.resolve('uplot/dist/uPlot.iife.min.js')) });
  await page.addScriptTag({ content: await readFile(beside('./panels.js'), 'utf8') });
  await page.evaluate(
    `drawDashboard(${JSON.stringify({ title: dashboard.title, panels: dashboard.panels, answers })})`,
  );
}
