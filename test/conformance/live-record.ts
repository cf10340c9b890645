import { expect, it, vi } from 'vitest';

import type { LiveRecord, Store } from '../../src/store/store.ts';
import type { OpenStore } from './fixtures.ts';

const LONG = { ttlMs: 60_000, most: 50 };

async function following(live: LiveRecord, tail = 'tail-1', filter: Record<string, string> = {}): Promise<string> {
  const wish = await live.want(tail, filter, LONG);
  if (wish.kind !== 'new') throw new Error(`the wish was not new: ${wish.kind}`);
  return wish.place;
}

const textsAfter = async ({ live }: Store, place: string, limit = 100): Promise<readonly (string | undefined)[]> =>
  (await live.read(place, limit)).entries.map(({ text }) => text).filter((text) => text !== undefined);

/** What replicas show each other of the audit record while somebody tails. */
export function liveRecordConforms(open: OpenStore): void {
  it('gives what was published after a place, in order, and from there on what came since', async () => {
    const { store } = await open();
    const place = await following(store.live);
    await store.live.publish(['one', 'two']);
    await store.live.publish(['three']);
    const first = await store.live.read(place, 2);
    expect(first).toMatchObject({ gap: false, entries: [{ text: 'one' }, { text: 'two' }] });
    expect(await textsAfter(store, first.entries.at(-1)?.place ?? '')).toEqual(['three']);
  });

  it('keeps nothing while nobody tails', async () => {
    const { store } = await open();
    await store.live.publish(['unseen']);
    const place = await following(store.live);
    await store.live.publish(['seen']);
    expect(await textsAfter(store, '0-0')).toEqual(['seen']);
    expect(await textsAfter(store, place)).toEqual(['seen']);
  });

  it('says what everybody wants to see, until they leave', async () => {
    const { store } = await open();
    expect(await store.live.wanted()).toEqual([]);
    await following(store.live, 'a', { user: 'alice' });
    await following(store.live, 'b', { verb: 'delete' });
    expect(await store.live.wanted()).toHaveLength(2);
    await store.live.leave('a');
    expect(await store.live.wanted()).toEqual([{ verb: 'delete' }]);
  });

  it('tells a wish that has stood from one that is new, or that has changed', async () => {
    const { store } = await open();
    await following(store.live, 'a', { user: 'alice', verb: 'get' });
    expect(await store.live.want('a', { verb: 'get', user: 'alice' }, LONG)).toEqual({ kind: 'stands' });
    expect(await store.live.want('a', { user: 'bob' }, LONG)).toMatchObject({ kind: 'new' });
    expect(await store.live.wanted()).toEqual([{ user: 'bob' }]);
  });

  it('forgets a wish that is not repeated, and says that it is new when it comes back', async () => {
    const { store, clock } = await open();
    await store.live.want('a', {}, { ttlMs: 50, most: 50 });
    clock.advance(1);
    await vi.waitFor(async () => expect(await store.live.wanted()).toEqual([]), { timeout: 5000, interval: 20 });
    expect(await store.live.want('a', {}, LONG)).toMatchObject({ kind: 'new' });
  });

  it('takes no more tails than it may, and lets those go on that it has', async () => {
    const { store } = await open();
    const two = { ttlMs: 60_000, most: 2 };
    for (const tail of ['a', 'b']) expect(await store.live.want(tail, {}, two)).toMatchObject({ kind: 'new' });
    expect(await store.live.want('c', {}, two)).toEqual({ kind: 'full' });
    expect(await store.live.want('a', {}, two)).toEqual({ kind: 'stands' });
    await store.live.leave('b');
    expect(await store.live.want('c', {}, two)).toMatchObject({ kind: 'new' });
  });

  it('keeps about a thousand entries, and says that there is a gap where the place is gone', async () => {
    const { store } = await open();
    const place = await following(store.live);
    for (let batch = 0; batch < 12; batch += 1) {
      await store.live.publish(Array.from({ length: 100 }, (_, index) => `${batch}-${index}`));
    }
    const { entries, gap } = await store.live.read(place, 5000);
    expect(gap).toBe(true);
    expect(entries.length).toBeGreaterThan(900);
    expect(entries.length).toBeLessThan(1200);
    expect(entries.at(-1)?.text).toBe('11-99');
  });
}
