import { afterEach, describe, expect, test, vi } from 'vitest';
import { createLiveTails, type LiveTails, type TailItem } from '../../../../src/audit/live/live-tails.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { Store } from '../../../../src/store/store.ts';
import { replica } from '../../../conformance/fixtures.ts';
import { anEvent } from '../fixtures.ts';

const FAST = { pollMs: 5, repeatMs: 20, mostOfReplica: 2 };

interface Tailed {
  readonly items: readonly TailItem[];
  readonly ended: Promise<void>;
  stop(): void;
}

let now = Date.UTC(2031, 0, 1);
const stores: LiveTails[] = [];
afterEach(() => {
  for (const tails of stores.splice(0)) tails.stop();
});

function stage(): { readonly store: Store; readonly tails: LiveTails } {
  const store = createMemoryStore({ clock: { nowMs: () => now } });
  const tails = createLiveTails(store.live, FAST);
  stores.push(tails);
  return { store, tails };
}

async function follow(tails: LiveTails, filter: Record<string, string> = {}, after?: string): Promise<Tailed> {
  const stopping = new AbortController();
  const items: TailItem[] = [];
  const opened = await tails.open({ filter, signal: stopping.signal, ...(after === undefined ? {} : { after }) });
  const ended = (async () => {
    for await (const item of opened) if (item.kind !== 'idle' || items.at(-1)?.kind !== 'idle') items.push(item);
  })();
  return { items, ended, stop: () => stopping.abort() };
}

const line = (auditID: string, verb = 'get'): string => JSON.stringify(anEvent({ auditID, verb }));
const kinds = ({ items }: Tailed): readonly string[] => items.map(({ kind }) => kind).filter((kind) => kind !== 'idle');
const seen = (tailed: Tailed, count: number): Promise<void> =>
  vi.waitFor(() => expect(kinds(tailed)).toHaveLength(count));

describe('a tail', () => {
  test('sees what matches, from its beginning on, and nothing else', async () => {
    const { store, tails } = stage();
    await store.live.publish([line('before')]);
    const tailed = await follow(tails, { verb: 'delete' });
    await store.live.publish([line('1'), line('2', 'delete'), line('3', 'delete')]);
    await seen(tailed, 2);
    expect(tailed.items.filter(({ kind }) => kind === 'event')).toMatchObject([
      { line: line('2', 'delete') },
      { line: line('3', 'delete') },
    ]);
  });

  test('goes on from an id, and is told of a gap where its subscription was forgotten meanwhile', async () => {
    const { store, tails } = stage();
    const first = await follow(tails);
    await store.live.publish([line('1')]);
    await seen(first, 1);
    const id = first.items.find(({ kind }) => kind === 'event')?.id ?? '';
    first.stop();
    await first.ended;
    await store.live.publish([line('2')]);
    const second = await follow(tails, {}, id);
    await seen(second, 1);
    expect(kinds(second)).toEqual(['event']);
    second.stop();
    await second.ended;
    now += 60_000;
    const third = await follow(tails, {}, id);
    await seen(third, 2);
    expect(kinds(third)).toEqual(['gap', 'event']);
  });

  test('with another filter gets no credit for a subscription that stood for the first', async () => {
    const { store, tails } = stage();
    const first = await follow(tails, { verb: 'get' });
    await store.live.publish([line('1')]);
    await seen(first, 1);
    const id = first.items.find(({ kind }) => kind === 'event')?.id ?? '';
    first.stop();
    const second = await follow(tails, { verb: 'delete' }, id);
    await seen(second, 1);
    expect(kinds(second)).toEqual(['gap']);
  });

  test('is told when a replica had to leave something out', async () => {
    const { store, tails } = stage();
    const tailed = await follow(tails);
    await store.live.publish(['{"dropped":3}', line('1')]);
    await seen(tailed, 2);
    expect(tailed.items.filter(({ kind }) => kind !== 'idle')).toMatchObject([
      { reason: 'dropped' },
      { kind: 'event' },
    ]);
  });

  test('is told when it was too slow for what is kept', async () => {
    const { store, tails } = stage();
    const opened = await tails.open({ filter: {}, signal: new AbortController().signal });
    const items = opened[Symbol.asyncIterator]();
    expect((await items.next()).value).toMatchObject({ kind: 'idle' });
    for (let batch = 0; batch < 110; batch += 1) await store.live.publish(Array.from({ length: 10 }, () => line('x')));
    expect((await items.next()).value).toMatchObject({ kind: 'gap', reason: 'too_old' });
    expect((await items.next()).value).toMatchObject({ kind: 'event' });
  });

  test('begins once the last replica has taken it up, and with a gap where one stays unavailable', async () => {
    const { store } = stage();
    const tails = createLiveTails(store.live, { ...FAST, acceptMs: 100, acceptPollMs: 5 });
    stores.push(tails);
    await store.log.renew(replica({ incarnation: 'here' }), await store.log.position());
    const late = await follow(tails);
    await seen(late, 1);
    expect(late.items[0]).toMatchObject({ kind: 'gap', reason: 'replica_late' });
    late.stop();
    const take = async (): Promise<void> => {
      const subscriptions = await store.live.subscriptions('here');
      await store.live.accept(
        'here',
        subscriptions.map(({ id }) => id),
      );
    };
    const taking = setInterval(() => void take(), 20);
    const whole = await follow(tails, { verb: 'get' });
    clearInterval(taking);
    await store.live.publish([line('1')]);
    await seen(whole, 1);
    expect(whole.items[0]?.kind).not.toBe('gap');
  });

  test('outlives a store that is unavailable', async () => {
    const { store } = stage();
    let failures = 2;
    const tails = createLiveTails(
      {
        subscribe: (...asked) => store.live.subscribe(...asked),
        unsubscribe: (tail) => store.live.unsubscribe(tail),
        isAcceptedByAll: (tail) => store.live.isAcceptedByAll(tail),
        read: async (...asked) => {
          failures -= 1;
          if (failures >= 0) throw new AppError('store_unavailable', 'away');
          return store.live.read(...asked);
        },
      },
      FAST,
    );
    stores.push(tails);
    const tailed = await follow(tails);
    await vi.waitFor(() => expect(failures).toBeLessThan(0));
    await store.live.publish([line('1')]);
    await seen(tailed, 1);
  });

  test.each(['', 'x', '1-0', '1-0.short', `1-0.${'a'.repeat(22)}\n`, `x-0.${'a'.repeat(22)}`])(
    'cannot go on from %j',
    async (after) => {
      await expect(follow(stage().tails, {}, after)).rejects.toMatchObject({ code: 'bad_request' });
    },
  );
});

describe('a replica', () => {
  test('serves so many tails and no more, and another one when one has ended or could not begin', async () => {
    const { tails } = stage();
    const first = await follow(tails);
    await expect(follow(tails, {}, 'malformed')).rejects.toThrow('Last-Event-ID');
    await follow(tails);
    await expect(follow(tails)).rejects.toMatchObject({ reason: 'too_many_tails' });
    first.stop();
    await follow(tails);
  });

  test('ends its tails when it stops, and begins no other', async () => {
    const { tails } = stage();
    const tailed = await follow(tails);
    tails.stop();
    await tailed.ended;
    await expect(follow(tails)).rejects.toMatchObject({ code: 'fenced' });
  });
});
