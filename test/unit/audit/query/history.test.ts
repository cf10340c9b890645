import { appendFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createAuditHistory } from '../../../../src/audit/query/history.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import type { AuditQuery } from '../../../../src/audit/query/matcher.ts';
import { auditTime, momentOf } from '../../../../src/core/audit/moment.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { aFolder, anEvent, range } from '../fixtures.ts';

const START = Date.UTC(2026, 0, 1);

/** Event n, written n seconds after the start. */
const at = (n: number, change: Partial<AuditEvent> = {}): AuditEvent =>
  anEvent({ auditID: `event-${n}`, stageTimestamp: auditTime(START + n * 1000), ...change });

const linesOf = (events: readonly AuditEvent[]): string => events.map((event) => encodeLine(event).toString()).join('');

const stampOf = (n: number): string => new Date(START + n * 1000).toISOString().replaceAll(':', '-');

async function aLog() {
  const folder = await aFolder();
  const path = join(folder, 'audit.log');
  const rejectedPath = `${path}.rejected`;
  const history = createAuditHistory([{ type: 'stdout' }, { type: 'file', path, rejectedPath }]);
  if (history === undefined) throw new Error('there is a file sink');
  const ids = async (query: AuditQuery = {}, events = 100) =>
    (await history.search('root', query, { events }))?.hits.map(({ event }) => event.auditID);
  return { path, rejectedPath, history, ids };
}

