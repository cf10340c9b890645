/** Pages of a list, and the bounds of what one call examines. */
import { AppError } from '../core/errors.ts';
import type { SessionOrder, SessionQuery } from './store.ts';

/** A larger page is of no use and would occupy the store. */
const LARGEST_PAGE = 500;
/** Most records that one call unseals to find those that match a filter: some hundredths of a second. */
const MOST_EXAMINED = 500;
/** Most sessions that one tally examines: no one needs the exact number of more. */
export const MOST_TALLIED = 2000;
/** So many are filtered in one go, then other requests have their turn. */
const FILTER_BATCH = 100;
/** For a page that misses fewer, so many at least: a filter leaves most out. */
const SMALLEST_BATCH = 25;

/** Sessions opened that have distinct scores within one second of last use. */
export const SCORES_PER_SECOND = 2 ** 20;

/**
 * Returns the score of a session in the order of last use. No two sessions used in one second share it, so a
 * page that ends between them loses neither.
 * @param lastUse epoch seconds
 * @param opened number of sessions opened so far
 * @returns a safe integer until the year 2242
 */
export const lastUseScore = (lastUse: number, opened: number): number =>
  lastUse * SCORES_PER_SECOND + (opened % SCORES_PER_SECOND);

/** An account, a session, a username or a provider's session has few sessions, so these are listed newest first only. */
export const orderOf = ({
  account,
  ancestor,
  username,
  providerSession,
  order = 'newest',
}: SessionQuery): SessionOrder =>
  [account, ancestor, username, providerSession].every((each) => each === undefined) ? order : 'newest';

/** Whether the lowest position comes first. */
export const isAscending = (order: SessionOrder): boolean => order === 'oldest' || order === 'least-used';

interface PageQuery<Item> {
  /** Must not throw. */
  readonly where?: ((item: Item) => boolean) | undefined;
  readonly mostExamined?: number | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** Builds a page from sessions, or access requests, that arrive in their order. */
export class Page<Item> {
  readonly order: SessionOrder;
  /** The position after which the page begins; undefined: at the front. */
  readonly after: number | undefined;
  readonly #size: number;
  readonly #where: PageQuery<Item>['where'];
  readonly #mostExamined: number;
  readonly #found: { readonly item: Item; readonly position: number }[] = [];
  #examined = 0;
  #last: number | undefined;

  /** @throws AppError `bad_request` (`bad_cursor`) */
  constructor(query: PageQuery<Item>, order: SessionOrder) {
    this.order = order;
    this.after = query.cursor === undefined ? undefined : decodeCursor(this.order, query.cursor);
    this.#size = Math.min(Math.max(Math.trunc(query.limit) || 1, 1), LARGEST_PAGE);
    this.#where = query.where;
    this.#mostExamined = Math.min(query.mostExamined ?? MOST_EXAMINED, MOST_EXAMINED);
  }

  /**
   * How many more should be passed to `add`; 0 once there are enough. One more than the page shows
   * whether there is another page.
   */
  get remaining(): number {
    const missing = this.#size + 1 - this.#found.length;
    if (this.#where === undefined || missing === 0) return missing;
    const batch = Math.min(FILTER_BATCH, Math.max(SMALLEST_BATCH, missing));
    return Math.min(batch, this.#mostExamined - this.#examined);
  }

  /** @param item undefined for one that cannot be read */
  add(item: Item | undefined, position: number): void {
    if (this.remaining === 0) return;
    this.#examined += 1;
    this.#last = position;
    if (item !== undefined && this.#where?.(item) !== false) this.#found.push({ item, position });
  }

  /** @param more whether there are some that were not passed to `add` */
  end(more: boolean): { readonly items: readonly Item[]; readonly cursor?: string } {
    const shown = this.#found.slice(0, this.#size);
    const full = this.#found.length > this.#size;
    const last = full ? shown.at(-1)?.position : this.#last;
    return {
      items: shown.map(({ item }) => item),
      ...((full || more) && last !== undefined ? { cursor: encodeCursor(this.order, last) } : {}),
    };
  }
}

/**
 * Encodes the end of a page, opaque to callers: the order of the list, and the position of the last one
 * examined. A position is meaningless in another order.
 */
export const encodeCursor = (order: SessionOrder, position: number): string =>
  Buffer.from(`${order}:${position}`).toString('base64url');

/**
 * @returns the position after which the next page begins
 * @throws AppError `bad_request` (`bad_cursor`) for anything that `encodeCursor` did not make for this order,
 * because a cursor comes from outside
 */
export function decodeCursor(order: SessionOrder, cursor: string): number {
  const [, named, digits] =
    /^([a-z-]{1,16}):([1-9][0-9]{0,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  const position = Number(digits);
  if (named !== order || !Number.isSafeInteger(position)) {
    throw new AppError('bad_request', 'This page of the list does not exist. Start again without a cursor.', {
      reason: 'bad_cursor',
    });
  }
  return position;
}
