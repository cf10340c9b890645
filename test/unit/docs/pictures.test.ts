/** The pictures of the documentation: where they have to be, how large they may be, and that the tour's is of the tour as it is. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { drawRecording } from '../../../scripts/tour-picture/draw.ts';
import { readRecording } from '../../../scripts/tour-picture/recording.ts';
import { dashboards } from '../../support/deployed.ts';
import { linksOf, readPage, ROOT } from './markdown.ts';

const TOUR = 'docs/images/tour.svg';
const STILL = 'docs/images/tour-end.svg';

test('README.md shows the tour and screenshots before its first section', () => {
  const [head = ''] = readPage('README.md').split(/^## /m);
  const pictures = linksOf(head).filter((link) => link.startsWith('docs/images/'));
  expect(head).toContain(`<img src="${TOUR}" alt="`);
  expect(head).toContain(`<source media="(prefers-reduced-motion: reduce)" srcset="${STILL}">`);
  expect(pictures.filter((link) => link.endsWith('.png')).length).toBeGreaterThanOrEqual(2);
});

test('the picture of the tour is small, moves by CSS alone, and stands still for anyone who wants that', () => {
  const svg = readPage(TOUR);
  expect(statSync(`${ROOT}${TOUR}`).size).toBeLessThan(1_000_000);
  expect(svg).toMatch(/@media \(prefers-reduced-motion: reduce\) \{ #rows \{ animation: none \} \}/);
  expect(svg).not.toMatch(/<script|<foreignObject|href=|url\((?!#)|@import|\son\w+=/i);
  // The other one is its end.
  expect(readPage(STILL)).toBe(svg.replace(/#rows \{ animation: [^]*?(?=<\/style>)/, ''));
});

test('it is of the tour as it is: every chapter, all claims held, and no name of a machine', () => {
  const svg = readPage(TOUR);
  const sources = globSync('demo/tour/*.ts', { cwd: ROOT }).map((file) => readFileSync(`${ROOT}${file}`, 'utf8'));
  const chapters = sources.flatMap((text) => [...text.matchAll(/\.chapter\(\s*'([^']+)'/g)].map(([, title]) => title));
  expect(chapters.length).toBeGreaterThan(5);
  const shown = [...svg.matchAll(/<tspan class="h">\d+\. (.*?)<\/tspan>/g)].map(([, title]) => title);
  expect(new Set(shown)).toEqual(new Set(chapters));
  expect(svg).toMatch(/<tspan class="h">\d+ claims held, in [\d.]+ s\.<\/tspan>/);
  expect(svg.match(/device {4}\w+/g)?.every((device) => device.endsWith(' laptop'))).toBe(true);
});

test('a recording is drawn row by row at its times, and a control sequence in it is an error', () => {
  const output = Buffer.from('Script started\n1. One\r\n   ✓ two <&>\r\n');
  const frames = readRecording(output, '0.5 8\n1.5 16\n');
  expect(frames).toEqual([
    { at: 0.5, text: '1. One\n' },
    { at: 2, text: '   ✓ two <&>\n' },
  ]);
  const svg = drawRecording(frames, { command: 'run', columns: 8, rows: 4 });
  expect(svg).toContain('<tspan class="h">1. One</tspan>');
  // Eight columns: the claim is three rows with the tick.
  expect(svg).toContain('two</text>');
  expect(svg).toContain(' &lt;&amp;&gt;</text>');
  expect(svg).toMatch(
    /@keyframes tour \{ 0\.00% \{ transform: translateY\(54px\) \} 5\.00% \{ transform: translateY\(36px\) \} 20\.00%/,
  );
  expect(() => readRecording(Buffer.from('Script started\n\u001B[31mred\r\n'), '0 11')).toThrow('control sequence');
});

test('docs/monitoring.md shows every dashboard, and says that the pictures are not Grafana’s own', () => {
  const page = readPage('docs/monitoring.md');
  const files = dashboards().map(({ file }) => `images/dashboard-${file.replace('.json', '.png')}`);
  expect(linksOf(page)).toEqual(expect.arrayContaining(files));
  for (const file of files) expect(statSync(`${ROOT}docs/${file}`).size).toBeLessThan(180_000);
  expect(page).toMatch(/not\s+Grafana's own/);
});
