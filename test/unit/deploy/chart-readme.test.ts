import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CHART_README, chartReadme, chartValues } from '../../../scripts/chart-readme.ts';

it('lists every value as it is now (else: node scripts/chart-readme.ts)', () => {
  expect(readFileSync(CHART_README, 'utf8')).toBe(chartReadme());
});

it('finds a default for every value that the schema admits', () => {
  const without = chartValues().filter((value) => value.default === undefined);
  // Helm's own, for charts with a parent.
  expect(without.map(({ path }) => path)).toEqual(['global']);
});
