/**
 * The navigation of the site: docs/README.md in its order. A page that it does not name comes below the overview of its folder
 * (docs/decisions/README.md), in the order of that overview, so that a page that is linked nowhere is in no navigation either: a test finds it.
 */
import { posix } from 'node:path';
import type { Pages, SitePage } from './pages.ts';

export type NavigationItem =
  | { readonly label: string; readonly slug: string }
  | { readonly label: string; readonly collapsed: boolean; readonly items: readonly NavigationItem[] };

/** The pages that a text links to, each once, in its order. */
function linkedPages(pages: Pages, { file, body }: SitePage): readonly SitePage[] {
  const links = [...body.matchAll(/\]\(([^)#\s]+)[^)\s]*\)/g)].map(([, link = '']) => link);
  const files = links.map((link) => posix.normalize(posix.join(posix.dirname(file), link)));
  return [...new Set(files)].flatMap((one) => pages.get(one) ?? []);
}

const isOverview = ({ file }: SitePage): boolean => /^docs\/.+\/README\.md$/.test(file);

/** @throws Error where docs/README.md is not there */
export function navigationOf(pages: Pages): readonly NavigationItem[] {
  const start = pages.get('docs/README.md');
  const first = pages.get('README.md');
  if (start === undefined || first === undefined)
    throw new Error('the navigation is made from README.md and docs/README.md');
  const sections = start.body.split(/^## /m).slice(1);
  const named = new Set(linkedPages(pages, start));
  const seen = new Set<SitePage>([first, start]);

  const itemsFor = (found: readonly SitePage[]): readonly NavigationItem[] =>
    found.flatMap((page) => {
      if (seen.has(page)) return [];
      seen.add(page);
      const link = { label: page.title, slug: page.slug };
      if (!isOverview(page)) return link;
      const folder = `${posix.dirname(page.file)}/`;
      const below = linkedPages(pages, page).filter((one) => one.file.startsWith(folder) && !named.has(one));
      return { label: page.title, collapsed: true, items: [{ ...link, label: 'Overview' }, ...itemsFor(below)] };
    });

  return [
    { label: first.title, slug: first.slug },
    { label: 'All pages', slug: start.slug },
    ...sections.map((section) => ({
      label: section.split('\n', 1)[0] ?? '',
      collapsed: false,
      items: itemsFor(linkedPages(pages, { ...start, body: section })),
    })),
  ];
}

/** The addresses in a navigation, from its top to its end. */
export const slugsIn = (items: readonly NavigationItem[]): readonly string[] =>
  items.flatMap((item) => ('slug' in item ? item.slug : slugsIn(item.items)));
