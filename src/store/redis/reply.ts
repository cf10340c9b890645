/** Parsers of replies of scripts. */
import { unavailable } from './unavailable.ts';

/**
 * Parsers for a script's reply.
 * @throws AppError `store_unavailable` (`redis_bad_reply`) for another shape than the script returns
 */
export function list(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unavailable('redis_bad_reply');
  return reply as readonly unknown[];
}

export function text(reply: unknown): string {
  if (typeof reply !== 'string') throw unavailable('redis_bad_reply');
  return reply;
}

/** Returns the fields that a script lists in this order. */
export function named<const Name extends string>(names: readonly Name[], reply: unknown): Record<Name, unknown> {
  const values = list(reply);
  return Object.fromEntries(names.map((name, index) => [name, values[index]])) as Record<Name, unknown>;
}

export function number(reply: unknown): number {
  const value = typeof reply === 'string' && reply !== '' ? Number(reply) : reply;
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw unavailable('redis_bad_reply');
  return value;
}

/** Returns the pairs of a flat list of names and values, as Lua returns a hash. */
export function pairs(reply: unknown): [name: string, value: string][] {
  const flat = list(reply).map(text);
  return flat.flatMap((name, index) => (index % 2 === 0 ? [[name, text(flat[index + 1])] as [string, string]] : []));
}
