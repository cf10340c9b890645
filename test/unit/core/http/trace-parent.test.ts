import { expect, test } from 'vitest';
import { traceId } from '../../../../src/core/http/trace-parent.ts';
import { cpuClock } from '../../../support/cpu-time.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

test.each([
  [`00-${TRACE}-${PARENT}-01`, TRACE],
  [`00-${TRACE}-${PARENT}-00`, TRACE],
  [` 00-${TRACE}-${PARENT}-01\t`, TRACE],
  // A later version may say more, and begins as this one does.
  [`01-${TRACE}-${PARENT}-01`, TRACE],
  [`cc-${TRACE}-${PARENT}-01-what-is-to-come`, TRACE],
  [`00-${TRACE}-${PARENT}-01-more`, undefined],
  [`cc-${TRACE}-${PARENT}-01more`, undefined],
  [`ff-${TRACE}-${PARENT}-01`, undefined],
  [`00-${'0'.repeat(32)}-${PARENT}-01`, undefined],
  [`00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
  [`00-${TRACE.toUpperCase()}-${PARENT}-01`, undefined],
  [`00-${TRACE.slice(1)}-${PARENT}-01`, undefined],
  [`00-${TRACE}-${PARENT}-1`, undefined],
  [`00-${TRACE}-${PARENT}`, undefined],
  [`00-${TRACE}-${PARENT}-01\r\nforged: 1`, undefined],
  [`cc-${TRACE}-${PARENT}-01-\nforged`, undefined],
  ['', undefined],
])('of %j is %j', (value, expected) => {
  expect(traceId(['Accept', '*/*', 'TraceParent', value])).toBe(expected);
});

test('is none where there is no header, or two', () => {
  const header = ['traceparent', `00-${TRACE}-${PARENT}-01`];
  expect(traceId(['accept', '*/*'])).toBeUndefined();
  expect(traceId([...header, ...header])).toBeUndefined();
});

test('takes no longer for a hostile header of 64 KiB', () => {
  const spent = cpuClock();
  expect(traceId(['traceparent', `cc-${TRACE}-${PARENT}-01${'-'.repeat(65_536)}\nx`])).toBeUndefined();
  expect(spent()).toBeLessThan(200);
});
