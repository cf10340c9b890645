/** What limits leave of a user's rights, as a short text for messages, lists and pages. */
import type { RightsLimit } from './rights.ts';

function describeLimit({ preset, namespaces, rules }: RightsLimit): string {
  const what = preset?.replaceAll(/-(?=with|secrets)/g, ' ') ?? (rules === undefined ? 'everything' : '');
  const listed = rules === undefined ? '' : `${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`;
  const where =
    namespaces === undefined ? '' : ` in ${namespaces.length === 0 ? 'no namespace' : namespaces.join(', ')}`;
  return `${[what, listed].filter((part) => part !== '').join(', ')}${where}`;
}

/** Returns the limits as a text such as `read-only in shop`. */
export const describeLimits = (limits: readonly RightsLimit[]): string => limits.map(describeLimit).join('; and ');
