import { expect, it } from 'vitest';

import type { OpenStore } from './fixtures.ts';

/** Where the chains of the audit record stand. */
export function anchorsConform(open: OpenStore): void {
  it('keeps the last anchor of each chain', async () => {
    const { store } = await open();
    expect(await store.anchors.list()).toEqual([]);
    await store.anchors.put('chain-a', 'a at 1');
    await store.anchors.put('chain-b', 'b at 1');
    await store.anchors.put('chain-a', 'a at 2');
    expect((await store.anchors.list()).toSorted()).toEqual(['a at 2', 'b at 1']);
  });

  it('keeps a thousand chains, those that were anchored last', async () => {
    const { store } = await open();
    const names = Array.from({ length: 1002 }, (_, index) => `chain-${index}`);
    for (const name of [...names, 'chain-2']) await store.anchors.put(name, name);
    const listed = new Set(await store.anchors.list());
    expect([...new Set(names)].filter((name) => !listed.has(name))).toEqual(['chain-0', 'chain-1']);
  });
}
