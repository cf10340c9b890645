/** What anyone can have written has a budget: the same rules in both stores. */
import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import { bytesOf, type Displaced } from '../../src/store/pending.ts';
import type { Store } from '../../src/store/store.ts';
import { testClock, type StoreUnderTest } from './fixtures.ts';
import { workbench } from './redis-stores.ts';

/** Interactions have two fifths of it: about twenty of them. */
const PENDING_BYTES = 50 * bytesOf(200);
const LIFE = { ttlSeconds: 600 } as const;

interface Subject extends StoreUnderTest, AsyncDisposable {
  readonly displaced: Displaced[];
}

const stores: readonly (readonly [string, () => Promise<Subject>])[] = [
  [
    'memory',
    async () => {
      const clock = testClock();
      const displaced: Displaced[] = [];
      const onDisplaced = (one: Displaced): void => void displaced.push(one);
      const store = createMemoryStore({ clock, onDisplaced, pendingBytes: PENDING_BYTES });
      return { store, clock, displaced, [Symbol.asyncDispose]: () => store.close() };
    },
  ],
  [
    'redis',
    async () => {
      const bench = await workbench();
      const displaced: Displaced[] = [];
      const onDisplaced = (one: Displaced): void => void displaced.push(one);
      const store = await bench.store({ onDisplaced, pendingBytes: PENDING_BYTES });
      return { store, clock: bench.clock, displaced, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
    },
  ],
];

async function begin({ store, clock }: Subject, from: string, count: number): Promise<readonly string[]> {
  const ids = Array.from({ length: count }, (_, index) => `${from} ${index}`);
  for (const id of ids) {
    await store.artefacts.save('Interaction', id, { id }, { ...LIFE, from });
    clock.advance(0.001);
  }
  return ids;
}

async function standing(store: Store, ids: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(ids.map((id) => store.artefacts.find('Interaction', id)));
  return ids.filter((_, index) => found[index] !== undefined);
}

describe.each(stores)('sign-ins under way in %s', (_name, open) => {
  it('make space for new ones, the oldest first, of the site that has the most', async () => {
    await using subject = await open();
    const { store, displaced } = subject;
    const few = await begin(subject, 'few', 3);
    const many = await begin(subject, 'many', 100);
    expect(await standing(store, few)).toEqual(few);
    const left = await standing(store, many);
    expect(left.length).toBeGreaterThan(5);
    expect(left).toEqual(many.slice(-left.length));
    // Another begins while it is full, and those that were there first go on.
    const late = await begin(subject, 'late', 3);
    expect(await standing(store, [...few, ...late])).toEqual([...few, ...late]);
    const gone = 106 - (await standing(store, [...few, ...many, ...late])).length;
    expect(displaced.reduce((sum, { kind, count }) => sum + (kind === 'Interaction' ? count : 0), 0)).toBe(gone);
  });

  it('give their space back when they are used, destroyed, over, or belong to a session', async () => {
    await using subject = await open();
    const { store, clock, displaced } = subject;
    for (const id of await begin(subject, 'taken', 15)) await store.artefacts.take('Interaction', id);
    for (const id of await begin(subject, 'destroyed', 15)) await store.artefacts.destroy('Interaction', id);
    for (const id of await begin(subject, 'belonging', 15)) {
      await store.artefacts.save('Interaction', id, {}, { ...LIFE, session: 'one' });
    }
    for (let again = 0; again < 10; again += 1) await begin(subject, 'the same', 5);
    clock.advance(600);
    expect(await begin(subject, 'next', 15).then((ids) => standing(store, ids))).toHaveLength(15);
    expect(displaced).toEqual([]);
  });

  it('count for the site that began them when they are saved again', async () => {
    await using subject = await open();
    const { store } = subject;
    for (const id of await begin(subject, 'many', 15))
      await store.artefacts.save('Interaction', id, { result: id }, LIFE);
    const few = await begin(subject, 'few', 10);
    expect(await standing(store, few)).toEqual(few);
  });

  it('never touch another kind, or what belongs to a session', async () => {
    await using subject = await open();
    const { store, displaced } = subject;
    const from = 'outsider';
    await store.artefacts.save('SignIn', 'state', {}, { ...LIFE, from });
    await store.artefacts.save('ReplayDetection', 'token', {}, LIFE);
    await store.artefacts.save('RefreshToken', 'refresh', {}, { ...LIFE, session: 'one' });
    await begin(subject, from, 100);
    for (const [kind, id] of [
      ['SignIn', 'state'],
      ['ReplayDetection', 'token'],
      ['RefreshToken', 'refresh'],
    ] as const) {
      expect(await store.artefacts.find(kind, id)).toEqual({});
    }
    expect(new Set(displaced.map(({ kind }) => kind))).toEqual(new Set(['Interaction']));
  });
});
