/** The id of a session as users type it: whole, or its first characters, as lists show it in a narrow terminal. */
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';

/** Characters from which an id may be the beginning of one: shorter ones are sent as they are. */
const SHORTEST_PREFIX = 8;
/** 128 bits in base64url. */
const WHOLE_ID = 22;
/** Matches that an error names. */
const MOST_NAMED = 10;

interface Candidate {
  readonly id: string;
  /** What tells it from others, for users: any text. */
  readonly what: string;
}

/**
 * Returns the whole id of the session that is meant.
 * @param given a whole id, or the first eight characters of one or more; the mark of a table's cut is ignored
 * @param sessions.list returns the sessions among which it must be the only one, and whether there are more than these
 * @param sessions.next the command that lists them
 * @throws AppError `not_found` where none has it, `bad_request` where several do or where that is not known: it is
 *   never guessed
 */
export async function wholeSessionId(
  given: string,
  sessions: {
    readonly list: (prefix: string) => Promise<{ readonly found: readonly Candidate[]; readonly more: boolean }>;
    readonly next: string;
  },
): Promise<string> {
  const prefix = given.replace(/…$/, '');
  if (!/^[\w-]+$/.test(prefix) || prefix.length < SHORTEST_PREFIX || prefix.length >= WHOLE_ID) return prefix;
  const { found, more } = await sessions.list(prefix);
  const begun = new Map(found.filter(({ id }) => id.startsWith(prefix)).map((one) => [one.id, one]));
  if (begun.has(prefix)) return prefix;
  const matches = [...begun.values()];
  const [only] = matches;
  if (only === undefined && !more) {
    throw cliError('not_found', `No live session begins with ${prefix}.`, sessions.next, {
      reason: 'session_not_found',
    });
  }
  if (only !== undefined && matches.length === 1 && !more) return only.id;
  const named = matches.slice(0, MOST_NAMED).map(({ id, what }) => `\n  ${plainText(id, 80)}  ${plainText(what, 300)}`);
  const left = matches.length > MOST_NAMED ? `\n  and ${matches.length - MOST_NAMED} more` : '';
  const unread = more ? '\n  (there are more sessions than were read)' : '';
  const what = `${prefix} could be several sessions:${named.join('')}${left}${unread}`;
  throw cliError('bad_request', what, 'give more characters, or the whole id', { reason: 'session_ambiguous' });
}
