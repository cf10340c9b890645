/** Times in a readable form, and durations as users type them. */
import { cliError } from '../errors.ts';

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/** Returns a period in one or two units: `30m`, `9h30m`. @param seconds whole */
export function spanText(seconds: number): string {
  const first = UNITS.findIndex(([, length]) => seconds >= length);
  if (first === -1) return '0s';
  const [unit, length] = UNITS[first] ?? UNITS[3];
  const [smaller, part] = UNITS[first + 1] ?? UNITS[3];
  const rest = Math.floor((seconds % length) / part);
  return `${Math.floor(seconds / length)}${unit}${rest === 0 || unit === 's' ? '' : `${rest}${smaller}`}`;
}

/**
 * Returns the distance from now, in one or two units: `3m ago`, `in 9h30m`.
 * @param text RFC 3339, as a server sent it; anything else is returned as it is
 * @param now epoch milliseconds
 */
export function fromNow(text: string, now: number): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return text;
  const seconds = Math.round(Math.abs(at - now) / 1000);
  if (seconds === 0) return 'now';
  return at < now ? `${spanText(seconds)} ago` : `in ${spanText(seconds)}`;
}

const HALF_DAY_MS = 12 * 3600 * 1000;

/**
 * Returns a moment both ways, in local time: `15:04 (in 29m)`. With its day where that is not today and the time of
 * day alone may mean another: a narrow table has no space for more.
 * @param at epoch milliseconds
 * @param now epoch milliseconds
 */
export function bothWays(at: number, now: number): string {
  const [moment, today] = [new Date(at), new Date(now)].map(localTime);
  const withoutDay = moment?.day === today?.day || Math.abs(at - now) < HALF_DAY_MS;
  const time = withoutDay ? moment?.time : `${moment?.day} ${moment?.time}`;
  return `${time} (${fromNow(new Date(at).toISOString(), now)})`;
}

function localTime(moment: Date): { readonly day: string; readonly time: string } {
  const two = (part: number): string => String(part).padStart(2, '0');
  return {
    day: `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`,
    time: `${two(moment.getHours())}:${two(moment.getMinutes())}`,
  };
}

/** Returns seconds. @throws AppError `bad_request` */
export function parseDuration(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,6})([smhd])$/.exec(text) ?? [];
  const length = UNITS.find(([name]) => name === unit)?.[1];
  if (count !== undefined && length !== undefined) return Number(count) * length;
  throw cliError('bad_request', '--for is no duration.', 'give a number and a unit, such as 90s, 30m or 2h');
}
