/** Each threat of the threat model names its tests: the file exists, and so do the title and the table of cases. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readPage, ROOT } from './markdown.ts';

interface Threat {
  readonly threat: string;
  readonly mitigation: string;
  /** The tests, as the page names them. */
  readonly held: string;
}

/** An item of the page, on one line: the threat in bold, then a nested item for the mitigation and one for the tests. */
const ITEM = /^- \*\*(?<threat>.+?)\*\* - Mitigation: (?<mitigation>.+) - Tests: (?<held>.+)$/;

const section = /\n## Threats\n(?<items>[^]*?)\n## /.exec(readPage('docs/threat-model.md'))?.groups?.['items'] ?? '';

const items: readonly string[] = section
  .split('\n')
  .filter((line) => !line.startsWith('#'))
  .join('\n')
  .split(/\n(?=- )/)
  .map((item) => item.replaceAll(/\s+/g, ' ').trim())
  .filter((item) => item !== '');

const threats: readonly Threat[] = items.flatMap((item) => {
  const { threat = '', mitigation = '', held = '' } = ITEM.exec(item)?.groups ?? {};
  return threat === '' ? [] : [{ threat, mitigation, held }];
});

/** Names of tests stand behind the file that they are in, or behind a table of cases. */
const PARTS =
  /\[`(?<path>[a-z0-9-]+\/[a-z0-9./-]*)`\]\(\.\.\/test\/\k<path>\)|"(?<name>[^"]+)"|\b(?<table>[A-Z][A-Z0-9]{3,})\b/g;

const corpus = globSync(`${ROOT}test/security/**/*.ts`);

const read = (files: readonly string[]): string => files.map((file) => readFileSync(file, 'utf8')).join('\n');

/** A folder stands for all that is in it. */
function filesOf(path: string): readonly string[] {
  const full = `${ROOT}test/${path}`;
  if (!existsSync(full)) return [];
  return statSync(full).isDirectory() ? globSync(`${full}/**/*`).filter((file) => statSync(file).isFile()) : [full];
}

/** Quotes and code marks are written in several ways, and `…` stands for what differs from case to case. */
const plain = (text: string): string => text.replaceAll(/\\?[`'"“”‘’]/g, '');

const stands = (name: string, text: string): boolean =>
  plain(name)
    .split('…')
    .map((part) => part.trim())
    .every((part) => plain(text).includes(part));

function errorsOf({ held }: Pick<Threat, 'held'>): readonly string[] {
  const errors: string[] = [];
  let files: readonly string[] = corpus;
  for (const { groups } of held.matchAll(PARTS)) {
    const { path, name, table } = groups ?? {};
    if (path !== undefined) {
      files = path.startsWith('security/') ? corpus : filesOf(path);
      if (filesOf(path).length === 0) errors.push(`there is no test/${path}`);
    } else if (table !== undefined) {
      files = corpus;
      if (!new RegExp(`const ${table}\\b`).test(read(corpus))) errors.push(`there is no table ${table}`);
    } else if (name !== undefined && !stands(name, read(files))) errors.push(`nothing is called "${name}"`);
  }
  return errors;
}

test('the threats are found, and each has a mitigation and its tests', () => {
  expect(items.length).toBeGreaterThan(90);
  expect(items.filter((item) => !ITEM.test(item))).toEqual([]);
});

test.each(threats)('$threat', (one) => {
  expect(errorsOf(one)).toEqual([]);
  const isHeld = /\[`[a-z0-9-]+\/|\b[A-Z]{4,}\b|lint rule/.test(one.held);
  expect(isHeld, 'names no test').toBe(true);
  expect(one.held.replaceAll(PARTS, ''), 'a file of a test is a link').not.toMatch(/`[a-z0-9-]+\//);
});

describe('a threat whose test is gone is found', () => {
  test.each([
    ['[`unit/web/gone.test.ts`](../test/unit/web/gone.test.ts)', 'there is no test/unit/web/gone.test.ts'],
    [
      '[`integration/delegation.test.ts`](../test/integration/delegation.test.ts) "is called something else"',
      'nothing is called "is called something else"',
    ],
    ['[`security/corpus.test.ts`](../test/security/corpus.test.ts) NOTABLE', 'there is no table NOTABLE'],
  ])('%s', (held, error) => {
    expect(errorsOf({ held })).toEqual([error]);
  });
});
