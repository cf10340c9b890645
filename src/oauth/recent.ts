/**
 * Whether something is less than so long ago. What seems to be still to come is not: else a wall clock that is set back by an hour would make a
 * pause of seconds one of an hour.
 * @param at epoch milliseconds, as `now`
 */
export const isRecent = (at: number, now: number, withinMs: number): boolean => at <= now && now - at < withinMs;
