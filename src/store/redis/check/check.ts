/**
 * `portcullis store check`: whether a server is suitable as the store, found out by doing what the store does.
 *
 * Owns what is observed and how it is judged. Nothing but scratch keys is written (lua/store-check.lua), and no key of
 * the store is read.
 */
import type { RedisSettings } from '../settings.ts';
import { judge } from './judge.ts';
import { observe } from './observe.ts';
import type { CheckRow } from './row.ts';

export type { CheckRow } from './row.ts';

/**
 * Ends within a minute, whatever the server does.
 * @throws RangeError for settings that cannot work
 */
export async function checkStore(settings: RedisSettings): Promise<readonly CheckRow[]> {
  return judge(await observe(settings), settings);
}
