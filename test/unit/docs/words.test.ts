/** Sources, pages and documents use the words of the field (CONTRIBUTING.md#words), and have no half of a merge in them. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ROOT } from './markdown.ts';
import { findingsAt, textFiles, UNWANTED, unwantedIn } from './word-list.ts';

/** Everything that people read: sources, tests, pages, and what they install. */
const CHECKED = [
  '.github',
  'src',
  'demo',
  'deploy',
  'docs',
  'scripts',
  'site/build.ts',
  'site/src',
  'test',
  '.env.example',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'Dockerfile',
  'Makefile',
  'README.md',
  'SECURITY.md',
  'package.json',
];

describe('the word list', () => {
  test.each(CHECKED)('finds nothing in %s', (path) => {
    expect(textFiles(`${ROOT}${path}`).flatMap(findingsAt)).toEqual([]);
  });

  test('finds a word in a comment, in a text and in an identifier', () => {
    const code = "// somebody\nconst startTestGate = 'the record'; // delegates\n";
    expect(unwantedIn(code, true).map(({ line, found }) => `${line} ${found}`)).toEqual([
      '1 somebody',
      '2 Gate',
      '2 the record',
    ]);
  });

  test('leaves names outside as they are', () => {
    expect(
      unwantedIn(
        '`proxy-bypassed`, portcullis_proxy_bypasses, [runbook](runbooks/proxy-bypassed.md), --proxy-account',
        false,
      ),
    ).toEqual([]);
    expect(unwantedIn('limits.inFlightPerUser', true)).toEqual([]);
  });

  test('gives a reason for each', () => {
    for (const { write, because } of UNWANTED) expect(`${write}${because}`).toMatch(/\w.*\w/);
  });
});

describe('a merge', () => {
  /** What Git leaves at a conflict. `=======` alone is a heading's underline as well. */
  const marker = /^(?:<{7}|>{7}|\|{7})(?: |$)/m;

  test.each(CHECKED)('left no conflict marker in %s', (path) => {
    const marked = textFiles(`${ROOT}${path}`).filter((file) => marker.test(readFileSync(file, 'utf8')));
    expect(marked).toEqual([]);
  });

  test('would be found inside a comment', () => {
    const lines = ['/**', '<<<<<<< ours', ' * one', '=======', ' * other', '>>>>>>> theirs', ' */'];
    expect(marker.test(lines.join('\n'))).toBe(true);
    expect(marker.test(lines.filter((line) => !/[<>]/.test(line)).join('\n'))).toBe(false);
  });
});
