import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { UnorderedList } from '../../../src/core/unordered-list.ts';

test('has what was added and not removed, whatever the order', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant('add'), fc.nat(20)), { maxLength: 200 }), (steps) => {
      const bag = new UnorderedList<number>();
      const expected = new Set<number>();
      const places: ReturnType<UnorderedList<number>['add']>[] = [];
      for (const [number, step] of steps.entries()) {
        if (step === 'add') {
          places.push(bag.add(number));
          expected.add(number);
          continue;
        }
        const place = places[step];
        if (place === undefined) continue;
        // Each may be removed more than once; only the first time counts.
        expect(bag.remove(place)).toBe(expected.delete(place.value));
      }
      expect(bag.size).toBe(expected.size);
      expect(new Set(bag.values())).toEqual(expected);
    }),
  );
});
