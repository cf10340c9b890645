/** Times as numbers. */

/**
 * Returns RFC 3339 with whole seconds.
 * @param seconds epoch seconds
 */
export const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/** Returns a period as `45 min`, `2 h` or `1 h 30 min`; a minute that has begun counts as a whole one. */
export function minutesText(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours === 0) return `${rest} min`;
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}

/**
 * Returns whether `atMs` is less than `withinMs` ago. A time in the future is not: if the wall clock is set back by
 * an hour, a pause of seconds would last an hour.
 * @param atMs epoch milliseconds, as `nowMs`
 * @param skewMs how far two clocks may differ, if `atMs` was read from another one
 */
export const isRecent = (atMs: number, nowMs: number, withinMs: number, skewMs = 0): boolean =>
  atMs <= nowMs + skewMs && nowMs - atMs < withinMs + skewMs;
