import { describe, expect, test } from 'vitest';
import {
  frequencyText,
  FRESH_TOLERANCE_SECONDS,
  freshnessOf,
  type Freshness,
} from '../../../../src/core/identity/freshness.ts';

const NOW = 1_800_000_000;
const WITHIN = 900;

describe('a sign-in', () => {
  test.each<[string, boolean, number | undefined, Freshness]>([
    ['this second', true, NOW, 'fresh'],
    ['just within the time', true, NOW - WITHIN, 'fresh'],
    ['as far beyond it as clocks differ', true, NOW - WITHIN - FRESH_TOLERANCE_SECONDS, 'fresh'],
    ['a second more', true, NOW - WITHIN - FRESH_TOLERANCE_SECONDS - 1, 'stale'],
    ['yesterday', true, NOW - 86_400, 'stale'],
    ['at the beginning of time', true, 0, 'stale'],
    ['of which nothing is said', true, undefined, 'stale'],
    ['as far ahead as clocks differ', true, NOW + FRESH_TOLERANCE_SECONDS, 'fresh'],
    ['still to come, which a liar says', true, NOW + FRESH_TOLERANCE_SECONDS + 1, 'stale'],
    ['in milliseconds', true, NOW * 1000, 'stale'],
    ['at no number', true, Number.NaN, 'stale'],
    ['of a provider that proves nothing, whatever is noted of it', false, NOW, 'unprovable'],
    ['of a provider that proves nothing and says nothing', false, undefined, 'unprovable'],
  ])('%s', (_name, provesFreshness, authTime, expected) => {
    expect(freshnessOf({ provesFreshness, authTime }, { now: NOW, withinSeconds: WITHIN })).toBe(expected);
  });
});

test.each([
  [60, 'every minute'],
  [90, 'every 90 seconds'],
  [900, 'every 15 minutes'],
  [3600, 'every hour'],
  [5400, 'every 90 minutes'],
  [86_400, 'every 24 hours'],
  [1, 'every second'],
])('again after %i seconds is %s', (seconds, text) => {
  expect(frequencyText(seconds)).toBe(text);
});
