import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sessionKey } from '../../../src/core/credential/revocation.ts';
import { DigestMarks } from '../../../src/revocation/digest-marks.ts';

/** The expected behaviour: every mark in a list, and forgotten from the front. */
class Plain {
  marks: { key: string; number: number; until: number }[] = [];
  set(key: string, number: number, until: number): void {
    const same = this.marks.filter((mark) => mark.key === key);
    this.marks.push({
      key,
      number: Math.max(number, ...same.map((mark) => mark.number)),
      until: Math.max(until, ...same.map((mark) => mark.until)),
    });
  }
  number(key: string): number {
    return Math.max(0, ...this.marks.filter((mark) => mark.key === key).map((mark) => mark.number));
  }
  prune(now: number): void {
    while ((this.marks[0]?.until ?? now) < now) this.marks.shift();
  }
}

/** Digests whose first 32 bits are close together, so that their buckets collide. */
const crowded = (value: number): string => {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(value % 7, 0);
  bytes.writeUInt32BE(value, 12);
  return `session:${bytes.toString('base64url')}`;
};

describe('marks by digest', () => {
  it('return the same as a plain list, whatever is set, overwritten and forgotten', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ set: fc.nat(40), life: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 12 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const [marks, plain] = [new DigestMarks(), new Plain()];
        let [now, number] = [0, 0];
        for (const each of steps) {
          if ('set' in each) {
            number += 1;
            marks.set(crowded(each.set), number, now + each.life);
            plain.set(crowded(each.set), number, now + each.life);
          } else {
            now += each.pass;
            marks.prune(now);
            plain.prune(now);
          }
          expect(marks.size).toBe(plain.marks.length);
          for (let value = 0; value <= 40; value += 1) {
            expect(marks.number(crowded(value))).toBe(plain.number(crowded(value)));
          }
        }
      }),
    );
  });

  it('grow, go round and shrink without losing or inventing one', () => {
    const marks = new DigestMarks();
    const keys = Array.from({ length: 20_000 }, (_each, index) => sessionKey(`s${index}`));
    keys.forEach((key, index) => {
      marks.set(key, index + 1, index);
      if (index % 3000 === 0) marks.prune(index - 4000);
    });
    marks.prune(15_000);
    expect(marks.size).toBe(5000);
    const wrong = keys.filter((key, index) => marks.number(key) !== (index < 15_000 ? 0 : index + 1));
    expect(wrong).toEqual([]);
    marks.prune(19_990);
    expect(keys.filter((key) => marks.number(key) > 0)).toEqual(keys.slice(19_990));
    marks.clear();
    expect(marks.size).toBe(0);
    expect(marks.number(keys.at(-1) ?? '')).toBe(0);
  });

  it.each(['session:', 'session:short', 'session:AAAAAAAAAAAAAAAAAAAAA*', 'AAAAAAAAAAAAAAAAAAAAAAAAA', 'all'])(
    'refuse %j, which is no digest',
    (key) => {
      expect(() => new DigestMarks().set(key, 1, 1)).toThrow(TypeError);
    },
  );
});
