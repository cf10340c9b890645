import { expect, test } from 'vitest';
import { createRateLimiter } from '../../../src/core/rate-limit.ts';

test('a limit that refills each minute counts by address and minute, and an IPv6 network is one address', () => {
  let now = 1_000_000;
  const limiter = createRateLimiter(2, { nowMs: () => now }, { refill: 'each-minute' });
  expect(limiter.take('192.0.2.1')).toBe(0);
  now += 20_000;
  expect(limiter.take('192.0.2.1')).toBe(0);
  expect(limiter.take('192.0.2.1')).toBe(40);
  expect(limiter.take('192.0.2.2')).toBe(0);
  now += 40_000;
  expect(limiter.take('192.0.2.1')).toBe(0);
  expect(limiter.take('192.0.2.1')).toBe(0);
  expect(limiter.take('192.0.2.1')).toBe(60);
  // A clock that is set back does not turn a minute into an hour.
  now -= 3_600_000;
  expect(limiter.take('192.0.2.1')).toBe(0);
  limiter.take('2001:db8::1');
  limiter.take('2001:db8::2');
  expect(limiter.take('2001:db8::3')).toBe(60);
});
