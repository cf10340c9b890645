import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileRegExp } from '../../../../src/core/cel/linear-regexp.ts';

const all = (pattern: string, text: string, limit = -1): readonly string[] => compileRegExp(pattern).find(text, limit);

describe('a pattern', () => {
  test.each([
    ['abc', 'xabcx', true],
    ['^abc$', 'xabcx', false],
    ['^abc$', 'abc', true],
    ['^(?:dev|ops)-[a-z]+$', 'ops-team', true],
    ['^(?:dev|ops)-[a-z]+$', 'qa-team', false],
    ['^a{2,3}$', 'aaaa', false],
    ['^a{2,3}$', 'aaa', true],
    ['^a{2,}$', 'aaaaa', true],
    ['^a{2}$', 'aaa', false],
    ['^(a|b)*$', 'abba', true],
    ['^.$', '😀', true],
    ['^.$', '\n', false],
    ['(?s)^.$', '\n', true],
    ['(?i)^straße$', 'STRAßE', true],
    ['(?i)^team-[a-z]$', 'TEAM-X', true],
    ['^[^@]+@example\\.com$', 'alice@example.com', true],
    ['^[^@]+@example\\.com$', 'alice@example.com.evil.org', false],
    ['^\\p{Lu}', 'Ärger', true],
    ['\\bops\\b', 'dev ops', true],
    ['\\bops\\b', 'devops', false],
    ['\\Bops', 'devops', true],
    ['(?m)^ops$', 'dev\nops', true],
    ['^ops$', 'dev\nops', false],
    // RE2's, where the language's own expressions think otherwise.
    ['^\\s$', '\u00a0', false],
    ['^[\\s]$', '\u00a0', false],
    ['^\\S$', '\u00a0', true],
    ['^[\\S]$', '\u00a0', true],
    ['^[\\S@]+$', 'a\u2003@', true],
    ['^[\\S]$', '\u000b', true],
    ['^[\\S]$', ' ', false],
    ['^[\\S]$', '\t', false],
    ['^[^\\S]$', '\u00a0', false],
    ['^[^\\S]$', '\f', true],
    ['(?i)^[\\S]$', '\u00a0', true],
    ['^[\\\\S]+$', 'S\\', true],
    ['^[\\\\S]$', 'a', false],
    ['^.$', '\u2028', true],
    ['(?m)^b$', 'a\u2028b', false],
    ['^(?P<name>a)$', 'a', true],
    ['^alice\\@example\\.com$', 'alice@example.com', true],
    ['^team\\-[a\\-\\_]+$', 'team-a-_', true],
    ['^team\\-[a\\-\\_]+$', 'team-z', false],
    ['^\\pL[\\pN]$', 'ä1', true],
    ['^\\PL$', '1', true],
    ['\\Aops\\z', 'ops', true],
    ['\\Aops\\z', 'devops', false],
    ['^\\(?P<$', 'P<', true],
    ['^\\(?P<$', '<', false],
    ['', 'anything', true],
    ['a||b', 'x', true],
  ])('%s in %j: %s', (pattern, text, expected) => {
    expect(compileRegExp(pattern).test(text)).toBe(expected);
  });

  test.each([
    ['a', 'banana', ['a', 'a', 'a']],
    ['an?', 'banana', ['an', 'an', 'a']],
    ['[0-9]+', '123 abc 456', ['123', '456']],
    ['xyz', '123 abc 456', []],
    ['a|ab', 'abab', ['a', 'a']],
    ['ab|a', 'abab', ['ab', 'ab']],
    ['a+?', 'aaa', ['a', 'a', 'a']],
    ['a*', 'baab', ['', 'aa', '']],
    ['.', '😀a', ['😀', 'a']],
  ])('%s finds in %s the leftmost, and of those the preferred: %j', (pattern, text, expected) => {
    expect(all(pattern, text)).toEqual(expected);
  });

  test('finds as many as it is asked for', () => {
    expect(all('[0-9]+', '1 2 3', 2)).toEqual(['1', '2']);
    expect(all('[0-9]+', '1 2 3', 0)).toEqual([]);
  });

  test.each([
    ['(a', /Unterminated group/],
    ['a{2,1}', /out of order/],
    ['*a', /Nothing to repeat/],
    ['a(?=b)', /look-around/],
    ['(?<!a)b', /look-around/],
    ['a(?i:b)', /flags within/],
    ['(a)\\1', /back-references/],
    ['(?<x>a)\\k<x>', /back-references/],
    ['[[:alpha:]]', /\\p\{L\}/],
    ['[\\A]', /Invalid escape|Invalid class escape/],
    ['(?m)\\Aa', /Invalid escape/],
    ['a{', /Incomplete quantifier|Nothing to repeat|brackets/],
    ['(?ii)a', /flags/],
    ['((a{50}){50}){50}', /too large/],
    ['(){1001}', /more than 1000/],
    ['a{1000000000}', /more than 1000/],
    ['a{1,1001}', /more than 1000/],
    ['a{1001,}?', /more than 1000/],
    [`${'('.repeat(60)}a${')'.repeat(60)}`, /too deep/],
    ['a'.repeat(1001), /longer/],
  ])('%s is refused in words', (pattern, words) => {
    expect(() => compileRegExp(pattern)).toThrow(words);
  });

  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(a*)*b', '^(.*a){12}$', '(x+x+)+y'])(
    '%s is not made to go back and try again',
    (pattern) => {
      const expression = compileRegExp(pattern);
      const text = pattern.includes('x') ? 'x'.repeat(2000) : `${'a'.repeat(2000)}!`;
      // Going back, it would not end while anybody waits.
      expect(expression.test(text)).toBe(false);
    },
  );

  test('nothing is repeated in no time, however often', () => {
    // Written out, the last of them would be 10^15 times nothing.
    const nothing = ['(){1000}', '(?:|){0,20}', `${'('.repeat(6)}${'){1000}'.repeat(5)}b)`];
    expect(nothing.map((pattern) => compileRegExp(pattern).test('ab'))).toEqual([true, true, true]);
  });

  test('ends by a fault where a text would take too long all the same', () => {
    expect(() => all('(a?){200}b', 'a'.repeat(16_000))).toThrow(/too long for this pattern/);
    expect(() => all('a', 'a'.repeat(20_000))).toThrow(/more than 16384/);
  });
});

