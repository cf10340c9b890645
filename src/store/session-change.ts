/** What the result of a re-check changes in a session. */
import { sameIdentity } from '../core/identity/identity.ts';
import type { SessionChange, SessionRecord } from './store.ts';
import { defined } from '../core/defined.ts';

/**
 * @returns undefined where nothing changes: a delegated session has neither of its own. Otherwise the parts that are
 *   stored, and whether streams were opened under another identity; names alone are read when someone decides
 */
export function changesBy(
  { delegation, identity: before, knownAs: names, version }: SessionRecord,
  { identity, knownAs = names }: SessionChange,
): { readonly parts: Partial<SessionRecord>; readonly isIdentity: boolean } | undefined {
  const isIdentity = !sameIdentity(before, identity);
  const isRenamed = knownAs !== undefined && JSON.stringify(knownAs) !== JSON.stringify(names);
  if (delegation !== undefined || (!isIdentity && !isRenamed)) return undefined;
  const parts = { identity, ...defined({ knownAs }), version: version + 1 };
  return { parts, isIdentity };
}
