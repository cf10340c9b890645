/**
 * Counts, short spans and lists as people say and read them.
 */

/** `1 session`, `12 sessions`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** Short spans to the tenth of a second. */
export const spanOfMs = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Replicas in one order, in which each keeps its place while the others come in. The pages' scripts have the same. */
export const byName = <T extends { readonly id: string }>(replicas: readonly T[]): readonly T[] =>
  replicas.toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0));