type Grammar = { pattern: string; atom: string; repeated: string; sequence: string };
const BARE = /^(?:\\b|\^|\$)$/;

/** @param groups whether groups may be repeated: of an empty turn of theirs RE2 and the language think differently */
const patterns = (groups: boolean): fc.Arbitrary<string> =>
  fc.letrec<Grammar>((tie) => ({
    atom: fc.oneof(
      { maxDepth: 2, depthIdentifier: 'pattern' },
      fc.constantFrom('a', 'b', 'c', '[ab]', '[^a]', '\\w', '\\d', '\\b', '^', '$'),
      tie('pattern').map((inner) => `(?:${inner})`),
      tie('pattern').map((inner) => `(${inner})`),
    ),
    repeated: fc
      .tuple(tie('atom'), fc.constantFrom('', '', '?', '*', '+', '{1,2}', '{2}', '??', '*?', '{1,}?'))
      .map(([atom, sign]) => (BARE.test(atom) || (!groups && atom.startsWith('(')) ? atom : `${atom}${sign}`)),
    sequence: fc.array(tie('repeated'), { minLength: 1, maxLength: 3 }).map((items) => items.join('')),
    pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 2 }).map((options) => options.join('|')),
  })).pattern;

test('finds what the language’s own expressions find', { timeout: 60_000 }, () => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' '), maxLength: 8 });
  fc.assert(
    fc.property(patterns(false), texts, (pattern, text) => {
      const own = RegExp(pattern, 'u').exec(text);
      expect(all(pattern, text, 1)).toEqual(own === null ? [] : [own[0]]);
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(patterns(true), texts, (pattern, text) => {
      expect(compileRegExp(pattern).test(text)).toBe(RegExp(pattern, 'u').test(text));
    }),
    { numRuns: 1000 },
  );
});
