/**
 * Numbers and durations as text, and the order of replicas.
 */

/** Returns a count with its noun: `1 session`, `12 sessions`. */
export const countOf = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** Returns a duration as `120 ms`, or as `1.2 s` from one second on. */
export const formatMs = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * Returns replicas sorted by id, so that rows stay in place while others come in. The pages' scripts sort the same
 * way.
 */
export const sortedById = <T extends { readonly id: string }>(replicas: readonly T[]): readonly T[] =>
  replicas.toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0));
