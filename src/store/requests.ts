/** What both implementations check of a request before it is written to the log. */
import { targetKey, type TargetKey } from '../core/credential/revocation.ts';
import type { AppendRequest } from './store.ts';

/**
 * A target key as the log's rows hold it, between blanks. A key that does not fit would fence every replica that
 * reads it.
 */
const KEY = /^(?:all|provider:\S{1,256}|(?:session|account):[A-Za-z0-9_-]{22})$/;
const DRILL_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const isTargetKey = (text: string): text is TargetKey => KEY.test(text);
export const isDrillId = (text: string): boolean => DRILL_ID.test(text);

/**
 * Returns what the same request id must stand for when it is sent again, and for whom where two admins were needed. The
 * author and the time of a lock are not part of it.
 */
export const meaningOf = ({ target, lock, by }: Pick<AppendRequest, 'target' | 'lock' | 'by'>): string =>
  JSON.stringify([target, lock !== undefined, ...(by === undefined ? [] : [by])]);

/** @throws RangeError for a request that cannot be written: a programming error, found before anything is written */
export function checkedKey({ target, lock }: AppendRequest): TargetKey {
  const key = targetKey(target);
  if (!isTargetKey(key)) throw new RangeError('a provider’s name has no blanks and at most 256 characters');
  if (lock !== undefined && target.kind !== 'account') throw new RangeError('only an account can be locked');
  return key;
}

/** @throws RangeError */
export function checkedDrillId(id: string): string {
  if (!isDrillId(id)) throw new RangeError('a drill’s id has up to 64 letters, digits, dashes and underscores');
  return id;
}

/** @returns whole seconds, at least one. @throws RangeError */
export function checkedTokenSeconds(seconds: number): number {
  if (!Number.isFinite(seconds)) throw new RangeError(`longestTokenSeconds must be a finite number, got ${seconds}`);
  return Math.max(Math.ceil(seconds), 1);
}
