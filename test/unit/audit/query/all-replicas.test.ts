/** A search in the files of several replicas, over the channel of the live views. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  answersSearches,
  createAuditHistory,
  createLiveAuditLog,
  createReplicaQuestions,
  searchesAllReplicas,
} from '../../../../src/audit/audit.ts';
import { createLiveTails } from '../../../../src/audit/live/live-tails.ts';
import type { AuditHistory, HistoryBounds } from '../../../../src/audit/query/history.ts';
import type { AuditQuery } from '../../../../src/audit/query/matcher.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import { auditTime } from '../../../../src/core/audit/moment.ts';
import { defined } from '../../../../src/core/defined.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import { aFolder, anEvent } from '../fixtures.ts';

const START = Date.UTC(2026, 0, 1);
const QUIET = { metrics: { auditEvent: () => undefined }, logger: { info: () => undefined } };

/** Event n, written n seconds after the start. */
const at = (n: number, change: Partial<AuditEvent> = {}): AuditEvent =>
  anEvent({ auditID: `event-${n}`, stageTimestamp: auditTime(START + n * 1000), ...change });

const stops: (() => Promise<void>)[] = [];
afterEach(async () => void (await Promise.all(stops.splice(0).map((stop) => stop()))));

/** One that answers nothing where it has no history and is asked nothing where it is silent. */
interface Asked {
  readonly id: string;
  readonly events?: readonly AuditEvent[];
  /** How much of its file it reads. Default: all. */
  readonly readBytes?: number;
  readonly state?: string;
  /** It does not read the channel. */
  readonly deaf?: boolean;
}

async function replicas(all: readonly Asked[]) {
  const store = createMemoryStore({ clock: { nowMs: () => START } });
  const views = all.map(({ id, state = 'live' }, index) => ({
    id,
    incarnation: `${id}-1`,
    state,
    self: index === 0,
  }));
  const histories = await Promise.all(
    all.map(async ({ events, readBytes }): Promise<AuditHistory | undefined> => {
      if (events === undefined) return undefined;
      const path = join(await aFolder(), 'audit.log');
      await writeFile(path, events.map((event) => encodeLine(event).toString()).join(''));
      return createAuditHistory([{ type: 'file', path }], defined({ readBytes }));
    }),
  );
  const asked: string[] = [];
  for (const [index, { id, deaf = false }] of all.entries()) {
    if (deaf) continue;
    const [kind, search] = answersSearches(histories[index]);
    const answer = (question: unknown): unknown => {
      asked.push(id);
      return search(question);
    };
    const live = createLiveAuditLog({ ...QUIET, pollMs: 10, answerers: new Map([[kind, answer]]) });
    live.start(store.live, `${id}-1`);
    stops.push(() => live.stop());
  }
  const incarnation = views[0]?.incarnation ?? '';
  const questions = createReplicaQuestions({ channel: store.live, incarnation, replicas: () => views });
  const all_ = searchesAllReplicas({ own: histories[0], questions });
  const search = (bounds: Partial<HistoryBounds> = {}, query: AuditQuery = {}) =>
    all_.search('root', query, { events: 20, ms: 2000, ...bounds });
  const ids = async (bounds: Partial<HistoryBounds> = {}, query: AuditQuery = {}) =>
    (await search(bounds, query))?.hits.map(({ event }) => event.auditID.slice('event-'.length)).join(' ');
  return { store, search, ids, asked };
}

