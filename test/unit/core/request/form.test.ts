import querystring from 'node:querystring';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { unescapeForm } from '../../../../src/core/request/form.ts';

const parsed = (text: string): querystring.ParsedUrlQuery =>
  querystring.parse(text, '&', '=', { decodeURIComponent: unescapeForm });

const escape = fc.integer({ min: 0, max: 255 }).map((byte) => `%${byte.toString(16).padStart(2, '0')}`);
const ascii = fc.oneof(
  escape,
  fc.constantFrom('%', '%zz', '%f', '%C3%A9', '%F0%9F%98%80', '%ED%A0%80', '%c0%af', '%ef%bb%bf', '+', '=', '&', '&&'),
  fc.string({ maxLength: 4, unit: 'binary-ascii' }),
);
const text = (...parts: fc.Arbitrary<string>[]) =>
  fc.array(fc.oneof(...parts), { maxLength: 20 }).map((all) => all.join(''));

test('a form of ASCII is read as Node reads it, whatever bytes it stands for', () => {
  fc.assert(
    fc.property(text(ascii), (form) => {
      expect(parsed(form)).toEqual(querystring.parse(form));
    }),
    { numRuns: 1000 },
  );
});

test('a form of UTF-8 is read as Node reads it, with escapes or without', () => {
  const character = fc.string({ unit: 'grapheme', maxLength: 4 }).filter((part) => !part.includes('%'));
  fc.assert(
    fc.property(text(character, character.map(encodeURIComponent)), (form) => {
      expect(parsed(form)).toEqual(querystring.parse(form));
    }),
    { numRuns: 1000 },
  );
});

test('what is not UTF-8 costs no exception for each name', () => {
  const form = '%ff=%ff&'.repeat(1000);
  const read = (): number => {
    const before = process.threadCpuUsage();
    expect(parsed(form)).toEqual({ '\uFFFD': Array.from({ length: 1000 }, () => '\uFFFD') });
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  };
  expect(Math.min(...Array.from({ length: 20 }, read))).toBeLessThan(8);
});
