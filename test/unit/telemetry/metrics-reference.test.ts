import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { METRICS_FILE, metricsReference, REGENERATE_METRICS } from '../../../scripts/metrics-reference.ts';

it('is what the registry says', () => {
  const written = readFileSync(METRICS_FILE, 'utf8');
  expect(written === metricsReference(), `docs/reference/metrics.md is out of date: ${REGENERATE_METRICS}`).toBe(true);
});
