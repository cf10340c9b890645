import { expect, test } from 'vitest';
import { MAX_IN_USE, takeSlab } from '../../../../src/proxy/upstream/slab.ts';

test('slabs are bounded, and are given again once every holder has released them', () => {
  const taken = Array.from({ length: MAX_IN_USE }, () => takeSlab());
  const releases = taken.map((slab) => slab?.hold());
  expect(new Set(taken).size).toBe(MAX_IN_USE);
  expect(takeSlab()).toBeUndefined();
  const also = taken[0]?.hold();
  releases[0]?.();
  releases[0]?.();
  expect(takeSlab()).toBeUndefined();
  also?.();
  expect(takeSlab()).toBe(taken[0]);
  for (const release of [taken[0]?.hold(), ...releases.slice(1)]) release?.();
});
