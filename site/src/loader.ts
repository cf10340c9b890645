/** Hands the Markdown of a checkout to the generator as it is there, and rewrites only where links lead. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Loader } from 'astro/loaders';
import { destinationOf, readPages, sourceUrl, type Pages } from './pages.ts';
import { searchRecords } from './search-text.ts';
import { readSettings, type Settings } from './settings.ts';

const unescape = (text: string): string => text.replaceAll('&#x26;', '&').replaceAll('&amp;', '&');

/** A link to a source file, where no repository is known: its path, behind its text unless that is the path. */
function asPath(text: string, path: string): string {
  const code = `<code>${path}</code>`;
  return text === path || text === code ? code : `${text} (${code})`;
}

function rewriteLinks(html: string, file: string, pages: Pages, { root, source }: Settings): string {
  return html
    .replaceAll(/<a href="([^"]*)"([^>]*)>([^]*?)<\/a>/g, (whole, link: string, rest: string, text: string) => {
      const to = destinationOf(pages, file, unescape(link));
      // An address that stands in the text, such as http://HOST:PORT, is linked by the generator; ours are https.
      if (to.kind === 'outside') return link.startsWith('http:') ? text : whole;
      if (to.kind === 'page' || to.kind === 'image') return `<a href="${to.href}"${rest}>${text}</a>`;
      if (source === undefined) return asPath(text, to.path);
      return `<a href="${sourceUrl(root, to.path, source)}"${rest}>${text}</a>`;
    })
    .replaceAll(/(<(?:img|source) [^>]*?(?:src|srcset)=")([^"]*)"/g, (whole, before: string, link: string) => {
      const to = destinationOf(pages, file, unescape(link));
      return to.kind === 'image' ? `${before}${to.href}"` : whole;
    });
}

/** The generator would take a picture of the checkout for one to convert; at this address it is used as it is. */
const rewriteImages = (body: string, file: string, pages: Pages): string =>
  body.replaceAll(/(!\[[^\]]*\]\()([^)\s]+)/g, (whole, before: string, link: string) => {
    const to = destinationOf(pages, file, link);
    return to.kind === 'image' ? `${before}${to.href}` : whole;
  });

/** A heading links to itself, so that its address can be copied. One that has a link already stays as it is. */
const linkHeadings = (html: string): string =>
  html.replaceAll(/<(h[2-4]) id="([^"]*)">((?:(?!<a )[^])*?)<\/\1>/g, '<$1 id="$2"><a href="#$2">$3</a></$1>');

/** Wide tables and code scroll by themselves, also by keyboard. A header without text is none. */
const frameWide = (html: string): string =>
  html
    .replaceAll('<table>', '<div class="table" tabindex="0" role="group" aria-label="Table"><table>')
    .replaceAll('</table>', '</table></div>')
    .replaceAll(/<th([^>]*)><\/th>/g, '<td$1></td>')
    .replaceAll(/<pre(?=[ >])/g, '<pre tabindex="0"');

const bannerOf = ({ version, versions }: Settings): { banner?: { content: string } } => {
  const latest = versions.find(({ id }) => id !== 'next');
  if (latest === undefined || latest.id === version) return {};
  const what = version === 'next' ? 'what is not released yet' : `version ${version}`;
  return {
    banner: {
      content: `This is about ${what}. <a href="/../${latest.id}/index.html">Latest release: ${latest.label}</a>`,
    },
  };
};

/** @returns a loader of Astro's content layer */
export function checkoutLoader(): Loader {
  return {
    name: 'portcullis-checkout',
    async load(context) {
      const { store } = context;
      const settings = readSettings();
      const pages = readPages(settings.root);
      const texts: unknown[] = [];
      store.clear();
      for (const { file, slug, title, body } of pages.values()) {
        const rendered = await context.renderMarkdown(rewriteImages(body, file, pages), {
          fileURL: pathToFileURL(join(settings.root, file)),
        });
        const html = frameWide(linkHeadings(rewriteLinks(rendered.html, file, pages, settings)));
        texts.push(...searchRecords({ slug, title, html }));
        const data = await context.parseData({ id: slug, data: { title, ...bannerOf(settings) } });
        store.set({ id: slug, data, body, digest: context.generateDigest(html), rendered: { ...rendered, html } });
      }
      await writeFile(settings.searchText, JSON.stringify(texts));
    },
  };
}
