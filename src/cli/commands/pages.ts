/** Lists of the server, which come page by page. */
import type { OperationCommand } from '../../core/api/operation.ts';

/** The most pages that are requested: 20,000 rows of the admin API. */
const MAX_PAGES = 100;
const PAGE = 200;

/**
 * Reads page after page, from the first.
 * @param filters of the query, and its `limit` where that is not 200
 * @param read returns the page of a query, such as `limit=200&role=shop-admins&cursor=…`
 * @returns what was read, and whether there is more than that
 */
export async function readPages<T>(
  filters: URLSearchParams,
  read: (query: string) => Promise<{ readonly items: readonly T[]; readonly cursor?: string | undefined }>,
): Promise<{ readonly found: T[]; readonly more: boolean }> {
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const [name, value] of filters) query.set(name, value);
  const found: T[] = [];
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { items, cursor } = await read(query.toString());
    found.push(...items);
    if (cursor === undefined) return { found, more: false };
    query.set('cursor', cursor);
  }
  return { found, more: true };
}

/** Returns the options of a command as parameters of a query. Each is one, but for the form of the output. */
export function filtersOf(command: OperationCommand | undefined, given: object): URLSearchParams {
  const options = new Map<string, string | boolean>(Object.entries(given));
  const filters = new URLSearchParams();
  for (const [flags] of command?.options ?? []) {
    const name = /--(?:no-)?([a-z]+)/.exec(flags)?.[1] ?? '';
    const value = options.get(name);
    if (name !== 'output' && value !== undefined) filters.set(name, String(value));
  }
  return filters;
}
