/** What sources, tests, scripts and lint messages cite is in the repository, down to the heading. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { linkErrorOf, ROOT } from './markdown.ts';

const FOLDERS = ['src', 'test', 'scripts', 'deploy', 'docs'];
const FILES = [
  '.oxlintrc.json',
  'vitest.config.ts',
  'knip.json',
  'package.json',
  'Makefile',
  'Dockerfile',
  'CONTRIBUTING.md',
];
/** They have examples of what leads nowhere. */
const EXAMPLES = new Set(['test/unit/docs/citations.test.ts', 'test/unit/docs/links.test.ts']);

interface Citation {
  readonly where: string;
  /** A page from the root, with its anchor. */
  readonly target: string;
}

/** `docs/revocation-protocol.md#head-1`. Behind it on the same line, ` #head-2` is another heading of the same page. */
const CITED =
  /(?<![\w/.-])(?<page>docs\/[\w./-]+\.md|CONTRIBUTING\.md)(?<anchor>#[\w-]+)?|(?<=\s)(?<further>#[a-z][\w-]*)/g;

/** Pages of the original design, which are not in the repository. `REVOCATION` alone may be a constant. */
const HISTORY = /\bDESIGN(?:\.md\b| \d)|\bCONTRACT(?:\.md)?\b(?!\()|\bREVOCATION(?:\.md\b|, [a-z])/g;

function citationsOf(name: string, text: string): readonly Citation[] {
  return text.split('\n').flatMap((line, index) => {
    let page = '';
    return [...line.matchAll(CITED)].flatMap(({ groups }) => {
      page = groups?.['page'] ?? page;
      const anchor = groups?.['anchor'] ?? groups?.['further'] ?? '';
      return page === '' ? [] : [{ where: `${name}:${index + 1}`, target: `${page}${anchor}` }];
    });
  });
}

const errorsOf = (citations: readonly Citation[]): readonly string[] =>
  citations.flatMap(({ where, target }) => {
    const error = linkErrorOf('', target);
    return error === undefined ? [] : [`${where} cites ${target}: ${error}`];
  });

const historyIn = (name: string, text: string): readonly string[] =>
  text
    .split('\n')
    .flatMap((line, index) => [...line.matchAll(HISTORY)].map(([cited]) => `${name}:${index + 1} cites ${cited}`));

const texts = [
  ...FOLDERS.flatMap((folder) =>
    readdirSync(`${ROOT}${folder}`, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`.slice(ROOT.length)),
  ),
  ...FILES,
]
  .filter((name) => !EXAMPLES.has(name))
  .map((name) => ({ name, text: readFileSync(`${ROOT}${name}`, 'utf8') }));

// A page of docs is held by its links; names of pages in its prose may be of other repositories.
const citations = texts
  .filter(({ name }) => !name.endsWith('.md'))
  .flatMap(({ name, text }) => citationsOf(name, text));

test.each([
  ['src/core/', 'docs/architecture.md#invariant-'],
  ['src/store/redis/lua/', 'docs/revocation-protocol.md#head-'],
  ['src/cli/', 'docs/reference/cli.md#exit-codes'],
  ['test/model/', 'docs/revocation-protocol.md#revoke-'],
  ['.oxlintrc.json', 'docs/architecture.md#who-may-import-whom'],
])('the citations of %s are found', (place, target) => {
  expect(citations).toContainEqual({
    where: expect.stringMatching(`^${place}`),
    target: expect.stringMatching(`^${target}`),
  });
});

test('every page and heading that is cited is there', () => {
  expect(errorsOf(citations)).toEqual([]);
});

test('nothing cites the original design, which is not in the repository', () => {
  expect(texts.flatMap(({ name, text }) => historyIn(name, text))).toEqual([]);
});

describe('what leads nowhere is found', () => {
  test.each([
    ['// as docs/gone.md says', 'docs/gone.md: docs/gone.md does not exist'],
    [
      '"message": "core (docs/architecture.md#gone)"',
      'docs/architecture.md#gone: docs/architecture.md has no heading #gone',
    ],
    [
      ' * docs/revocation-protocol.md#head-1 (one), #head-9.',
      'docs/revocation-protocol.md#head-9: docs/revocation-protocol.md has no heading #head-9',
    ],
  ])('%s', (line, error) => {
    expect(errorsOf(citationsOf('a.ts', line))).toEqual([`a.ts:1 cites ${error}`]);
  });

  test.each([
    ['need not rotate (DESIGN 7).', 'DESIGN 7'],
    ['as CONTRACT spells it', 'CONTRACT'],
    ['see REVOCATION.md, Settings', 'REVOCATION.md'],
    ['after it (REVOCATION, mint)', 'REVOCATION, m'],
  ])('%s', (line, cited) => {
    expect(historyIn('a.ts', line)).toEqual([`a.ts:1 cites ${cited}`]);
  });

  test('and a constant, a private field and a page of another site are none', () => {
    const text = 'const REVOCATION = 1; this.#turns = x;\n  #turns = 2; // https://example.com/docs/usage.md#x';
    expect([...citationsOf('a.ts', text), ...historyIn('a.ts', text)]).toEqual([]);
  });
});
