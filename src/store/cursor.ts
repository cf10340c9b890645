import { AppError } from '../core/errors.ts';

/**
 * A page's end, opaque to callers: the order number of the last session shown.
 */
export const encodeCursor = (order: number): string => Buffer.from(`after:${order}`).toString('base64url');

/**
 * @returns the order number after which the next page begins
 * @throws AppError `bad_request` for anything that `encodeCursor` did not make; a cursor comes from outside
 */
export function decodeCursor(cursor: string): number {
  const order = /^after:([1-9][0-9]{0,14})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  if (order === undefined) {
    throw new AppError('bad_request', 'This page of the list does not exist. Begin again without a cursor.', {
      reason: 'bad_cursor',
    });
  }
  return Number(order);
}

/** More than this on one page helps nobody and would hold the store. */
const LARGEST_PAGE = 500;

export const pageSize = (limit: number): number => Math.min(Math.max(Math.trunc(limit) || 1, 1), LARGEST_PAGE);
