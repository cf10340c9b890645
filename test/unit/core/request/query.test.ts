import { expect, test } from 'vitest';
import { parseQuery } from '../../../../src/core/request/query.ts';

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
  expect(parseQuery(`x=${value}`).get('x')).toEqual([expected]);
});
