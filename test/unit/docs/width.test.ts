/** Pages are read in terminals and in diffs, so that no line of prose is wider than 120 columns. */
import { expect, test } from 'vitest';
import { markdownPages, proseOf, readPage } from './markdown.ts';

const WIDEST = 120;

/** Too long although there is a blank to break it at: an address or a link alone may be longer. */
const isTooWide = (line: string): boolean => line.length > WIDEST && /\S /.test(line.trimStart().slice(2, WIDEST));

test('no line of prose is wider than 120 columns', () => {
  const wide = markdownPages().flatMap((page) =>
    proseOf(readPage(page))
      .filter(isTooWide)
      .map((line) => `${page} has ${line.length}: ${line.slice(0, 60)}`),
  );
  expect(wide).toEqual([]);
});
