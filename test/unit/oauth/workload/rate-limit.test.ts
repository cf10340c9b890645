import { expect, test } from 'vitest';
import { createExchangePace } from '../../../../src/oauth/workload/rate-limit.ts';

test('exchanges that came to nothing are counted by address and minute, and an IPv6 network is one', () => {
  let now = 1_000_000;
  const pace = createExchangePace({ rejectionsPerMinute: 2, now: () => now });
  expect(pace.refused('192.0.2.1')).toBe(0);
  now += 20_000;
  expect(pace.refused('192.0.2.1')).toBe(0);
  expect(pace.refused('192.0.2.1')).toBe(40);
  expect(pace.refused('192.0.2.2')).toBe(0);
  now += 40_000;
  expect(pace.refused('192.0.2.1')).toBe(0);
  expect(pace.refused('192.0.2.1')).toBe(0);
  expect(pace.refused('192.0.2.1')).toBe(60);
  // A clock that is set back makes no minute an hour.
  now -= 3_600_000;
  expect(pace.refused('192.0.2.1')).toBe(0);
  pace.refused('2001:db8::1');
  pace.refused('2001:db8::2');
  expect(pace.refused('2001:db8::3')).toBe(60);
});
