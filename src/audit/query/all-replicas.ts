/** A search in the audit files of all replicas: each has files of its own. It must not know who may read. */
import { defined } from '../../core/defined.ts';
import type { ReplicaQuestions } from '../live/replica-questions.ts';
import { stopOf, type AuditHistory, type History, type HistoryBounds, type HistoryStop } from './history.ts';
import { hitOf, type AuditQuery, type Hit } from './matcher.ts';

/** What one replica asks the others. */
interface Search {
  readonly reader: string;
  readonly query: AuditQuery;
  readonly bounds: Pick<HistoryBounds, 'events' | 'every' | 'requests' | 'withoutReadsOf' | 'ms'>;
}

/** What one answers. Absent: it writes no file, or could not search in time. */
interface Found {
  /** Newest first. */
  readonly lines: readonly string[];
  readonly stopped?: HistoryStop;
  readonly unreadable: number;
}

/** The kind of the question. */
const SEARCH = 'search';

/**
 * Characters of the lines of one answer, which are in the store for a minute: some ninety lines of the usual length. A
 * user may write long ones, so fewer are sent then, and the search says that there are more.
 */
const MOST_CHARACTERS = 64 * 1024;
/** Where all of them are of one moment. */
const MOST_OF_A_MOMENT = 1024 * 1024;

/** As long the others have, where the caller sets no shorter time. Milliseconds. */
const SEARCH_MS = 4000;

interface AllReplicas {
  /** Undefined: this replica writes no file. */
  readonly own: AuditHistory | undefined;
  readonly questions: ReplicaQuestions;
}

/** Returns a search in the files of all replicas that are live; see `AuditHistory`. */
export function searchesAllReplicas({ own, questions }: AllReplicas): AuditHistory {
  return {
    search: async (reader, query, bounds) => {
      if (bounds.onlyHere === true) return await own?.search(reader, query, bounds);
      const { ms = SEARCH_MS, isAbandoned, onlyHere: _onlyHere, ...rest } = bounds;
      const search: Search = { reader, query, bounds: { ...rest, ms } };
      const [here, others] = await Promise.all([
        own?.search(reader, query, bounds),
        questions.ask(SEARCH, search, { ms, isAbandoned }),
      ]);
      const asked = [
        { id: questions.self, found: here },
        ...others.map(({ id, answer }) => ({ id, found: historyOf(answer as Found | undefined) })),
      ];
      const found = asked.flatMap((one) => one.found ?? []);
      if (found.length === 0) return undefined;
      const namesOf = (isFound: boolean): readonly string[] =>
        asked.filter((one) => (one.found !== undefined) === isFound).map(({ id }) => id);
      const [searched, missing] = [namesOf(true), namesOf(false)];
      return { ...merged(found, bounds), searched, missing };
    },
  };
}

function historyOf(found: Found | undefined): History | undefined {
  if (found === undefined) return undefined;
  const hits = found.lines.flatMap((line) => hitOf(Buffer.from(line)) ?? []);
  return { hits, unreadable: found.unreadable, ...stopOf(found.stopped, hits) };
}

/**
 * Returns the newest of several, newest first. Where one of them has more events than it returned, nothing older than
 * its oldest may be shown: the next page begins there, and would leave it out. Where one has not read as far back as
 * this page goes, that is said and there is no next page: an attacker fills the file of one replica, so that what they
 * did there is on none.
 */
function merged(found: readonly History[], { events }: HistoryBounds): History {
  const floors = found.filter(({ stopped }) => stopped === 'events').map(({ hits }) => hits.at(-1)?.time ?? '');
  const floor = floors.toSorted().at(-1) ?? '';
  const all = found
    .flatMap(({ hits }) => hits)
    .toSorted((left, right) => (left.time < right.time ? 1 : left.time > right.time ? -1 : 0));
  // Replicas that write to the same file have the same lines.
  const texts = new Set<string>();
  const hits: Hit[] = [];
  let isCut = floors.length > 0;
  for (const hit of all) {
    if (hit.time < floor || (hits.length >= events && hit.time !== hits.at(-1)?.time)) {
      isCut = true;
      break;
    }
    if (!texts.has(hit.text)) hits.push(hit);
    texts.add(hit.text);
  }
  const end = isCut ? (hits.at(-1)?.time ?? '') : '';
  const unread = found.find(({ stopped, reached = '' }) => stopped !== 'events' && reached > end);
  const stopped = unread?.stopped ?? (isCut ? 'events' : undefined);
  const unreadable = found.reduce((sum, one) => sum + one.unreadable, 0);
  if (stopped === undefined) return { hits, unreadable };
  const [reached = end] = [end, ...found.map((one) => one.reached ?? '')].toSorted().toReversed();
  return { hits, unreadable, stopped, reached };
}

/** Returns how a replica answers the searches of the others: by what is in its own files. */
export const answersSearches = (
  own: AuditHistory | undefined,
): readonly [kind: string, answer: (question: unknown) => Promise<Found | undefined>] => [
  SEARCH,
  async (question) => {
    const { reader, query, bounds } = question as Search;
    // Its own reader has a turn of its own here: one search of an account at a time on each replica.
    const found = await own?.search(reader, query, bounds);
    return found && packed(found);
  },
];

/**
 * An attacker causes dozens of long events in one millisecond, a read of Secrets among them. A page never ends within a moment,
 * because the next one begins before it, so the newest moment is sent whole, up to its own limit; what is beyond that
 * counts as not readable.
 */
function packed({ hits, stopped, unreadable }: History): Found {
  const newest = hits[0]?.time;
  const lines: string[] = [];
  let left = MOST_CHARACTERS;
  let ofMoment = MOST_OF_A_MOMENT;
  for (const { text, time } of hits) {
    left -= text.length;
    ofMoment -= text.length;
    if (left >= 0 || lines.length === 0 || (time === newest && ofMoment >= 0)) {
      lines.push(text);
      continue;
    }
    const whole = hits.slice(0, lines.length).findLastIndex((hit) => hit.time !== time) + 1;
    const unsent = whole > 0 ? 0 : hits.filter((hit) => hit.time === newest).length - lines.length;
    return { lines: lines.slice(0, whole > 0 ? whole : undefined), stopped: 'events', unreadable: unreadable + unsent };
  }
  return { lines, unreadable, ...defined({ stopped }) };
}
