/**
 * A search in the audit files of all replicas: each has files of its own, so an answer from one is not whole.
 *
 * It goes through the channel of the live views. The replica that searches subscribes to answers, each other one finds
 * that subscription, searches its own files in its own turn, and publishes one answer. It must not know who may read.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import { defined } from '../../core/defined.ts';
import type { LiveSource } from '../live/live-tails.ts';
import type { AuditHistory, History, HistoryBounds, HistoryStop } from './history.ts';
import { hitOf, type AuditQuery, type Hit } from './matcher.ts';

/** What one replica asks the others; as text it is the `search` of a subscription. */
interface Search {
  /** The incarnation that asks, which has searched its own files already. */
  readonly from: string;
  readonly reader: string;
  readonly query: AuditQuery;
  readonly bounds: Pick<HistoryBounds, 'events' | 'every' | 'requests' | 'withoutReadsOf' | 'ms'>;
}

/** What a replica publishes. */
interface Answer {
  /** The subscription. */
  readonly answers: string;
  /** The incarnation that has searched. */
  readonly by: string;
  /** Absent: it writes no file, or could not search in time. */
  readonly found?: {
    /** Newest first. */
    readonly lines: readonly string[];
    readonly stopped?: HistoryStop;
    readonly unreadable: number;
  };
}

/** Another replica, as the revocation guard knows it. */
interface Replica {
  readonly id: string;
  readonly incarnation: string;
  readonly self: boolean;
  readonly state: string;
  readonly servesNothing?: true;
}

/**
 * Characters of the lines of one answer, which are in the store for a minute: some ninety lines of the usual length. A
 * user may write long ones, so fewer are sent then, and the search says that there are more.
 */
const MOST_CHARACTERS = 64 * 1024;

const LIMITS = {
  /** How long the others have, where the caller sets no shorter time. */
  ms: 4000,
  pollMs: 25,
  /** All tails and searches of all replicas together. */
  most: 50,
  /** Answers that are read in one turn. */
  batch: 10,
};

interface AllReplicas {
  /** Undefined: this replica writes no file. */
  readonly own: AuditHistory | undefined;
  readonly channel: Pick<LiveSource, 'subscribe' | 'unsubscribe' | 'read'>;
  readonly incarnation: string;
  readonly replicas: () => readonly Replica[];
}

/** Returns a search in the files of all replicas that are live; see `AuditHistory`. */
export function searchesAllReplicas(parts: AllReplicas): AuditHistory {
  return {
    search: async (reader, query, bounds) => {
      const { own, replicas } = parts;
      if (bounds.onlyHere === true) return await own?.search(reader, query, bounds);
      const others = replicas().filter(({ self, servesNothing }) => !self && servesNothing !== true);
      const [here, answers] = await Promise.all([
        own?.search(reader, query, bounds),
        others.length === 0 ? new Map<string, History>() : askOthers(parts, others, reader, query, bounds),
      ]);
      const self = replicas().filter((replica) => replica.self);
      const of = (incarnation: string): History | undefined =>
        incarnation === parts.incarnation ? here : answers.get(incarnation);
      const asked = [...self, ...others].map(({ id, incarnation }) => ({ id, found: of(incarnation) }));
      const found = asked.flatMap((one) => one.found ?? []);
      if (found.length === 0) return undefined;
      const namesOf = (isFound: boolean): readonly string[] =>
        asked.filter((one) => (one.found !== undefined) === isFound).map(({ id }) => id);
      const [searched, missing] = [namesOf(true), namesOf(false)];
      return { ...merged(found, bounds), searched, missing };
    },
  };
}

