/**
 * The audit log of the past, for pages and programs: the newest events in the files of this replica that match a
 * query.
 *
 * It runs in the process that serves requests, so each search is bounded in time, bytes and events, and few run at a
 * time. It must not know who may read.
 */
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { endedFiles } from '../sinks/rotation.ts';
import { rejectedFile } from '../trail.ts';
import type { AuditSinkSettings } from '../types.ts';
import { createMatcher, timeOf, type AuditQuery, type Hit, type LineMatcher } from './matcher.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { auditTime } from '../../core/audit/moment.ts';
import { sessionOf } from '../../core/audit/recent-request.ts';
import { endBefore, readBackwards } from './read-backwards.ts';
import { readLines } from './read-lines.ts';
import { SearchTurns } from './search-turns.ts';

export interface HistoryBounds {
  /** A page ends after so many, but never within a moment: events have no order there. */
  readonly events: number;
  /** Only requests of sessions that have begun to be answered: nothing that Portcullis did. */
  readonly requests?: boolean;
  /** An account whose own reads of the audit log and of pages are left out. */
  readonly withoutReadsOf?: string;
  /** Only in the files of this replica. */
  readonly onlyHere?: boolean;
  /** Each event as it is in the files. Otherwise a request appears once, by the latest event about it. */
  readonly every?: boolean;
  /** Milliseconds, where they are fewer than usual; as many again until it is its turn. */
  readonly ms?: number;
  /** True as soon as no one waits for the result any more. */
  readonly isAbandoned?: () => boolean;
}

/** Why a search ended before the beginning of its range. */
export type HistoryStop = 'events' | 'bytes' | 'time';

export interface History {
  /** Newest first. */
  readonly hits: readonly Hit[];
  /** Absent: everything in the range was searched. */
  readonly stopped?: HistoryStop;
  /** Where it has stopped: nothing that is newer is missing. Of several replicas the one that has read least decides. */
  readonly reached?: string;
  /** Lines that are no event, and files that could not be read to their end. */
  readonly unreadable: number;
  /** The names of the replicas that have searched, and of those whose part is missing. Absent: only this one was asked. */
  readonly searched?: readonly string[];
  readonly missing?: readonly string[];
}

export interface AuditHistory {
  /**
   * Returns the newest events that match; undefined where there is no file to read.
   * @param reader for whom, such as an account
   * @throws AppError `conflict` where it was not its turn in that time, or too many wait already
   */
  search(reader: string, query: AuditQuery, bounds: HistoryBounds): Promise<History | undefined>;
}

interface HistoryLimits {
  /** Uncompressed. */
  readonly readBytes: number;
  /** Of the lines that are returned. */
  readonly hitBytes: number;
  readonly ms: number;
  /** How many run at the same time, each for another reader. */
  readonly searches: number;
}

const LIMITS: HistoryLimits = { readBytes: 256 * 1024 * 1024, hitBytes: 16 * 1024 * 1024, ms: 4000, searches: 2 };

/** Events that several requests record at once may be some moments out of order in their file. */
const DISORDER_MS = 10_000;

/** `O_NOFOLLOW`: an attacker who can write to the folder must not have us show another file. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;

/**
 * Returns the reader of the first file sink, with its file of rejections; undefined where no sink is a file. Other
 * file sinks hold the same events.
 * @param limits others than the default, for tests only
 */
export function createAuditHistory(
  sinks: readonly AuditSinkSettings[],
  limits: Partial<HistoryLimits> = {},
): AuditHistory | undefined {
  const sink = sinks.find(({ type }) => type === 'file');
  if (sink?.type !== 'file') return undefined;
  const paths = [sink, ...rejectedFile(sink)].map(({ path }) => path);
  const bounded = { ...LIMITS, ...limits };
  const turns = new SearchTurns(bounded.searches);
  return {
    search: (reader, query, bounds) => {
      const ms = Math.min(bounded.ms, bounds.ms ?? Infinity);
      return turns.run(reader, ms, () => new Search(query, bounds, { ...bounded, ms }).run(paths));
    },
  };
}

