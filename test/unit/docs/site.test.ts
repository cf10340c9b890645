/** The site of the documentation, as far as it can be checked without its generator; `npm run docs:check` builds it and looks at it in Chromium. */
import { describe, expect, it, test } from 'vitest';
import { relativize, withPolicy } from '../../../site/src/finish.ts';
import { navigationOf, slugsIn } from '../../../site/src/navigation.ts';
import { destinationOf, readPages, sourceUrl } from '../../../site/src/pages.ts';
import { searchRecords } from '../../../site/src/search-text.ts';
import { isOutside, linksOf, markdownPages, ROOT } from './markdown.ts';

const pages = readPages(ROOT);
const LOST = ['docs', 'lost.md'].join('/');
const slugs = slugsIn(navigationOf(pages));

test('every page of docs is on the site, and once in its navigation', () => {
  const docs = markdownPages().filter((file) => file.startsWith('docs/'));
  expect([...pages.keys()]).toEqual(
    expect.arrayContaining([...docs, 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']),
  );
  expect(slugs.toSorted()).toEqual([...pages.values()].map(({ slug }) => slug).toSorted());
});

test('the navigation has the sections of docs/README.md, and its order', () => {
  const items = navigationOf(pages);
  const sections = [...(pages.get('docs/README.md')?.body.matchAll(/^## (.*)$/gm) ?? [])].map(([, name]) => name);
  expect(items.slice(2).map(({ label }) => label)).toEqual(sections);
  expect(slugs.slice(0, 4)).toEqual(['index', 'all-pages', 'revocation', 'threat-model']);
  expect(slugs.indexOf('decisions/0002-oidc-provider-as-authorization-server')).toBe(
    slugs.indexOf('decisions/overview') + 2,
  );
});

test('a page that nothing names is in no navigation, which is how it is found', () => {
  const more = new Map([...pages, [LOST, { file: LOST, slug: 'lost', title: 'Lost', body: '' }]]);
  expect(slugsIn(navigationOf(more))).not.toContain('lost');
});

test.each([...pages.values()])('every link of $file leads to a page, a picture or a source file', ({ file, body }) => {
  const kinds = linksOf(body)
    .filter((link) => !isOutside(link))
    .map((link) => destinationOf(pages, file, link).kind);
  expect(kinds).not.toContain('outside');
});

describe('where a link leads', () => {
  it.each([
    [
      'docs/revocation.md',
      'runbooks/redis-lost.md#what-to-do',
      { kind: 'page', href: '/runbooks/redis-lost.html#what-to-do' },
    ],
    ['docs/runbooks/down.md', '../../README.md', { kind: 'page', href: '/index.html' }],
    ['docs/runbooks/down.md', '#what-to-do', { kind: 'page', href: '/runbooks/down.html#what-to-do' }],
    ['README.md', 'docs/decisions', { kind: 'page', href: '/decisions/overview.html' }],
    ['README.md', 'docs/runbooks', { kind: 'page', href: '/all-pages.html' }],
    [
      'README.md',
      'docs/images/receipt.png',
      { kind: 'image', href: '/docs/images/receipt.png', path: 'docs/images/receipt.png' },
    ],
    ['docs/architecture.md', '../src/main.ts', { kind: 'source', path: 'src/main.ts' }],
    ['docs/architecture.md', '../test/model/README.md', { kind: 'source', path: 'test/model/README.md' }],
    ['README.md', 'https://example.com/', { kind: 'outside' }],
  ])('%s: %s', (from, link, to) => {
    expect(destinationOf(pages, from, link)).toEqual(to);
  });

  it('is never out of the repository', () => {
    expect(() => destinationOf(pages, 'docs/revocation.md', '../../etc/passwd')).toThrow('links out of the repository');
  });

  it('is a file or a folder of the repository, at the state that the page is of', () => {
    const at = { repository: 'https://git.example/p', ref: 'v1.2.3' };
    expect(sourceUrl(ROOT, 'src/main.ts', at)).toBe('https://git.example/p/blob/v1.2.3/src/main.ts');
    expect(sourceUrl(ROOT, 'test/model', at)).toBe('https://git.example/p/tree/v1.2.3/test/model');
  });
});

describe('a finished page', () => {
  it('leads from where it is, so that it works at any address and from a folder', () => {
    const html =
      '<a href="/"></a><a href="/x.html#a"></a><img src="/docs/y.png"><a href="https://z/"></a><option value="/../next/x.html">';
    expect(relativize(html, 'runbooks/down.html')).toBe(
      '<a href="../index.html"></a><a href="../x.html#a"></a><img src="../docs/y.png"><a href="https://z/"></a><option value="../../next/x.html">',
    );
    expect(relativize('<a href="/x.html">', '404.html', '/base/next/')).toBe('<a href="/base/next/x.html">');
  });

  it('allows what stands in it by hash, and nothing else', () => {
    const html =
      '<meta charset="utf-8"><script>one()</script><script defer src="a.js"></script><p style="--a: &quot;b&quot;">';
    const policy = /content="(default-src[^"]*)"/.exec(withPolicy(html))?.[1] ?? '';
    expect(policy).toContain("script-src 'self' 'sha256-HR7iaask9daLMRRskMI++QeJtjWDOjyPA6lGzYGzKW4='");
    expect(policy.match(/sha256-/g)).toHaveLength(2);
    expect(policy).not.toContain('unsafe-inline');
  });

  it('is searched by its sections, with what it shows as text', () => {
    const html =
      '<p>Before &lt;all&gt;</p><h2 id="b"><a href="#b">The <code>b</code></a></h2><p>Some</p><pre>text &#x26; more</pre>';
    expect(searchRecords({ slug: 'a', title: 'A', html })).toEqual([
      { id: 'a.html', page: 'A', heading: '', text: 'Before <all>' },
      { id: 'a.html#b', page: 'A', heading: 'The b', text: 'Some text & more' },
    ]);
  });
});
