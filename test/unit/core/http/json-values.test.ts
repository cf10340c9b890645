import { expect, it } from 'vitest';
import { hasMoreValues } from '../../../../src/core/http/json-values.ts';

it('counts objects, lists and what follows in them, and never less than there are', () => {
  const json = Buffer.from(JSON.stringify({ a: [1, 2, 3], b: { c: {} }, d: 'x' }));
  // Three objects, a list, and four commas.
  expect([7, 8].map((most) => hasMoreValues(json, most))).toEqual([true, false]);
  expect(hasMoreValues(Buffer.from('[[[[[[]]]]]]'), 5)).toBe(true);
  expect(hasMoreValues(Buffer.alloc(0), 0)).toBe(false);
});