class Search {
  readonly #query: AuditQuery;
  readonly #bounds: HistoryBounds;
  readonly #match: LineMatcher;
  readonly #deadline: number;
  #bytesLeft: number;
  readonly #hitBytes: number;
  #hitBytesLeft: number;
  #stopped: HistoryStop | undefined;
  #unreadable = 0;
  #files = 0;

  constructor(query: AuditQuery, bounds: HistoryBounds, { readBytes, hitBytes, ms }: HistoryLimits) {
    this.#query = query;
    this.#bounds = bounds;
    const match = createMatcher(query);
    this.#match = (line) => {
      const verdict = match(line);
      if (typeof verdict === 'string') return verdict;
      if (bounds.requests === true && sessionOf(verdict.event) === undefined) return 'other';
      return isReadOf(verdict.event, bounds.withoutReadsOf) ? 'other' : verdict;
    };
    this.#bytesLeft = readBytes;
    this.#hitBytes = hitBytes;
    this.#hitBytesLeft = hitBytes;
    this.#deadline = performance.now() + ms;
  }

  async run(paths: readonly string[]): Promise<History | undefined> {
    const { events, every = false } = this.#bounds;
    const keyOf = ({ event, text }: Hit): string => (every ? text : `${event.auditID} ${event.verb}`);
    const seen = new Set<string>();
    const hits: Hit[] = [];
    let oldest: string | undefined;
    for await (const hit of newestOf(paths.map((path) => this.#log(path)))) {
      // Of one log nothing older is known, so of the others nothing older may be shown.
      if (this.#stopped !== undefined) break;
      const key = keyOf(hit);
      if (seen.has(key)) continue;
      // Never within one moment: the next page begins before the oldest event of this one, and would lose the others.
      // An attacker without a credential causes dozens of events in one millisecond.
      if (hits.length >= events && oldest !== undefined && hit.time < oldest) {
        this.#stopped = 'events';
        break;
      }
      seen.add(key);
      this.#hitBytesLeft -= hit.text.length;
      if (this.#hitBytesLeft < 0) {
        this.#stopped = 'events';
        if (hits[0]?.time === hit.time) this.#unreadable += 1;
        else while (hits.at(-1)?.time === hit.time) hits.pop();
        break;
      }
      hits.push(hit);
      if (oldest === undefined || hit.time < oldest) oldest = hit.time;
    }
    if (this.#files === 0) return undefined;
    return { hits, unreadable: this.#unreadable, ...stopOf(this.#stopped, hits) };
  }

  /** The hits in one file and in those that rotation has made of it, newest first. */
  async *#log(path: string): AsyncGenerator<Hit> {
    const { since, until } = this.#query;
    // The current file is opened before the others are listed, so that none is missed which is rotated meanwhile.
    yield* this.#plain(path);
    const from = since === undefined ? -Infinity : Date.parse(since) - DISORDER_MS;
    const before = until === undefined ? Infinity : Date.parse(until) + DISORDER_MS;
    const ended = (await endedFiles(path).catch(() => [])).toReversed();
    for (const [index, file] of ended.entries()) {
      if (this.#stopped !== undefined || file.endedAt < from) return;
      const begunAt = ended[index + 1]?.endedAt ?? -Infinity;
      if (begunAt >= before) continue;
      if (await isFile(file.path)) yield* this.#plain(file.path);
      else yield* this.#packed(`${file.path}.gz`);
    }
  }

  async *#plain(path: string): AsyncGenerator<Hit> {
    if (!(await isFile(path))) return;
    const { since, until } = this.#query;
    const oldest = since === undefined ? '' : moved(since, -DISORDER_MS);
    try {
      await using file = await open(path, READ);
      this.#files += 1;
      const end = until === undefined ? undefined : await endBefore(file, moved(until, DISORDER_MS));
      for await (const lines of readBackwards(file, end)) {
        if (this.#isOver(lines.reduce((sum, line) => sum + line.length + 1, 0))) return;
        for (const line of lines) {
          const verdict = this.#match(line);
          if (verdict === 'unreadable') this.#unreadable += 1;
          else if (verdict !== 'other') yield verdict;
        }
        const first = lines.at(-1);
        if (first !== undefined && (timeOf(first) ?? oldest) < oldest) return;
      }
    } catch {
      this.#unreadable += 1;
    }
  }

  /** A gzipped file can only be read from its beginning: its newest hits are kept. */
  async *#packed(path: string): AsyncGenerator<Hit> {
    if (!(await isFile(path))) return;
    const most = this.#bounds.events;
    let hits: Hit[] = [];
    let bytes = 0;
    let size = 0;
    let isCut = false;
    const atMost = { hits: 4 * most + 1, size: this.#hitBytes };
    const line = (text: Buffer): void => {
      bytes += text.length + 1;
      const verdict = this.#match(text);
      if (verdict === 'unreadable') this.#unreadable += 1;
      else if (verdict !== 'other') {
        hits.push(verdict);
        size += verdict.text.length;
      }
    };
    try {
      await using file = await open(path, READ);
      this.#files += 1;
      for await (const _chunk of readLines(file, { line, tooLong: () => (this.#unreadable += 1) })) {
        // A change has two events. An attacker who writes long ones must not fill this process's memory.
        if (hits.length > atMost.hits || size > atMost.size) {
          const kept = newestWithin(hits, 2 * most + 1, this.#hitBytes / 2);
          isCut ||= kept.length < hits.length;
          hits = kept;
          size = hits.reduce((sum, { text }) => sum + text.length, 0);
          // Of one moment all are kept: looked at again when there are twice as many.
          atMost.hits = Math.max(4 * most + 1, 2 * hits.length);
          atMost.size = Math.max(this.#hitBytes, 2 * size);
        }
        // What comes after its beginning is newer, so without the rest nothing of it may be shown.
        if (this.#isOver(bytes)) return;
        bytes = 0;
      }
    } catch {
      this.#unreadable += 1;
    }
    yield* hits.toReversed();
    if (isCut) this.#stopped ??= 'events';
  }

  #isOver(bytes: number): boolean {
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft < 0) this.#stopped ??= 'bytes';
    // A client that has left must not have others wait for a search that no one reads.
    else if (performance.now() > this.#deadline || this.#bounds.isAbandoned?.() === true) this.#stopped ??= 'time';
    return this.#stopped !== undefined;
  }
}

/** Later than each time of an event. */
const LATEST = '~';

/** @returns why a search has stopped, and how far it is known to have read */
export const stopOf = (
  stopped: HistoryStop | undefined,
  hits: readonly Pick<Hit, 'time'>[],
): Pick<History, 'stopped' | 'reached'> =>
  stopped === undefined ? {} : { stopped, reached: hits.at(-1)?.time ?? LATEST };

const isReadOf = ({ annotations }: AuditEvent, account: string | undefined): boolean =>
  account !== undefined &&
  annotations[`${EXTRA_DOMAIN}/event`] === 'admin-read' &&
  annotations[`${EXTRA_DOMAIN}/account`] === account;

/** Returns the last of these, at most so many and so many characters, or all of the newest moment: none is cut apart. */
function newestWithin(hits: readonly Hit[], most: number, characters: number): Hit[] {
  let first = hits.length;
  for (let left = characters; first > 0 && hits.length - first < most; first -= 1) {
    left -= hits[first - 1]?.text.length ?? 0;
    if (left < 0) break;
  }
  const cut = hits[first - 1]?.time;
  const whole = hits.findIndex(({ time }, index) => index >= first && time !== cut);
  return hits.slice(whole === -1 ? hits.findLastIndex(({ time }) => time !== cut) + 1 : whole);
}

const moved = (time: string, ms: number): string => auditTime(Date.parse(time) + ms);

async function isFile(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Merges logs, each newest first. */
async function* newestOf(logs: readonly AsyncGenerator<Hit>[]): AsyncGenerator<Hit> {
  const heads = await Promise.all(logs.map(async (log) => ({ log, next: await log.next() })));
  try {
    for (;;) {
      let newest: { readonly log: AsyncGenerator<Hit>; next: IteratorResult<Hit> } | undefined;
      for (const head of heads) {
        if (head.next.done === true) continue;
        if (newest === undefined || newest.next.done === true || head.next.value.time > newest.next.value.time)
          newest = head;
      }
      if (newest === undefined || newest.next.done === true) return;
      yield newest.next.value;
      newest.next = await newest.log.next();
    }
  } finally {
    // Closes the files of those that were not read to their end.
    await Promise.all(logs.map((log) => log.return(undefined)));
  }
}