describe('the history', () => {
  test('is the newest events first, over ended files, compressed or not, and the file of rejections', async () => {
    const { path, rejectedPath, history, ids } = await aLog();
    await writeFile(`${path}.${stampOf(3)}.gz`, gzipSync(linesOf([at(1), at(2)])));
    await writeFile(`${path}.${stampOf(5)}`, linesOf([at(3), at(4)]));
    await writeFile(path, linesOf([at(6), at(8)]));
    await writeFile(rejectedPath, linesOf([at(5), at(7)]));
    const all = [8, 7, 6, 5, 4, 3, 2, 1].map((n) => `event-${n}`);
    expect(await ids()).toEqual(all);
    expect(await ids({}, 3)).toEqual(all.slice(0, 3));
    expect((await history.search('root', {}, { events: 3 }))?.stopped).toBe('events');
    expect((await history.search('root', {}, { events: 8 }))?.stopped).toBeUndefined();
    expect(await ids({ since: auditTime(START + 3000), until: auditTime(START + 6000) })).toEqual(all.slice(3, 6));
  });

  test('is whole where lines cross the chunks that are read, and leaves out a line that is being written', async () => {
    const { path, history, ids } = await aLog();
    const wide = (n: number): AuditEvent =>
      at(n, { userAgent: 'x'.repeat(n % 50 === 0 ? 400_000 : n % 7 === 0 ? 90_000 : n) });
    await writeFile(path, linesOf(range(200).map(wide)));
    await appendFile(path, '{"kind":"Event","auditID":"torn"');
    expect(await ids({}, 1000)).toEqual(range(200).map((n) => `event-${199 - n}`));
    expect((await history.search('root', {}, { events: 1000 }))?.unreadable).toBe(0);
  });

  test('is read through one memory, whatever the length of its file', async () => {
    const { path, ids } = await aLog();
    await writeFile(path, linesOf(range(8000).map((n) => at(n, { userAgent: 'x'.repeat(1000) }))));
    await ids({ verb: 'never' });
    const before = process.memoryUsage().arrayBuffers;
    await ids({ verb: 'never' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  test('shows a request once, by its latest event, or each event where all are wanted', async () => {
    const { path, history, ids } = await aLog();
    await writeFile(
      path,
      linesOf([at(1, { stage: 'RequestReceived' }), at(2), { ...at(1), stageTimestamp: at(3).stageTimestamp }]),
    );
    expect(await ids()).toEqual(['event-1', 'event-2']);
    const every = await history.search('root', {}, { events: 10, every: true });
    expect(every?.hits.map(({ event }) => event.stage)).toEqual([
      'ResponseComplete',
      'ResponseComplete',
      'RequestReceived',
    ]);
  });

  test('finds one request by its id', async () => {
    const { path, ids } = await aLog();
    const other = at(2, { requestURI: '/api?continue=event-1' });
    await writeFile(path, linesOf([at(1), other]));
    expect(await ids({ auditId: 'event-1' })).toEqual(['event-1']);
  });

  test('stops at its bounds, says so, and shows nothing older of another log', async () => {
    const { path, rejectedPath } = await aLog();
    await writeFile(path, linesOf(range(2000).map((n) => at(n))));
    await writeFile(rejectedPath, linesOf([at(1)]));
    const search = async (limits: object) =>
      await createAuditHistory([{ type: 'file', path, rejectedPath }], limits)?.search('root', {}, { events: 5000 });
    const found = await search({ readBytes: 200_000 });
    expect(found?.stopped).toBe('bytes');
    expect(found?.hits.at(-1)?.event.auditID).not.toBe('event-1');
    expect(await search({ ms: -1 })).toMatchObject({ stopped: 'time', hits: [] });
    expect(await search({ hitBytes: 1000 })).toMatchObject({ stopped: 'events' });
    const abandoned = createAuditHistory([{ type: 'file', path }])?.search(
      'root',
      {},
      { events: 5000, isAbandoned: () => true },
    );
    expect(await abandoned).toMatchObject({ stopped: 'time', hits: [] });
  });

  test.each([
    ['a file', 'plain', {}, [31, 41, 1]],
    ['a compressed file', 'packed', {}, [1, 30, 1, 40, 1]],
    ['a compressed file, where few characters are kept', 'packed', { hitBytes: 12_000 }, [1, 25, 1, 25, 1]],
  ])('has no page of %s that ends within one moment, so none is lost', async (_of, kind, limits, lengths) => {
    const { path } = await aLog();
    const moments = [1, ...range(40).map(() => 2), 3, ...range(30).map(() => 4), 5];
    const lines = linesOf(moments.map((n, index) => at(n, { auditID: `event-${index}` })));
    if (kind === 'plain') await writeFile(path, lines);
    else await writeFile(`${path}.${stampOf(200)}.gz`, gzipSync(lines));
    const history = createAuditHistory([{ type: 'file', path }], limits);
    const pages: string[][] = [];
    let unreadable = 0;
    for (let until: string | undefined, isMore = true; isMore;) {
      const found = await history?.search('root', until === undefined ? {} : { until }, { events: 3 });
      pages.push(found?.hits.map(({ event }) => event.auditID) ?? []);
      until = found?.hits.at(-1)?.time;
      unreadable += found?.unreadable ?? 0;
      isMore = found?.stopped === 'events';
    }
    expect(pages.map(({ length }) => length)).toEqual(lengths);
    const all = moments.map((_, index) => `event-${index}`);
    expect(pages.flat().filter((id) => !all.includes(id))).toEqual([]);
    expect(new Set(pages.flat()).size).toBe(pages.flat().length);
    // Of a moment that is larger than all that may be kept, it is said that there is more.
    expect(unreadable > 0).toBe(pages.flat().length < all.length);
  });

  test.each([
    ['too many events', range(100).map((n) => at(n)), {}],
    [
      'events of too many characters',
      range(20).map((n) => at(n, { userAgent: 'x'.repeat(5000) })),
      { hitBytes: 40_000 },
    ],
  ])('says so when it keeps only the newest of a compressed file with %s', async (_what, events, limits) => {
    const { path } = await aLog();
    await writeFile(`${path}.${stampOf(200)}.gz`, gzipSync(linesOf(events)));
    const history = createAuditHistory([{ type: 'file', path }], limits);
    const found = await history?.search('root', { until: auditTime(START + 150_000) }, { events: 10 });
    expect(found?.stopped).toBe('events');
    const newest = events.toReversed().map(({ auditID }) => auditID);
    expect(found?.hits.map(({ event }) => event.auditID)).toEqual(newest.slice(0, found?.hits.length));
    expect(found?.hits.length).toBeGreaterThan(2);
  });

  test('is read by few at a time, of each one search after another, and no reader takes the turn of others', async () => {
    const { path } = await aLog();
    await writeFile(path, linesOf([at(1)]));
    const history = createAuditHistory([{ type: 'file', path }], { searches: 2 });
    const ended: string[] = [];
    const search = async (reader: string, name = reader) => {
      const found = await history?.search(reader, {}, { events: 1 });
      ended.push(name);
      return found;
    };
    const all = [1, 2, 3, 4].map((n) => search('root', `root ${n}`));
    await expect(search('root')).rejects.toMatchObject({ code: 'conflict' });
    const others = [1, 2, 3, 4].map((n) => search('vera', `vera ${n}`));
    await Promise.all([...all, ...others, search('ann')]);
    // Hers came before what they had asked for earlier.
    expect(ended.indexOf('ann')).toBeLessThan(4);
    expect(ended.filter((name) => name.startsWith('root'))).toEqual(['root 1', 'root 2', 'root 3', 'root 4']);
    expect(ended).toHaveLength(9);
    const none = createAuditHistory([{ type: 'file', path }], { searches: 0 });
    await expect(none?.search('ann', {}, { events: 1, ms: 1 })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('counts only the events that are asked for, also in a compressed file', async () => {
    const { path, history } = await aLog();
    const inSession = { annotations: { 'portcullis.dev/session': 's-1' } };
    const own = { annotations: { 'portcullis.dev/session': 's-1', 'portcullis.dev/event': 'sign-in' } };
    const signIns = range(60).map((n) => at(n + 2, own));
    await writeFile(`${path}.${stampOf(100)}.gz`, gzipSync(linesOf([at(0, inSession), ...signIns])));
    await writeFile(path, linesOf([at(101, inSession), at(102, own)]));
    const found = await history.search('root', {}, { events: 2, requests: true });
    expect(found?.hits.map(({ event }) => event.auditID)).toEqual(['event-101', 'event-0']);
    expect(found?.stopped).toBeUndefined();
  });

  test('finds what was long ago in a large file without reading what came later', async () => {
    const { path } = await aLog();
    const wide = (n: number): AuditEvent => at(n, { userAgent: 'x'.repeat(n % 50 === 7 ? 90_000 : 2000) });
    // Nine at a time are out of order, and some lines are no events.
    const order = range(222).flatMap((block) => range(9).map((n) => 9 * block + 8 - n));
    const lines = order.map((n) => `${n % 20 === 0 ? 'torn' : ''}${linesOf([wide(n)])}${n % 30 === 0 ? 'torn\n' : ''}`);
    await writeFile(path, lines.join(''));
    const history = createAuditHistory([{ type: 'file', path }], { readBytes: 1024 * 1024 });
    for (let from = 0; from < order.length; from += 37) {
      const query = { since: auditTime(START + from * 1000), until: auditTime(START + (from + 30) * 1000) };
      const found = await history?.search('root', query, { events: 1000 });
      const wanted = order.filter((n) => n >= from && n < from + 30 && n % 20 !== 0).map((n) => `event-${n}`);
      expect(found?.hits.map(({ event }) => event.auditID).toSorted()).toEqual(wanted.toSorted());
      expect(found?.stopped).toBeUndefined();
    }
    const newest = await history?.search('root', { until: '9999-12-31T23:59:59.000000Z' }, { events: 1 });
    expect(newest?.hits[0]?.event.auditID).toBe(`event-${order.at(-1)}`);
  });

  test('follows no link, and is undefined where there is no file', async () => {
    const { path, history } = await aLog();
    expect(await history.search('root', {}, { events: 1 })).toBeUndefined();
    await writeFile(`${path}.other`, linesOf([at(1)]));
    await symlink(`${path}.other`, path);
    expect(await history.search('root', {}, { events: 1 })).toBeUndefined();
    const folder = join(await aFolder(), 'audit.log');
    await mkdir(folder);
    expect(
      await createAuditHistory([{ type: 'file', path: folder }])?.search('root', {}, { events: 1 }),
    ).toBeUndefined();
    expect(createAuditHistory([{ type: 'stdout' }])).toBeUndefined();
  });
});

test.each([
  ['15m', '2025-12-31T23:45:00.000000Z'],
  ['2026-01-01T02:00+02:00', '2026-01-01T00:00:00.000000Z'],
  ['2026-02-30', undefined],
  ['9999-12-31T23:59-05:00', '9999-12-31T23:59:59.999000Z'],
  ['yesterday', undefined],
])('%s is %s', (text, moment) => {
  expect(momentOf(text, START)).toBe(moment);
});
