/** Lines that a sink has lost, as the audit log itself declares, and whether that can be trusted. */
import type { Holes } from './holes.ts';
import type { ChainEvent } from './model.ts';

export interface DeclaredGap {
  /** Number of the line that declares it. */
  readonly seq: number;
  readonly sink: string;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** The declaring line is linked to a signature or an anchor. */
  readonly verified: boolean;
}

/**
 * An attacker who removes lines declares them lost in a line after the last signature, or in one between two
 * holes. So a declaration counts only if hashes link it, without a hole, to a line that is signed or anchored.
 * @param events in the order of their numbers
 * @param verified numbers of signed or anchored lines, in order
 */
export function declaredGaps(
  events: readonly ChainEvent[],
  verified: readonly number[],
  holes: Holes,
): readonly DeclaredGap[] {
  let next = 0;
  return events
    .filter(({ name }) => name === 'audit-gap')
    .map(({ seq, facts }) => {
      while ((verified[next] ?? Infinity) < seq) next += 1;
      const by = verified[next];
      return {
        seq,
        sink: facts['sink'] ?? '',
        first: Number(facts['first']),
        last: Number(facts['last']),
        count: Number(facts['count']),
        verified: by !== undefined && holes.missing(seq, by) === 0,
      };
    });
}
