/**
 * Writes a picture of each dashboard into docs/images: `npm run dashboards`, four minutes. Grafana itself is neither in Debian nor on npm, so this is not
 * Grafana's own picture: the queries of deploy/grafana are asked of a real Prometheus that scrapes three real replicas, and drawn with uPlot, the
 * library that Grafana draws its time series with.
 */
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startMonitoring } from '../demo/monitoring.ts';
import { freePorts } from '../demo/ports.ts';
import { dashboards } from '../test/support/deployed.ts';
import { drawDashboard } from './dashboards/draw.ts';
import { liveThrough } from './dashboards/morning.ts';
import { answersOf } from './dashboards/prometheus.ts';
import { openStage } from './screenshots/stage.ts';

const IMAGES = fileURLToPath(new URL('../docs/images/', import.meta.url));
const MOST_BYTES = 180_000;
/** Seconds; Grafana's `$__rate_interval` is at least four of them. */
const SCRAPE = 2;

await using stage = await openStage();
const [port = 0] = await freePorts(1);
const { a, b, c } = stage.replicas;
const monitoring = await startMonitoring({
  directory: stage.demo.files.directory,
  port,
  targets: [a.ops, b.ops, c.ops],
  everySeconds: SCRAPE,
});
if (monitoring === undefined) throw new Error('the pictures need Prometheus: sh scripts/tools prometheus');
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium-headless-shell',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
try {
  const start = Date.now() / 1000;
  await liveThrough(stage);
  const range = { start, end: Date.now() / 1000, step: SCRAPE, rateInterval: `${10 * SCRAPE}s` };
  for (const dashboard of dashboards()) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 720 }, reducedMotion: 'reduce' });
    await drawDashboard(page, dashboard, await answersOf(monitoring.url, dashboard, range));
    const path = `${IMAGES}dashboard-${dashboard.file.replace('.json', '')}.png`;
    await page.screenshot({ path, fullPage: true });
    await page.close();
    const { size } = await stat(path);
    console.log(`${path}  ${(size / 1000).toFixed(0)} kB`);
    if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, and may have ${MOST_BYTES}`);
  }
} finally {
  await browser.close();
  await monitoring.stop();
}
