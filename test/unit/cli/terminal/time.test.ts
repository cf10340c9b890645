import { expect, test } from 'vitest';
import { bothWays, parseDuration, spanText } from '../../../../src/cli/terminal/time.ts';

test('a duration has a number and a unit', () => {
  expect(['90s', '30m', '2h', '1d'].map(parseDuration)).toEqual([90, 1800, 7200, 86_400]);
  for (const text of ['', '90', '0s', '-1h', '1.5h', '1h30m', '1y', '12345678s', '１h']) {
    expect(() => parseDuration(text), text).toThrow('such as 90s, 30m or 2h');
  }
});

test('a period is as users type one, in one or two units', () => {
  expect([0, 59, 60, 90, 1800, 5400, 86_400].map(spanText)).toEqual(['0s', '59s', '1m', '1m30s', '30m', '1h30m', '1d']);
});

test('a moment has its time of day and its distance, and its day where that is another one, half a day away', () => {
  const now = new Date(2026, 10, 29, 14, 35).getTime();
  expect(bothWays(now + 29 * 60_000, now)).toBe('15:04 (in 29m)');
  expect(bothWays(now + 10 * 3600_000, now)).toBe('00:35 (in 10h)');
  expect(bothWays(now + 13 * 3600_000, now)).toBe('2026-11-30 03:35 (in 13h)');
  expect(bothWays(now - 60_000, now)).toBe('14:34 (1m ago)');
});
