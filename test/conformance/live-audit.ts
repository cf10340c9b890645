import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';

import type { LiveFilter, LiveAuditLog, Store } from '../../src/store/store.ts';
import { replica, type OpenStore } from './fixtures.ts';

const LONG = { ttlMs: 60_000, most: 50 };

async function following(live: LiveAuditLog, tail = 'tail-1', filter: Record<string, string> = {}): Promise<string> {
  const id = await live.subscribe(tail, filter, LONG);
  if (id.kind !== 'new') throw new Error(`the subscription was not new: ${id.kind}`);
  return id.position;
}

const wantedOf = async (live: LiveAuditLog): Promise<readonly LiveFilter[]> =>
  (await live.subscriptions('replica-a')).map(({ filter }) => filter);

/** The replica looks, and says that it sees to all that it has found. */
async function takeAllUp(live: LiveAuditLog, incarnation: string): Promise<void> {
  const subscriptions = await live.subscriptions(incarnation);
  await live.accept(
    incarnation,
    subscriptions.map(({ id }) => id),
  );
}

async function register({ log }: Store, incarnation: string): Promise<void> {
  expect(await log.renew(replica({ incarnation }), await log.position())).toMatchObject({ ok: true });
}

const textsAfter = async ({ live }: Store, position: string, limit = 100): Promise<readonly (string | undefined)[]> =>
  (await live.read(position, limit)).entries.map(({ text }) => text).filter((text) => text !== undefined);

