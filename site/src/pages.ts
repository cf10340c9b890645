/** The pages of the site, and where a link of a page leads: read from a checkout, without the generator. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';

/** Beside `docs`, what readers of the site look for; README.md is its first page. */
const AT_THE_ROOT = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'];

export interface SitePage {
  /** From the root of the checkout. */
  readonly file: string;
  /** Its address without `.html`, from the root of the site. */
  readonly slug: string;
  readonly title: string;
  /** Without its title, which the site sets itself. */
  readonly body: string;
}

export type Pages = ReadonlyMap<string, SitePage>;

/** `README.md` of a folder would be `index`, and take the address of a page that is named as the folder is: `posture`. */
function slugOf(file: string): string {
  if (file === 'README.md') return 'index';
  if (file === 'docs/README.md') return 'all-pages';
  return file
    .replace(/^docs\//, '')
    .replace(/\.md$/, '')
    .replace(/README$/, 'overview')
    .toLowerCase();
}

function readPage(root: string, file: string): SitePage {
  const text = readFileSync(join(root, file), 'utf8');
  const heading = /^# (.+)$/m.exec(text);
  if (heading?.[1] === undefined) throw new Error(`${file} has no title: begin it with a line "# …"`);
  const title = heading[1].replaceAll('`', '');
  return { file, slug: slugOf(file), title, body: text.replace(heading[0], '') };
}

/**
 * Reads all pages of a checkout, by file.
 * @throws Error where a page has no title, or two have one address
 */
export function readPages(root: string): Pages {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
    .toSorted();
  const pages = [...AT_THE_ROOT.filter((file) => existsSync(join(root, file))), ...docs].map((file) =>
    readPage(root, file),
  );
  const slugs = new Map<string, string>();
  for (const { file, slug } of pages) {
    const other = slugs.get(slug);
    if (other !== undefined) throw new Error(`${file} and ${other} would both be ${slug}.html: rename one of them`);
    slugs.set(slug, file);
  }
  return new Map(pages.map((page) => [page.file, page]));
}

export type Destination =
  | { readonly kind: 'outside' }
  | { readonly kind: 'page'; readonly href: string }
  | { readonly kind: 'image'; readonly href: string; readonly path: string }
  | { readonly kind: 'source'; readonly path: string };

/**
 * Says where a link of a page leads. Addresses are from the root of the site.
 * @throws Error for a link out of the repository
 */
export function destinationOf(pages: Pages, from: string, link: string): Destination {
  // A picture that is rewritten already is at an address of the site.
  if (link.startsWith('/docs/images/') || /^[a-z][a-z0-9+.-]*:/i.test(link)) return { kind: 'outside' };
  const [written = '', anchor] = link.split('#');
  const path =
    written === '' ? from : posix.normalize(posix.join(posix.dirname(from), decodeURI(written))).replace(/\/$/, '');
  if (path.startsWith('..') || path.startsWith('/')) throw new Error(`${from} links out of the repository: ${link}`);
  if (/\.(png|svg|gif)$/.test(path)) return { kind: 'image', href: `/${path}`, path };
  const page =
    pages.get(path) ?? pages.get(`${path}/README.md`) ?? (holdsPages(pages, path) && pages.get('docs/README.md'));
  if (!page) return { kind: 'source', path };
  return { kind: 'page', href: `/${page.slug}.html${anchor === undefined ? '' : `#${anchor}`}` };
}

const holdsPages = (pages: Pages, folder: string): boolean =>
  [...pages.keys()].some((file) => file.startsWith(`${folder}/`));

/** @returns the address of a source file in the repository, `tree` for a folder */
export function sourceUrl(
  root: string,
  path: string,
  { repository, ref }: { repository: string; ref: string },
): string {
  const isFolder = statSync(join(root, path), { throwIfNoEntry: false })?.isDirectory() === true;
  return `${repository}/${isFolder ? 'tree' : 'blob'}/${ref}/${path}`;
}
