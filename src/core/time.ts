/** Times as numbers. */

/** Returns RFC 3339 with whole seconds. @param seconds epoch seconds */
export const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/**
 * Returns whether `at` is less than `withinMs` ago. A time in the future is not: if the wall clock is set back by an hour, a pause of seconds
 * would last an hour.
 * @param at epoch milliseconds, as `now`
 */
export const isRecent = (at: number, now: number, withinMs: number): boolean => at <= now && now - at < withinMs;
