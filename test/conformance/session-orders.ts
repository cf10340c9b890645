import { expect, it } from 'vitest';

import type { NewSession, SessionOrder, SessionQuery, SessionRecord } from '../../src/store/store.ts';
import { openNow, parallel, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const ORDERS: readonly SessionOrder[] = ['newest', 'oldest', 'last-used', 'least-used'];

interface Turned {
  /** Ids, page by page. */
  readonly pages: readonly (readonly string[])[];
  /** Of each page but the last. */
  readonly cursors: readonly string[];
}

/** Turns pages until there are none. */
async function turned({ store }: StoreUnderTest, query: Omit<SessionQuery, 'cursor'>): Promise<Turned> {
  const pages: string[][] = [];
  const cursors: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.sessions.list({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    pages.push(page.sessions.map(({ id }) => id));
    cursor = page.cursor;
    if (cursor !== undefined) cursors.push(cursor);
  } while (cursor !== undefined);
  return { pages, cursors };
}

const cursorOf = async (subject: StoreUnderTest, order: SessionOrder): Promise<string> =>
  (await turned(subject, { order, limit: 1 })).cursors[0] ?? '';

async function openMany(subject: StoreUnderTest, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await openNow(subject, { id: `s${index}`, account: `corp/${index}` });
}

/** A few at a time, because Redis must answer each of them soon. */
async function openAtOnce(subject: StoreUnderTest, count: number, change: Partial<NewSession> = {}): Promise<void> {
  for (let first = 0; first < count; first += 25) {
    await parallel(25, (index) => openNow(subject, { id: `m${first + index}`, ...change }));
  }
}

/** In which order sessions are listed, and which of them. */
export function sessionOrdersConform(open: OpenStore): void {
  ordersConform(open);
  cursorsConform(open);
  filtersConform(open);
}

function ordersConform(open: OpenStore): void {
  it('lists by opening and by last use, both ways, page by page', async () => {
    const subject = await open();
    const { store, clock } = subject;
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      await openNow(subject, { id });
      clock.advance(1);
    }
    for (const id of ['b', 'd', 'a']) {
      expect(await store.sessions.mint(id, {})).toMatchObject({ ok: true });
      clock.advance(1);
    }
    const pagesBy = async (order: SessionOrder) => (await turned(subject, { order, limit: 2 })).pages;
    expect(await pagesBy('newest')).toEqual([['e', 'd'], ['c', 'b'], ['a']]);
    expect(await pagesBy('oldest')).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
    expect(await pagesBy('last-used')).toEqual([['a', 'd'], ['b', 'e'], ['c']]);
    expect(await pagesBy('least-used')).toEqual([['c', 'e'], ['b', 'd'], ['a']]);
  });

  it.each(ORDERS)('loses and repeats none of those that were used in one second (%s)', async (order) => {
    const subject = await open();
    await openMany(subject, 25);
    for (let index = 0; index < 25; index += 2) await subject.store.sessions.mint(`s${index}`, {});
    const { pages } = await turned(subject, { order, limit: 3 });
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 3, 3, 3, 3, 3, 3, 1]);
    expect(new Set(pages.flat()).size).toBe(25);
  });

  it.each(ORDERS)('lists no session that has ended, was revoked, or whose account was (%s)', async (order) => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { id: 'idle', account: 'corp/2', idleSeconds: 10 });
    await openNow(subject, { id: 'revoked', account: 'corp/3' });
    await openNow(subject, { id: 'of-revoked', account: 'corp/4' });
    await openNow(subject, { id: 'elsewhere', account: 'hub/5', provider: 'hub' });
    await openNow(subject, { id: 'alive' });
    for (const id of ['idle', 'revoked', 'of-revoked', 'elsewhere', 'alive']) await store.sessions.mint(id, {});
    clock.advance(10);
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'revoked' } });
    await store.log.append({ requestId: 's', target: { kind: 'account', account: 'corp/4' } });
    await store.log.append({ requestId: 't', target: { kind: 'provider', provider: 'hub' } });
    expect((await turned(subject, { order, limit: 2 })).pages).toEqual([['alive']]);
  });

  it('passes over many sessions that have ended, from either end', async () => {
    const subject = await open();
    await openNow(subject, { id: 'first' });
    await openAtOnce(subject, 250, { idleSeconds: 10 });
    await openNow(subject, { id: 'last' });
    subject.clock.advance(10);
    for (const order of ['oldest', 'least-used'] as const) {
      expect((await turned(subject, { order, limit: 5 })).pages).toEqual([['first', 'last']]);
    }
  });

  it('lists one account newest first, whatever order is asked for', async () => {
    const subject = await open();
    await openNow(subject, { id: 'a' });
    await openNow(subject, { id: 'b' });
    await openNow(subject, { id: 'c', account: 'corp/2' });
    const { pages } = await turned(subject, { account: 'corp/1', order: 'oldest', limit: 1 });
    expect(pages).toEqual([['b'], ['a']]);
  });
}

