import { decodeCursor, encodeCursor } from './cursor.ts';
import type { SessionOrder, SessionPage, SessionQuery, SessionRecord } from './store.ts';

/** More than this on one page helps nobody and would hold the store. */
const LARGEST_PAGE = 500;
/** Sessions that one call unseals to find those that a filter wants: some tenths of a second. */
const MOST_LOOKED_AT = 2000;
/** A filter is asked about so many, and then others have their turn. */
const AT_ONCE = 100;

/** Sessions opened that have places of their own within one second of last use. */
export const PLACES_A_SECOND = 2 ** 20;

/**
 * Place in the order of last use: no two that are minted in one second stand in the same place, so that a page which ends between them
 * loses neither.
 * @param lastUsedAt epoch seconds
 * @param opened counts sessions opened
 * @returns a safe integer until the year 2242
 */
export const placeOfUse = (lastUsedAt: number, opened: number): number =>
  lastUsedAt * PLACES_A_SECOND + (opened % PLACES_A_SECOND);

/** Of an account, a username or a provider's session there are few: they are listed newest first alone. */
const orderOf = ({ account, username, providerSession, order = 'newest' }: SessionQuery): SessionOrder =>
  account === undefined && username === undefined && providerSession === undefined ? order : 'newest';

/** From the lowest place up. */
export const goesUp = (order: SessionOrder): boolean => order === 'oldest' || order === 'least-used';

/** Puts a page together from sessions that come in their order. */
export class Page {
  readonly order: SessionOrder;
  /** Place after which it begins; undefined: at the front. */
  readonly after: number | undefined;
  readonly #size: number;
  readonly #where: SessionQuery['where'];
  readonly #found: { readonly record: SessionRecord; readonly place: number }[] = [];
  #looked = 0;
  #last: number | undefined;

  /** @throws AppError `bad_request` (`bad_cursor`) */
  constructor(query: SessionQuery) {
    this.order = orderOf(query);
    this.after = query.cursor === undefined ? undefined : decodeCursor(this.order, query.cursor);
    this.#size = Math.min(Math.max(Math.trunc(query.limit) || 1, 1), LARGEST_PAGE);
    this.#where = query.where;
  }

  /** How many more sessions it should be shown next; 0 once it has seen enough. One more than the page says whether there is another. */
  get wants(): number {
    const missing = this.#size + 1 - this.#found.length;
    if (this.#where === undefined || missing === 0) return missing;
    return Math.min(AT_ONCE, MOST_LOOKED_AT - this.#looked);
  }

  /** @param record undefined for one that cannot be read */
  look(record: SessionRecord | undefined, place: number): void {
    if (this.wants === 0) return;
    this.#looked += 1;
    this.#last = place;
    if (record !== undefined && this.#where?.(record) !== false) this.#found.push({ record, place });
  }

  /** @param more whether there are sessions that it has not seen */
  end(more: boolean): SessionPage {
    const shown = this.#found.slice(0, this.#size);
    const full = this.#found.length > this.#size;
    const last = full ? shown.at(-1)?.place : this.#last;
    return {
      sessions: shown.map(({ record }) => record),
      ...((full || more) && last !== undefined ? { cursor: encodeCursor(this.order, last) } : {}),
    };
  }
}