describe('a search in the files of all replicas', () => {
  test('is the newest of all, and names each', async () => {
    const { search, ids } = await replicas([
      { id: 'a', events: [at(1), at(4)] },
      { id: 'b', events: [at(2), at(3, { verb: 'delete' })] },
      { id: 'c', events: [at(5)] },
    ]);
    expect(await ids()).toBe('5 4 3 2 1');
    expect(await ids({}, { verb: 'delete' })).toBe('3');
    expect(await ids({ onlyHere: true })).toBe('4 1');
    const { searched, missing, stopped } = (await search()) ?? {};
    expect({ searched, missing, stopped }).toEqual({ searched: ['a', 'b', 'c'], missing: [], stopped: undefined });
  });

  test('ends a page where one of them has more, so that the next page loses none', async () => {
    const { search, ids } = await replicas([
      { id: 'a', events: [at(1), at(9)] },
      { id: 'b', events: [at(2), at(3), at(4), at(5), at(6)] },
    ]);
    // The other one has returned 6, 5 and 4 of its five, so 1 and 3 and 2 are for the next page.
    expect(await ids({ events: 3 })).toBe('9 6 5');
    expect((await search({ events: 3 }))?.stopped).toBe('events');
    expect(await ids({ events: 3 }, { until: auditTime(START + 5000) })).toBe('4 3 2');
    expect(await ids({ events: 4 }, { until: auditTime(START + 5000) })).toBe('4 3 2 1');
  });

  test('says whose part is missing: one that is silent is not waited for, one that is deaf for as long as it may', async () => {
    const started = performance.now();
    const silent = await replicas([
      { id: 'a', events: [at(1)] },
      { id: 'b', events: [at(2)], state: 'silent', deaf: true },
      { id: 'c' },
    ]);
    expect(await silent.search({ ms: 60_000 })).toMatchObject({ searched: ['a'], missing: ['b', 'c'] });
    const deaf = await replicas([
      { id: 'a', events: [at(1)] },
      { id: 'b', events: [at(2)], deaf: true },
      { id: 'c', events: [at(3)] },
    ]);
    expect(await deaf.search({ ms: 200 })).toMatchObject({ searched: ['a', 'c'], missing: ['b'] });
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  test('has what others have where this replica writes no file, and is undefined where none does', async () => {
    const others = await replicas([{ id: 'a' }, { id: 'b', events: [at(2)] }]);
    expect(await others.search()).toMatchObject({ searched: ['b'], missing: ['a'] });
    const none = await replicas([{ id: 'a' }, { id: 'b' }]);
    expect(await none.search()).toBeUndefined();
  });

  test('sends 64 kB of one replica, whatever users wrote there, and says that there are more', async () => {
    const long = Array.from({ length: 20 }, (_, n) => at(n, { requestURI: `/${'x'.repeat(8000)}` }));
    const { search } = await replicas([
      { id: 'a', events: [] },
      { id: 'b', events: long },
    ]);
    const found = await search();
    expect(found?.hits.map(({ event }) => event.auditID)).toEqual(
      [19, 18, 17, 16, 15, 14, 13].map((n) => `event-${n}`),
    );
    expect(found?.stopped).toBe('events');
  });

  test('has no next page where the file of one replica was not read as far back as this page goes', async () => {
    const seen = Array.from({ length: 50 }, (_, n) => at(n + 10, { verb: 'delete' }));
    const hidden = at(30, { verb: 'delete' });
    const filler = Array.from({ length: 100 }, () => at(31, { requestURI: `/${'x'.repeat(3000)}` }));
    const stoppedWith = async (newest: readonly AuditEvent[], readBytes?: number) => {
      const b = { id: 'b', events: [hidden, ...filler, ...newest], ...defined({ readBytes }) };
      const { search } = await replicas([{ id: 'a', events: seen }, b]);
      const found = await search({ events: 5 }, { verb: 'delete' });
      return found?.stopped === 'bytes' ? ['bytes', found.reached] : [found?.stopped];
    };
    const [early, late] = [at(55, { verb: 'delete' }), at(60, { verb: 'delete' })];
    expect(await stoppedWith([], 100_000)).toEqual(['bytes', '~']);
    expect(await stoppedWith([late], 100_000)).toEqual(['bytes', late.stageTimestamp]);
    // The page ends before that: the next one begins where it was read.
    expect(await stoppedWith([early, late], 100_000)).toEqual(['events']);
    expect(await stoppedWith([late])).toEqual(['events']);
  });

  test('sends the newest moment whole, however long it is, so that the next page loses none', async () => {
    const moment = (count: number, n: number): AuditEvent[] =>
      Array.from({ length: count }, (_, one) => ({
        ...at(n, { requestURI: `/${'x'.repeat(8000)}` }),
        auditID: `event-${n}.${one}`,
      }));
    const { search } = await replicas([
      { id: 'a', events: [] },
      { id: 'b', events: [...moment(3, 1), ...moment(30, 2)] },
    ]);
    const first = await search({ events: 200 });
    expect([first?.hits.length, first?.stopped, first?.unreadable]).toEqual([30, 'events', 0]);
    const next = await search({ events: 200 }, { until: auditTime(START + 2000) });
    expect([next?.hits.length, next?.stopped]).toEqual([3, undefined]);
    const { search: tooMuch } = await replicas([
      { id: 'a', events: [] },
      { id: 'b', events: moment(150, 2) },
    ]);
    const found = await tooMuch({ events: 200 });
    expect([found?.stopped, (found?.hits.length ?? 0) + (found?.unreadable ?? 0)]).toEqual(['events', 150]);
    expect(found?.unreadable).toBeGreaterThan(10);
  });

  test('runs once on each replica, is seen by no tail, and leaves no subscription', async () => {
    const { store, search, asked } = await replicas([
      { id: 'a', events: [at(1)] },
      { id: 'b', events: [at(2)] },
    ]);
    const stopping = new AbortController();
    const tails = createLiveTails(store.live, { pollMs: 5 });
    const items: string[] = [];
    const tail = await tails.open({ filter: {}, signal: stopping.signal });
    const ended = (async () => {
      for await (const item of tail) items.push(item.kind);
    })();
    await search();
    await vi.waitFor(() => expect(items.length).toBeGreaterThan(3));
    stopping.abort();
    await ended;
    expect(new Set(items)).toEqual(new Set(['idle']));
    expect(asked).toEqual(['b']);
    expect((await store.live.subscriptions('b-1')).filter(({ filter }) => 'question' in filter)).toEqual([]);
  });
});
