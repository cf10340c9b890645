/**
 * Counts and short spans as people say them.
 */

/** `1 session`, `12 sessions`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** Short spans to the tenth of a second. */
export const spanOfMs = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
