import { AppError } from '../core/errors.ts';
import type { SessionOrder } from './store.ts';

/**
 * A page's end, opaque to callers: the order of the list, and the place in it of the last session looked at. A place means nothing in another
 * order.
 */
export const encodeCursor = (order: SessionOrder, place: number): string =>
  Buffer.from(`${order}:${place}`).toString('base64url');

/**
 * @returns the place after which the next page begins
 * @throws AppError `bad_request` (`bad_cursor`) for anything that `encodeCursor` did not make for this order; a cursor comes from outside
 */
export function decodeCursor(order: SessionOrder, cursor: string): number {
  const [, named, digits] =
    /^([a-z-]{1,16}):([1-9][0-9]{0,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  const place = Number(digits);
  if (named !== order || !Number.isSafeInteger(place)) {
    throw new AppError('bad_request', 'This page of the list does not exist. Begin again without a cursor.', {
      reason: 'bad_cursor',
    });
  }
  return place;
}
