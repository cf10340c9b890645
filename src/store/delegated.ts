/** What both stores share about delegated sessions. */
import { actorText, MOST_LEVELS, type Delegation } from '../core/delegation/delegation.ts';
import { idleEndOf } from './last-use.ts';
import type { DelegatedLabel } from './revocation-log.ts';
import type { SessionRecord } from './store.ts';

/** Whether so many sessions may be above one, each with an actor in the one beneath it. */
export const isPossible = ({ ancestors, actors }: Delegation): boolean =>
  ancestors.length > 0 && ancestors.length <= MOST_LEVELS && actors.length === ancestors.length;

/**
 * Returns a delegated session with what it has from the sessions above it now: the user's identity, and their idle ends.
 * @param above those sessions, the user's own first
 * @returns undefined if one of them is missing, or is another one than it names
 */
export function withAncestors(
  record: SessionRecord,
  above: readonly (SessionRecord | undefined)[],
): SessionRecord | undefined {
  const [own] = above;
  const ids = record.delegation?.ancestors ?? [];
  // safeguard: PARENT_RECORD
  if (own === undefined || own.delegation !== undefined || above.length !== ids.length) return undefined;
  let parentIdleAt = Number.POSITIVE_INFINITY;
  for (const [index, each] of above.entries()) {
    if (each === undefined || each.id !== ids[index] || each.account !== record.account) return undefined;
    parentIdleAt = Math.min(parentIdleAt, idleEndOf(each));
  }
  return { ...record, identity: own.identity, parentIdleAt };
}

/** Returns what the receipt of a revocation says about a delegated session that it ended. */
export const labelOf = (session: string, delegation: Delegation): DelegatedLabel => ({
  id: session,
  name: actorText(delegation),
  session: delegation.ancestors.at(-1) ?? '',
});
