import { describe, expect, it } from 'vitest';
import { createRefreshLimit, createRefreshRotation, GRACE_SECONDS } from '../../../src/oauth/refresh-rotation.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { ArtefactStore } from '../../../src/store/store.ts';

/** Two replicas on one store. */
function stage() {
  let now = Date.UTC(2026, 0, 1);
  const clock = { nowMs: () => now };
  const { artefacts } = createMemoryStore({ clock });
  const replica = () => createRefreshRotation({ artefacts, clock, sessionSeconds: 86_400 });
  return {
    artefacts,
    rotation: replica(),
    other: replica(),
    advance: (seconds: number) => {
      now += seconds * 1000;
    },
  };
}

describe('the rotation of refresh tokens', () => {
  it('lets one of many be the first, over all replicas, and answers the others', async () => {
    const { rotation, other } = stage();
    const turns = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? rotation : other).consume('s', 0)),
    );
    expect(turns.filter((turn) => turn === 'first')).toHaveLength(1);
    expect(turns.filter((turn) => turn === 'again')).toHaveLength(19);
  });

  it('answers a lost response again within the grace, counted from the first use, and not a second longer', async () => {
    const { rotation, other, advance } = stage();
    expect(await rotation.consume('s', 0)).toBe('first');
    advance(GRACE_SECONDS);
    expect(await other.consume('s', 0)).toBe('again');
    advance(1);
    expect(await rotation.consume('s', 0)).toBe('replayed');
  });

  it('tells a thief from an owner by the next turn, also where the grace gave each of them a token', async () => {
    const { rotation, advance } = stage();
    await rotation.consume('s', 0);
    expect(await rotation.consume('s', 0)).toBe('again');
    advance(300);
    expect(await rotation.consume('s', 1)).toBe('first');
    advance(300);
    expect(await rotation.consume('s', 1)).toBe('replayed');
  });

  it('knows a token that was spent a day ago, and takes no turn of one session for that of another', async () => {
    const { rotation, advance } = stage();
    await rotation.consume('s', 0);
    advance(86_399);
    expect(await rotation.consume('s', 0)).toBe('replayed');
    expect(await rotation.consume('t', 0)).toBe('first');
    expect(await rotation.consume('s', 1)).toBe('first');
  });

  it('says that the session is over where it ended between two steps', async () => {
    const { artefacts } = stage();
    // What `destroyOfSession` of another request leaves behind.
    const ended: Pick<ArtefactStore, 'save' | 'consume' | 'find'> = {
      save: async () => {},
      consume: (kind, id) => artefacts.consume(kind, id),
      find: (kind, id) => artefacts.find(kind, id),
    };
    const rotation = createRefreshRotation({ artefacts: ended, clock: { nowMs: () => 0 }, sessionSeconds: 60 });
    expect(await rotation.consume('s', 0)).toBe('over');
  });
});

describe('the limit on refreshes', () => {
  it('lets a session rotate 120 times within a minute, whatever others do, and again in the next', () => {
    let now = 0;
    const mayRefresh = createRefreshLimit({ nowMs: () => now });
    const mayRotate = (session: string): boolean => mayRefresh({ session, account: session, isBound: false });
    for (let count = 0; count < 120; count += 1) expect(mayRotate('s')).toBe(true);
    expect(mayRotate('s')).toBe(false);
    expect(mayRotate('t')).toBe(true);
    now = 60_000;
    expect(mayRotate('s')).toBe(true);
    for (let count = 0; count < 120; count += 1) mayRotate('s');
    expect(mayRotate('s')).toBe(false);
    // A clock that is set back does not turn a minute into an hour.
    now -= 3_600_000;
    expect(mayRotate('s')).toBe(true);
  });

  it('lets an account refresh 1200 times within a minute, by whatever sessions, and another one as well', () => {
    let now = 0;
    const mayRefresh = createRefreshLimit({ nowMs: () => now });
    const of = (account: string, count: number) => mayRefresh({ session: `s${count % 9}`, account, isBound: true });
    for (let count = 0; count < 1200; count += 1) expect(of('ci:system:serviceaccount:a', count)).toBe(true);
    expect(of('ci:system:serviceaccount:a', 0)).toBe(false);
    expect(of('ci:system:serviceaccount:b', 0)).toBe(true);
    now = 60_000;
    expect(of('ci:system:serviceaccount:a', 0)).toBe(true);
  });
});