/** Returns what was found, by incarnation, of those that answered in time. */
async function askOthers(
  { channel, incarnation }: AllReplicas,
  others: readonly Replica[],
  reader: string,
  query: AuditQuery,
  { ms = LIMITS.ms, isAbandoned, onlyHere: _onlyHere, ...bounds }: HistoryBounds,
): Promise<ReadonlyMap<string, History>> {
  const answers = new Map<string, History | undefined>();
  const search: Search = { from: incarnation, reader, query, bounds: { ...bounds, ms } };
  const tail = randomBytes(16).toString('base64url');
  const until = performance.now() + ms;
  // One that is silent is not waited for, but its answer counts if it comes.
  const awaited = others.filter(({ state }) => state !== 'silent');
  try {
    const limits = { ttlMs: ms + 1000, most: LIMITS.most };
    const subscribed = await channel.subscribe(tail, { search: JSON.stringify(search) }, limits);
    if (subscribed.kind !== 'new') return new Map();
    let { position } = subscribed;
    while (!awaited.every((replica) => answers.has(replica.incarnation))) {
      if (performance.now() > until || isAbandoned?.() === true) break;
      const { entries } = await channel.read(position, LIMITS.batch);
      for (const entry of entries) {
        position = entry.position;
        const answer = entry.text === undefined ? undefined : answerOf(entry.text, tail);
        if (answer !== undefined) answers.set(answer.by, historyOf(answer));
      }
      if (entries.length < LIMITS.batch) await delay(LIMITS.pollMs, undefined, { ref: false });
    }
    await channel.unsubscribe(tail);
  } catch (error) {
    // What this replica has is shown, with the others as missing.
    if (!(error instanceof AppError && error.code === 'store_unavailable')) throw error;
  }
  return new Map([...answers].flatMap(([by, found]) => (found === undefined ? [] : [[by, found] as const])));
}

function answerOf(text: string, tail: string): Answer | undefined {
  if (!text.startsWith('{"answers":')) return undefined;
  const answer = JSON.parse(text) as Answer;
  return answer.answers.startsWith(`${tail} `) ? answer : undefined;
}

function historyOf({ found }: Answer): History | undefined {
  if (found === undefined) return undefined;
  const hits = found.lines.flatMap((line) => hitOf(Buffer.from(line)) ?? []);
  return { hits, unreadable: found.unreadable, ...defined({ stopped: found.stopped }) };
}

/**
 * Returns the newest of several, newest first. Where one of them has more events than it returned, nothing older than
 * its oldest may be shown: the next page begins there, and would leave it out.
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
  const stopped = isCut ? 'events' : found.find((one) => one.stopped !== undefined)?.stopped;
  return { hits, unreadable: found.reduce((sum, { unreadable }) => sum + unreadable, 0), ...defined({ stopped }) };
}

/**
 * Returns what a replica publishes for the search of another one; undefined for its own.
 * @param subscription the id of the subscription
 * @param text its `search`
 * @param by the incarnation of this replica
 */
export async function answerSearch(
  own: AuditHistory | undefined,
  { subscription, text, by }: { readonly subscription: string; readonly text: string; readonly by: string },
): Promise<string | undefined> {
  const { from, reader, query, bounds } = JSON.parse(text) as Search;
  if (from === by) return undefined;
  // Its own reader has a turn of its own here: one search of an account at a time on each replica.
  const found = await own?.search(reader, query, bounds).catch(() => undefined);
  const answer: Answer = { answers: subscription, by, ...(found === undefined ? {} : { found: packed(found) }) };
  return JSON.stringify(answer);
}

function packed({ hits, stopped, unreadable }: History): NonNullable<Answer['found']> {
  const lines: string[] = [];
  let left = MOST_CHARACTERS;
  for (const [index, { text, time }] of hits.entries()) {
    left -= text.length;
    // Never within a moment, as in a search of one replica; but one line is always sent.
    if (left < 0 && index > 0) {
      const whole = hits.slice(0, index).filter((hit) => hit.time !== time);
      const kept = whole.length === 0 ? hits.slice(0, index) : whole;
      return { lines: kept.map((hit) => hit.text), stopped: 'events', unreadable };
    }
    lines.push(text);
  }
  return { lines, unreadable, ...defined({ stopped }) };
}
