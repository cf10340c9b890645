/**
 * What follows from a list of headers alone, computed once for each list.
 *
 * The requests of a connection mostly have the same headers. A connection gives equal lists as one (`EqualHeaders`), so
 * what was computed for the first request is there for the next. Never for what can change while the headers stay the
 * same: expiry, binding, revocation, slots and tokens are asked each time.
 */
import type { RawHeaders } from './header-names.ts';

/** @param compute has no other input than the list */
export function byHeaders<T>(compute: (raw: RawHeaders) => T): (raw: RawHeaders) => T {
  const known = new WeakMap<RawHeaders, { readonly value: T }>();
  return (raw) => {
    const before = known.get(raw);
    if (before !== undefined) return before.value;
    const value = compute(raw);
    known.set(raw, { value });
    return value;
  };
}

/**
 * Characters of a list that is kept, each name and value with what it needs besides. kubectl's and client-go's have two
 * thousand.
 */
const MOST_KEPT = 8_192;
/** Of the string itself, and of its place in the list. */
const OF_A_STRING = 32;

/** The headers of the last request of one connection that was admitted. */
export class EqualHeaders {
  #last: RawHeaders = [];

  /** @returns the list that is kept, if this one has the same names and values in the same order and case */
  of(raw: RawHeaders): RawHeaders {
    return isEqual(raw, this.#last) ? this.#last : raw;
  }

  /**
   * Keeps the list until another takes its place. An attacker without a credential opens thousands of connections and
   * sends each the longest headers that are allowed: so only those of admitted requests are kept, and no long ones. Nor
   * many: eight thousand characters in names and values of three need six times as much memory.
   */
  keep(raw: RawHeaders): void {
    if (raw === this.#last) return;
    let characters = 0;
    for (const part of raw) characters += part.length + OF_A_STRING;
    if (characters <= MOST_KEPT) this.#last = raw;
  }
}

function isEqual(one: RawHeaders, other: RawHeaders): boolean {
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index += 1) if (one[index] !== other[index]) return false;
  return true;
}
