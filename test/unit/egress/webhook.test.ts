import { expect, it } from 'vitest';
import { retryDelay, RetryLater } from '../../../src/egress/webhook.ts';
import { range } from '../audit/fixtures.ts';

const LIMITS = { retryMs: 100, retryMaxMs: 5000 };
const FAILURE = new Error('down');

it.each([
  [0, 75, 125],
  [1, 150, 250],
  [5, 2400, 4000],
  [6, 3750, 6250],
  [2000, 3750, 6250],
])('after %i failures it waits from %i to %i ms', (failures, least, most) => {
  const waits = range(200).map(() => retryDelay(LIMITS, failures, FAILURE));
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(least);
  expect(Math.max(...waits)).toBeLessThanOrEqual(most);
  expect(new Set(waits).size).toBeGreaterThan(100);
});

it('waits as long as a failure itself says, and never shorter than without it', () => {
  expect(retryDelay(LIMITS, 0, new RetryLater('later', 60_000))).toBe(60_000);
  expect(retryDelay(LIMITS, 6, new RetryLater('at once', 0))).toBeGreaterThanOrEqual(3750);
});
