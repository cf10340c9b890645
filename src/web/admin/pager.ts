/**
 * Links to the other pages of a long list. The position is in the URL, so that a page can be bookmarked and shared.
 */
import { html, type Html } from '../page/html.ts';
import { queryString } from './links.ts';

const NUMBER = /^[1-9]\d{0,5}$/;

/** Returns the page number of the URL; 1 for anything that is not a number. */
export const pageNumber = (value: string | undefined): number => (NUMBER.test(value ?? '') ? Number(value) : 1);

const link = (href: string, label: string): Html => html`<a class="button quiet compact" href="${href}">${label}</a>`;

/** Returns the links for a list that is read completely. */
export function numberedPager(path: string, page: number, pages: number): Html {
  if (pages <= 1) return html``;
  const at = (number: number): string => `${path}${queryString({ page: number === 1 ? '' : String(number) })}`;
  return html`<nav class="pager" aria-label="Pages">
    <span>${page > 1 && link(at(page - 1), 'Newer')}</span>
    <span class="small muted">Page ${page} of ${pages}</span>
    <span>${page < pages && link(at(page + 1), 'Older')}</span>
  </nav>`;
}

/** Returns the links for a list that is read by cursor: to the first page and to the next one. */
export function cursorPager(first: string | undefined, next: string | undefined, nextLabel: string): Html {
  if (first === undefined && next === undefined) return html``;
  return html`<nav class="pager" aria-label="Pages">
    <span>${first !== undefined && link(first, 'First page')}</span>
    <span>${next !== undefined && link(next, nextLabel)}</span>
  </nav>`;
}
