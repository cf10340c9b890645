/** Lines that the record itself says a sink has lost, and whether that can be believed. */
import type { Holes } from './holes.ts';
import type { OwnEvent } from './model.ts';

export interface DeclaredGap {
  /** Number of the line that declares it. */
  readonly seq: number;
  readonly sink: string;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** The gate itself vouches for the line. */
  readonly vouched: boolean;
}

/**
 * Threat: whoever takes lines out can declare them lost in a line behind the last signature, or in one that hangs between two holes. So a
 * declaration counts only where hashes link it, without a hole, to a line that the gate vouches for.
 * @param own in the order of their numbers
 * @param vouched numbers of lines that the gate vouches for, in order
 */
export function declaredGaps(
  own: readonly OwnEvent[],
  vouched: readonly number[],
  holes: Holes,
): readonly DeclaredGap[] {
  let next = 0;
  return own
    .filter(({ name }) => name === 'audit-gap')
    .map(({ seq, facts }) => {
      while ((vouched[next] ?? Infinity) < seq) next += 1;
      const by = vouched[next];
      return {
        seq,
        sink: facts['sink'] ?? '',
        first: Number(facts['first']),
        last: Number(facts['last']),
        count: Number(facts['count']),
        vouched: by !== undefined && holes.missing(seq, by) === 0,
      };
    });
}