/** What replicas show each other of the audit record while someone tails. */
export function liveRecordConforms(open: OpenStore): void {
  it('gives what was published after a place, in order, and from there on what came since', async () => {
    const { store } = await open();
    const position = await following(store.live);
    await store.live.publish(['one', 'two']);
    await store.live.publish(['three']);
    const first = await store.live.read(position, 2);
    expect(first).toMatchObject({ gap: false, entries: [{ text: 'one' }, { text: 'two' }] });
    expect(await textsAfter(store, first.entries.at(-1)?.position ?? '')).toEqual(['three']);
  });

  it('keeps nothing while no one tails', async () => {
    const { store } = await open();
    await store.live.publish(['unseen']);
    const position = await following(store.live);
    await store.live.publish(['seen']);
    expect(await textsAfter(store, '0-0')).toEqual(['seen']);
    expect(await textsAfter(store, position)).toEqual(['seen']);
  });

  it('says what everyone wants to see, until they leave', async () => {
    const { store } = await open();
    expect(await wantedOf(store.live)).toEqual([]);
    await following(store.live, 'a', { user: 'alice' });
    await following(store.live, 'b', { verb: 'delete' });
    expect(await wantedOf(store.live)).toHaveLength(2);
    await store.live.unsubscribe('a');
    expect(await wantedOf(store.live)).toEqual([{ verb: 'delete' }]);
  });

  it('tells a subscription that has stood from one that is new, or that has changed', async () => {
    const { store } = await open();
    await following(store.live, 'a', { user: 'alice', verb: 'get' });
    expect(await store.live.subscribe('a', { verb: 'get', user: 'alice' }, LONG)).toEqual({ kind: 'stands' });
    expect(await store.live.subscribe('a', { user: 'bob' }, LONG)).toMatchObject({ kind: 'new' });
    expect(await wantedOf(store.live)).toEqual([{ user: 'bob' }]);
  });

  it('forgets a subscription that is not repeated, and says that it is new when it comes back', async () => {
    const { store, clock } = await open();
    await store.live.subscribe('a', {}, { ttlMs: 50, most: 50 });
    clock.advance(1);
    await vi.waitFor(async () => expect(await wantedOf(store.live)).toEqual([]), { interval: 20 });
    expect(await store.live.subscribe('a', {}, LONG)).toMatchObject({ kind: 'new' });
  });

  it('takes no more tails than it may, and lets those go on that it has', async () => {
    const { store } = await open();
    const two = { ttlMs: 60_000, most: 2 };
    for (const tail of ['a', 'b']) expect(await store.live.subscribe(tail, {}, two)).toMatchObject({ kind: 'new' });
    expect(await store.live.subscribe('c', {}, two)).toEqual({ kind: 'full' });
    expect(await store.live.subscribe('a', {}, two)).toEqual({ kind: 'stands' });
    await store.live.unsubscribe('b');
    expect(await store.live.subscribe('c', {}, two)).toMatchObject({ kind: 'new' });
  });

  it('says that a subscription is taken up once every replica of the registry has said so, and not before', async () => {
    const { store } = await open();
    const { live, log } = store;
    await register(store, 'replica-a');
    await register(store, 'replica-b');
    expect(await live.isAcceptedByAll('tail-1')).toBe(false);
    await following(live);
    expect(await live.subscriptions('replica-a')).toMatchObject([{ filter: {}, accepted: false }]);
    await takeAllUp(live, 'replica-a');
    expect(await live.subscriptions('replica-a')).toMatchObject([{ accepted: true }]);
    expect(await live.subscriptions('replica-b')).toMatchObject([{ accepted: false }]);
    expect(await live.isAcceptedByAll('tail-1')).toBe(false);
    await takeAllUp(live, 'replica-b');
    expect(await live.isAcceptedByAll('tail-1')).toBe(true);
    expect(await live.subscribe('tail-1', {}, LONG)).toEqual({ kind: 'stands' });
    expect(await live.isAcceptedByAll('tail-1')).toBe(true);
    await register(store, 'replica-c');
    expect(await live.isAcceptedByAll('tail-1')).toBe(false);
    await log.leave('replica-c');
    expect(await live.isAcceptedByAll('tail-1')).toBe(true);
  });

  it('takes no one’s word for a subscription that has changed, lapsed or gone', async () => {
    const { store } = await open();
    const { live } = store;
    await register(store, 'replica-a');
    await following(live, 'a', { user: 'alice' });
    const [before] = await live.subscriptions('replica-a');
    await following(live, 'a', { user: 'bob' });
    await live.accept('replica-a', [before?.id ?? '']);
    expect(await live.isAcceptedByAll('a')).toBe(false);
    await takeAllUp(live, 'replica-a');
    expect(await live.isAcceptedByAll('a')).toBe(true);
    await live.unsubscribe('a');
    expect(await live.isAcceptedByAll('a')).toBe(false);
    await following(live, 'a', { user: 'bob' });
    expect(await live.isAcceptedByAll('a')).toBe(false);
  });

  it('wakes who waits for a subscription when there is a new one', async () => {
    const { store } = await open();
    const { live } = store;
    const notified = async (): Promise<void> => {
      const stop = new AbortController();
      const told = live.waitForSubscription(stop.signal).then(() => 'told');
      await live.unsubscribe('a');
      await following(live, 'a');
      const late = delay(200, 'late', { signal: stop.signal }).catch(() => 'late');
      const first = await Promise.race([told, late]);
      stop.abort();
      expect(first).toBe('told');
    };
    // Twice: a listener wakes everyone when it begins to listen.
    await vi.waitFor(notified);
    await vi.waitFor(notified);
  });

  it('stops waiting for a subscription when told to', async () => {
    const { live } = (await open()).store;
    const abort = new AbortController();
    const wait = live.waitForSubscription(abort.signal);
    abort.abort();
    await expect(wait).resolves.toBeUndefined();
    await expect(live.waitForSubscription(abort.signal)).resolves.toBeUndefined();
  });

  it('keeps about a thousand entries, and says that there is a gap where the place is gone', async () => {
    const { store } = await open();
    const position = await following(store.live);
    for (let batch = 0; batch < 12; batch += 1) {
      await store.live.publish(Array.from({ length: 100 }, (_, index) => `${batch}-${index}`));
    }
    const { entries, gap } = await store.live.read(position, 5000);
    expect(gap).toBe(true);
    expect(entries.length).toBeGreaterThan(900);
    expect(entries.length).toBeLessThan(1200);
    expect(entries.at(-1)?.text).toBe('11-99');
  });
}