function cursorsConform(open: OpenStore): void {
  it('refuses a cursor of another order', async () => {
    const subject = await open();
    await openMany(subject, 3);
    for (const from of ORDERS) {
      const cursor = await cursorOf(subject, from);
      expect((await subject.store.sessions.list({ order: from, cursor, limit: 2 })).sessions).toHaveLength(2);
      for (const order of ORDERS.filter((other) => other !== from)) {
        const page = subject.store.sessions.list({ order, cursor, limit: 2 });
        await expect(page).rejects.toMatchObject({ code: 'bad_request', reason: 'bad_cursor' });
      }
    }
  });

  it('refuses a cursor that it did not make', async () => {
    const subject = await open();
    for (const text of [
      'last-used:',
      'last-used:-1',
      'last-used:1e3',
      'last-used:99999999999999999',
      'last-used:1 2',
    ]) {
      const cursor = Buffer.from(text).toString('base64url');
      const page = subject.store.sessions.list({ order: 'last-used', cursor, limit: 2 });
      await expect(page).rejects.toMatchObject({ code: 'bad_request', reason: 'bad_cursor' });
    }
  });

  it('shows a session that was opened meanwhile at the end of the oldest', async () => {
    const subject = await open();
    await openMany(subject, 2);
    const cursor = await cursorOf(subject, 'oldest');
    await openNow(subject, { id: 'new' });
    const page = await subject.store.sessions.list({ order: 'oldest', cursor, limit: 5 });
    expect(page.sessions.map(({ id }) => id)).toEqual(['s1', 'new']);
  });
}

function filtersConform(open: OpenStore): void {
  const even = ({ id }: SessionRecord): boolean => Number(id.slice(1)) % 2 === 0;

  it.each(ORDERS)('lists those alone that are asked for, in whole pages (%s)', async (order) => {
    const subject = await open();
    await openMany(subject, 11);
    const { pages } = await turned(subject, { order, where: even, limit: 4 });
    const up = ['s0', 's2', 's4', 's6', 's8', 's10'];
    const all = order === 'oldest' || order === 'least-used' ? up : up.toReversed();
    expect(pages).toEqual([all.slice(0, 4), all.slice(4)]);
  });

  it('filters within an account', async () => {
    const subject = await open();
    for (const id of ['s1', 's2', 's3']) await openNow(subject, { id });
    await openNow(subject, { id: 's4', account: 'corp/2' });
    expect((await turned(subject, { account: 'corp/1', where: even, limit: 4 })).pages).toEqual([['s2']]);
  });

  it('says that there is no more where nothing fits', async () => {
    const subject = await open();
    await openMany(subject, 3);
    expect(await subject.store.sessions.list({ where: () => false, limit: 5 })).toEqual({ sessions: [] });
  });

  it('looks behind many that do not fit, each once', async () => {
    const subject = await open();
    await openMany(subject, 2);
    await openAtOnce(subject, 250);
    await openNow(subject, { id: 'last' });
    let looked = 0;
    const where = ({ id }: SessionRecord): boolean => {
      looked += 1;
      return id === 's1' || id === 'last';
    };
    expect((await turned(subject, { where, limit: 5 })).pages).toEqual([['last', 's1']]);
    expect(looked).toBe(253);
    expect((await turned(subject, { order: 'least-used', where, limit: 1 })).pages).toEqual([['s1'], ['last']]);
  });
}
