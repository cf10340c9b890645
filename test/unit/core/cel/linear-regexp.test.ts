import * as fc from 'fast-check';
import { RE2JS } from 're2js';
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
    // RE2's meaning, where JavaScript's own expressions have another one.
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
    ['a(?i:b)', 'aB', true],
    ['(?ii)a', 'A', true],
    ['^[[:alpha:]]+$', 'team', true],
    ['^[[:alpha:]]+$', 'ä', false],
    ['(?m)\\Aops', 'dev\nops', false],
    ['^ops$', 'ops\n', false],
    ['a{', 'a{', true],
    ['^\\Qa.b\\E$', 'a.b', true],
    ['^\\Qa.b\\E$', 'axb', false],
    ['^\\x{1F600}$', '😀', true],
    ['^[^😀]$', '😁', true],
    ['^..$', '😀', false],
    ['(?i)^k$', '\u212A', true],
    ['^\\w$', 'ä', false],
    [`${'('.repeat(60)}a${')'.repeat(60)}`, 'a', true],
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

  test('finds no more than the limit', () => {
    expect(all('[0-9]+', '1 2 3', 2)).toEqual(['1', '2']);
    expect(all('[0-9]+', '1 2 3', 0)).toEqual([]);
  });

  test.each([
    ['(a', /missing closing \)/],
    ['a{2,1}', /invalid repeat count/],
    ['*a', /missing argument to repetition operator/],
    ['a(?=b)', /invalid or unsupported Perl syntax/],
    ['(?<!a)b', /invalid or unsupported Perl syntax|invalid named capture/],
    ['(a)\\1', /invalid escape sequence/],
    ['(?<x>a)\\k<x>', /invalid escape sequence/],
    ['[\\A]', /invalid escape sequence/],
    ['\\u00e4', /invalid escape sequence/],
    ['[[:letters:]]', /invalid character class range/],
    ['a**', /invalid nested repetition operator/],
    ['((a{50}){50}){50}', /invalid repeat count/],
    ['(a{1000}){1000}', /invalid repeat count/],
    ['a{1000}(?i){1000}', /invalid repeat count/],
    [`${'('.repeat(9)}a${'{9})'.repeat(9)}`, /invalid repeat count/],
    ['(){1001}', /invalid repeat count/],
    ['a{1000000000}', /invalid repeat count/],
    ['a{1,1001}', /invalid repeat count/],
    ['a{1001,}?', /invalid repeat count/],
    ['(?:abcd){1000}', /too large/],
    ['(?:(?:abcde){30}){33}', /too large/],
    ['a'.repeat(1001), /longer/],
  ])('%s is rejected with a message, before it takes time or memory', (pattern, message) => {
    const since = process.cpuUsage();
    expect(() => compileRegExp(pattern)).toThrow(message);
    // Written out, `(a{1000}){1000}` is a million instructions.
    expect(process.cpuUsage(since).user / 1000).toBeLessThan(200);
  });

  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(a*)*b', '^(.*a){12}$', '(x+x+)+y'])(
    '%s does not backtrack',
    (pattern) => {
      const expression = compileRegExp(pattern);
      const text = pattern.includes('x') ? 'x'.repeat(2000) : `${'a'.repeat(2000)}!`;
      // With backtracking, it would not end in a lifetime.
      expect(expression.test(text)).toBe(false);
    },
  );

  test('a repetition of nothing takes no time, however often it is repeated', () => {
    const nothing = ['(){1000}', '(?:|){0,20}'];
    expect(nothing.map((pattern) => compileRegExp(pattern).test('ab'))).toEqual([true, true]);
    // Written out, it would be 10^15 times nothing.
    expect(() => compileRegExp(`${'('.repeat(6)}${'){1000}'.repeat(5)}b)`)).toThrow(/invalid repeat count|too large/);
  });

  test('ends with an error where a text would take too long nevertheless', () => {
    expect(() => all('(a?){200}b', 'a'.repeat(16_000))).toThrow(/too long for this pattern/);
    expect(() => all('a', 'a'.repeat(20_000))).toThrow(/more than 16384/);
  });
});

describe('the work of a search', () => {
  const charged = (search: (charge: (work: number) => void) => unknown): readonly number[] => {
    const works: number[] = [];
    search((work) => works.push(work));
    return works;
  };

  test('is the size of the pattern times the length of the text, whatever is found', () => {
    const size = RE2JS.compile('^[a-z]+$').programSize();
    const expression = compileRegExp('^[a-z]+$');
    expect(charged((charge) => expression.test('abc', charge))).toEqual([size * 4]);
    expect(charged((charge) => expression.test('!bc', charge))).toEqual([size * 4]);
    expect(charged((charge) => expression.test('a'.repeat(1000), charge))).toEqual([size * 1001]);
  });

  test('is charged for each match, from where the search goes on', () => {
    const size = RE2JS.compile('[0-9]').programSize();
    const expression = compileRegExp('[0-9]');
    expect(charged((charge) => expression.find('1a2b', -1, charge))).toEqual([size * 5, size * 4, size * 2]);
    expect(charged((charge) => expression.find('1a2b', 1, charge))).toEqual([size * 5]);
  });

  test('is charged before it is done', () => {
    const refuse = (): never => {
      throw new Error('no budget');
    };
    expect(() => compileRegExp('a').test('a', refuse)).toThrow('no budget');
    expect(() => compileRegExp('a').find('a', -1, refuse)).toThrow('no budget');
    // That would take a second: it is not even parsed.
    expect(() => compileRegExp(`(?:${'ab'.repeat(490)}){1000}`, refuse)).toThrow('no budget');
  });

  /** Patterns that take long to compile, and what they take at least, in microseconds. */
  test.each([
    ['^user-[a-z]+$', 5],
    [`(?:${'ab'.repeat(490)}){1000}`, 300_000],
    [`(?:(?:${'(a)'.repeat(300)}){31}){31}`, 300_000],
    [`(?i)${'[A-\u{1e900}]'.repeat(160)}`, 300_000],
    [`(?i)${'[A-\\x{1e900}]'.repeat(70)}`, 150_000],
    ['^(?:\\pL|\\pN){0,300}$', 40_000],
    [`(?i)${'[^\\pL]'.repeat(160)}`, 20_000],
  ])('of compiling is estimated before: %s', (pattern, microseconds) => {
    const stop = (work: number): never => {
      throw new Error(String(work));
    };
    let work = 0;
    try {
      compileRegExp(pattern, stop);
    } catch (error) {
      work = Number(error instanceof Error ? error.message : 0);
    }
    // Forty units of a search take about a microsecond.
    expect(work).toBeGreaterThan(microseconds * 40);
  });
});

type Grammar = { pattern: string; atom: string; repeated: string; sequence: string };
const BARE = /^(?:\\b|\^|\$)$/;

/** @param groups whether groups may be repeated: for an empty repetition, RE2 and JavaScript differ */
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

test('finds what JavaScript’s own expressions find', { timeout: 60_000 }, () => {
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
