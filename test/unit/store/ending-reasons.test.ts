import { describe, expect, it } from 'vitest';
import { createEndingReasons } from '../../../src/store/ending-reasons.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { SessionRecord } from '../../../src/store/store.ts';

const RECORD = { id: 's1', via: 'b1', thumbprint: 'k1', expiresAt: 1000 + 3600 } as SessionRecord;

describe('why a session has ended', () => {
  it('is known to every replica by the session, the browser session behind it and the key, until it would have ended anyway', async () => {
    let now = 1_000_000;
    const { artefacts } = createMemoryStore({ clock: { nowMs: () => now } });
    const here = createEndingReasons(artefacts, () => now);
    await here.keep(RECORD, 'Not any more.');
    const there = createEndingReasons(artefacts, () => now);
    const asked = () => Promise.all([there.ofSession('s1'), there.ofSession('b1'), there.ofKey('k1')]);
    expect(await asked()).toEqual(['Not any more.', 'Not any more.', 'Not any more.']);
    expect([here.here('s1'), there.here('s1'), here.here('s2')]).toEqual(['Not any more.', undefined, undefined]);
    expect(await there.ofSession('s2')).toBeUndefined();
    now += 3_601_000;
    expect(await asked()).toEqual([undefined, undefined, undefined]);
  });

  it('is asked of the store once in ten seconds, however often a revoked token comes', async () => {
    let now = 1_000_000;
    let finds = 0;
    const find = async (): Promise<undefined> => void (finds += 1);
    const reasons = createEndingReasons({ save: () => Promise.resolve(), find }, () => now);
    const flood = () => Promise.all(Array.from({ length: 100 }, () => reasons.ofSession('s1')));
    expect(new Set([...(await flood()), ...(await flood())])).toEqual(new Set([undefined]));
    expect(finds).toBe(1);
    now += 10_001;
    await flood();
    expect(finds).toBe(2);
  });

  it('keeps no session alive where it cannot be kept, and refuses no one where it cannot be read', async () => {
    const away = () => Promise.reject(new Error('away'));
    const reasons = createEndingReasons({ save: away, find: away }, () => 0);
    await expect(reasons.keep(RECORD, 'x'.repeat(5000))).resolves.toBeUndefined();
    expect(reasons.here('s1')).toHaveLength(1000);
    expect(await reasons.ofKey('k1')).toBeUndefined();
  });
});
