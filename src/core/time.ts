/** Times as numbers. */

/**
 * Returns RFC 3339 with whole seconds.
 * @param seconds epoch seconds
 */
export const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/**
 * Returns whether `atMs` is less than `withinMs` ago. A time in the future is not: if the wall clock is set back by
 * an hour, a pause of seconds would last an hour.
 * @param atMs epoch milliseconds, as `nowMs`
 * @param skewMs how far two clocks may differ, if `atMs` was read from another one
 */
export const isRecent = (atMs: number, nowMs: number, withinMs: number, skewMs = 0): boolean =>
  atMs <= nowMs + skewMs && nowMs - atMs < withinMs + skewMs;
