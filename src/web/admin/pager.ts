/**
 * Links to the rest of a long list. Where one stands is in the URL, so that a page can be kept and sent to somebody.
 */
import { html, type Html } from '../page/html.ts';
import { queryString } from './links.ts';

const NUMBER = /^[1-9]\d{0,5}$/;

/** A page's number as the URL says it; the first one for whatever is no number. */
export const pageNumber = (value: string | undefined): number => (NUMBER.test(value ?? '') ? Number(value) : 1);

const link = (href: string, words: string): Html => html`<a class="button quiet compact" href="${href}">${words}</a>`;

/** For lists that are read whole. */
export function numberedPager(path: string, page: number, pages: number): Html {
  if (pages <= 1) return html``;
  const at = (number: number): string => `${path}${queryString({ page: number === 1 ? '' : String(number) })}`;
  return html`<nav class="pager" aria-label="Pages">
    <span>${page > 1 && link(at(page - 1), 'Newer')}</span>
    <span class="small muted">Page ${page} of ${pages}</span>
    <span>${page < pages && link(at(page + 1), 'Older')}</span>
  </nav>`;
}

/** For lists that are read by cursor: there is a way to the first page and a way on. */
export function cursorPager(first: string | undefined, next: string | undefined, nextWords: string): Html {
  if (first === undefined && next === undefined) return html``;
  return html`<nav class="pager" aria-label="Pages">
    <span>${first !== undefined && link(first, 'First page')}</span>
    <span>${next !== undefined && link(next, nextWords)}</span>
  </nav>`;
}
