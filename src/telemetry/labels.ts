/** Bounded labels: values that a client can influence must not create an unlimited number of time series. */
import { STATUS_CODES } from 'node:http';
import { PATH_VERBS, RESOURCE_VERBS } from '../core/request/verbs.ts';

const OTHER = 'other';

const VERBS: ReadonlySet<string> = new Set([...RESOURCE_VERBS, ...PATH_VERBS]);

export const verbLabel = (verb: string): string => (VERBS.has(verb) ? verb : OTHER);

/** A registered HTTP status code; `other` for anything else, such as a request that was cut before it had one. */
export const codeLabel = (code: number): string => (STATUS_CODES[code] === undefined ? OTHER : String(code));

/** The form of our own values: a configured name or a reason in snake_case or kebab-case. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/i;

/** More than any installation has clusters or any of our lists has reasons. */
const MOST_VALUES = 100;

/**
 * Maps whatever is not in `known` to `other`; without a list, whatever does not look like a name, and every name
 * after the first hundred.
 * @param always without a list: names that never become `other`, because an alert counts them
 */
export function boundedLabel(known?: readonly string[], always: readonly string[] = []): (value: string) => string {
  const seen = new Set([...(known ?? []), ...always]);
  const isOpen = known === undefined;
  return (value) => {
    if (seen.has(value)) return value;
    if (!isOpen || seen.size >= MOST_VALUES + always.length || !NAME.test(value)) return OTHER;
    seen.add(value);
    return value;
  };
}
