/** Every link of every page leads somewhere, and every page of docs is found by following links. */
import { existsSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { anchorsOf, linkErrorOf, isOutside, linksOf, markdownPages, readPage, resolveLink, ROOT } from './markdown.ts';

const pages = markdownPages();

/** Where readers begin. */
const STARTS = ['README.md', 'docs/README.md'];

test('the pages are found', () => {
  for (const page of ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/README.md', 'docs/posture/README.md'])
    expect(pages).toContain(page);
});

test.each(pages)('every link of %s leads somewhere', (page) => {
  const errors = linksOf(readPage(page)).flatMap((target) => {
    const error = linkErrorOf(page, target);
    return error === undefined ? [] : [`${target}: ${error}`];
  });
  expect(errors).toEqual([]);
});

describe('from README.md and docs/README.md', () => {
  const found = new Set<string>(STARTS);
  for (const page of found) {
    if (!page.endsWith('.md')) continue;
    for (const target of linksOf(readPage(page)).filter((one) => !isOutside(one))) {
      const { path } = resolveLink(page, target);
      const isFolder = existsSync(`${ROOT}${path}`) && statSync(`${ROOT}${path}`).isDirectory();
      const file = isFolder ? posix.join(path, 'README.md') : path;
      if (existsSync(`${ROOT}${file}`)) found.add(file);
    }
  }

  test.each(pages.filter((page) => page.startsWith('docs/')))('a reader finds %s', (page) => {
    expect(found.has(page), `link to ${page} from docs/README.md or from a page that is linked there`).toBe(true);
  });
});

describe('links and anchors are read as GitHub reads them', () => {
  test('a link in code is none, and an image is one', () => {
    expect(linksOf('`[a](b.md)` ![c](d.png) [e `]`](f.md#g)\n```\n[h](i.md)\n```\n[j](<k.md> "l")')).toEqual([
      'd.png',
      'f.md#g',
      'k.md',
    ]);
  });

  test('a heading loses its punctuation, and gets a number where it comes again', () => {
    expect([...anchorsOf('# `a.b`: c — d_e\n\n## Same\n```sh\n# no heading\n```\n## Same\n')]).toEqual([
      'ab-c--d_e',
      'same',
      'same-1',
    ]);
  });

  test('what leads nowhere is found', () => {
    expect(linkErrorOf('docs/README.md', 'no-such-page.md')).toBe('docs/no-such-page.md does not exist');
    expect(linkErrorOf('README.md', 'docs/revocation.md#no-such-heading')).toContain('no heading');
    expect(linkErrorOf('README.md', '../elsewhere.md')).toBe('leads out of the repository');
    expect(linkErrorOf('README.md', 'http://example.com/')).toBe('links outward are https');
  });
});
