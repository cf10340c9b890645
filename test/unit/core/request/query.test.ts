import { expect, test } from 'vitest';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { parseQuery } from '../../../../src/core/request/query.ts';
import { cpuMs } from '../../../support/cpu-time.ts';

test.each([
  ['%c3%a9', 'é'],
  ['a+%C3%A9', 'a é'],
  // A byte order mark is a character like any other, as in Go.
  ['%ef%bb%bfa', '\uFEFFa'],
  // What is no UTF-8, overlong forms and halves of a pair included, stays as it is, so that no two of them are equal.
  ['%ff', 'ÿ'],
  ['%c0%af', 'À¯'],
  ['%ed%a0%80', 'í\u00A0\u0080'],
  ['%c3%a9%fe', 'Ã©þ'],
])('reads the value %s as Go does', (value, expected) => {
  expect(parseQuery(`x=${value}`, new Set('x')).get('x')).toBe(expected);
});

test('what nothing asks for costs next to nothing, however it is encoded', () => {
  const targets = ['%ff=1&', 'a%ff=%ff&', '+=+&'].map((pair) => `/api/v1/pods?${pair.repeat(640)}watch=1`);
  const used = cpuMs(() => {
    for (let each = 0; each < 200; each += 1) for (const target of targets) requestInfo('GET', target);
  });
  expect(requestInfo('GET', targets[0] ?? '').verb).toBe('watch');
  // 500 ms and more where each name was decoded as a value is.
  expect(used).toBeLessThan(200);
});

test.each([
  ['watc%68=0&watch=1', '0'],
  ['watch=%zz&watch=a;b&wat%zzch=1&wat+ch=1&watch', ''],
  [`${'%77'.repeat(15)}=1&watch=%ff+%41`, 'ÿ A'],
  ['a=watch=1', undefined],
])('of %s the first value that Go reads counts', (query, expected) => {
  expect(parseQuery(query, new Set(['watch'])).get('watch')).toBe(expected);
});
