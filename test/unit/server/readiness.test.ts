import { describe, expect, it } from 'vitest';
import { createReadiness } from '../../../src/server/readiness.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';

function stage() {
  const store = createMemoryStore({ clock: { nowMs: Date.now } });
  const state = {
    stalenessSeconds: 0,
    fenced: false,
    clockOff: false,
    blocked: false,
    settled: true,
    away: false,
    now: 0,
    ahead: [] as readonly string[],
  };
  const health = createReadiness({
    store: {
      ping: async () => {
        if (state.away) throw new Error('away');
      },
      log: Object.create(store.log, { settled: { get: () => state.settled } }) as typeof store.log,
    },
    guard: state,
    audit: state,
    keys: { ahead: () => state.ahead },
    monotonicMs: () => state.now,
  });
  const failing = async (): Promise<readonly string[]> =>
    (await health.ready()).checks.filter(({ problem }) => problem !== undefined).map(({ name }) => name);
  return { state, failing };
}

describe('readiness', () => {
  it.each([
    { check: 'lease', failure: { fenced: true } },
    { check: 'store', failure: { away: true } },
    { check: 'clock', failure: { clockOff: true } },
  ])(
    'bears a failure of $check for five seconds: endpoints that all disappear leave a client nothing to try',
    async (row) => {
      const { state, failing } = stage();
      expect(await failing()).toEqual([]);
      Object.assign(state, row.failure);
      expect(await failing()).toEqual([]);
      state.now = 4_999;
      expect(await failing()).toEqual([]);
      state.now = 5_000;
      expect(await failing()).toEqual([row.check]);
      Object.assign(state, { fenced: false, away: false, clockOff: false });
      expect(await failing()).toEqual([]);
      Object.assign(state, row.failure);
      expect(await failing()).toEqual([]);
    },
  );

  it('is not there before the first lease', async () => {
    const { state, failing } = stage();
    Object.assign(state, { fenced: true, stalenessSeconds: Number.POSITIVE_INFINITY });
    expect(await failing()).toEqual(['lease']);
  });

  it('waits until users can sign in, once: a later epoch of the store takes no replica out of its Service', async () => {
    const { state, failing } = stage();
    state.settled = false;
    expect(await failing()).toEqual(['epoch']);
    state.settled = true;
    expect(await failing()).toEqual([]);
    state.settled = false;
    expect(await failing()).toEqual([]);
  });

  it('falls at once where the audit log cannot be written, as every request is refused then', async () => {
    const { state, failing } = stage();
    expect(await failing()).toEqual([]);
    state.blocked = true;
    expect(await failing()).toEqual(['audit']);
  });

  it('falls at once where another replica signs or seals with a key that this one lacks', async () => {
    const { state, failing } = stage();
    state.ahead = ['other'];
    expect(await failing()).toEqual(['keys']);
    state.ahead = [];
    expect(await failing()).toEqual([]);
  });
});
