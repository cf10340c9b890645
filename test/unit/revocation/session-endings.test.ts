import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { Credential } from '../../../src/core/credential/credential.ts';
import { coveringKeys, sessionKey } from '../../../src/core/credential/revocation.ts';
import type { EndedSession } from '../../../src/revocation/types.ts';
import { SessionEndings } from '../../../src/revocation/session-endings.ts';
import type { SessionRecord } from '../../../src/store/store.ts';

const seconds = (): number => Math.floor(Date.now() / 1000);

const credential = (session: string): Credential => {
  const owner = { session, account: 'corp/alice', provider: 'corp' } as const;
  const token = { tokenId: 'j', audience: 'a', client: 'c', issuedAt: 0, expiresAt: 300 };
  return { ...owner, ...token, keys: coveringKeys(owner), position: { epoch: 'e', number: 0 } };
};

describe('ends of sessions', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const setUp = () => {
    const cuts: string[] = [];
    const ended: EndedSession[] = [];
    const store = { read: async (_id: string): Promise<SessionRecord | undefined> => undefined };
    const endings = new SessionEndings({
      clock: { nowMs: () => Date.now() },
      sessions: { read: (id) => store.read(id) },
      cut: (key) => cuts.push(key),
      ended: (session) => void ended.push(session),
    });
    const watch = (session: string, { expiresIn = 90_000, idleIn = 90_000 }): void =>
      endings.watch(credential(session), { expiresAt: seconds() + expiresIn, idleAt: seconds() + idleIn });
    const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
    return { endings, cuts, ended, store, watch, pass };
  };
  const record = (lastUsedAt: number): SessionRecord => ({ lastUsedAt, idleSeconds: 60 }) as SessionRecord;

  it('cuts each session at its absolute end, by one timer, and reports it', async () => {
    const { cuts, ended, watch, pass } = setUp();
    watch('late', { expiresIn: 7200 });
    watch('early', { expiresIn: 60 });
    expect(vi.getTimerCount()).toBe(1);
    await pass(59_000);
    expect(cuts).toEqual([]);
    await pass(2_000);
    expect(cuts).toEqual([sessionKey('early')]);
    await pass(7_200_000);
    expect(ended.map(({ session, how, streamsCut }) => [session, how, streamsCut])).toEqual([
      ['early', 'expired', 1],
      ['late', 'expired', 2],
    ]);
  });

  it('cuts a delegated session when one above it becomes idle, and not before', async () => {
    const { cuts, ended, store, endings, pass } = setUp();
    let parentIdleAt = seconds() + 50;
    store.read = async () => ({ ...record(seconds()), parentIdleAt });
    const child = { ...credential('child'), ancestors: ['own'], actor: 'claude' };
    endings.watch(child, { expiresAt: seconds() + 90_000, idleAt: seconds() + 30 });
    await pass(31_000);
    // A token was minted for the one above it.
    parentIdleAt = seconds() + 49;
    await pass(48_000);
    expect(cuts).toEqual([]);
    await pass(2_000);
    expect(cuts).toEqual([sessionKey('child')]);
    expect(ended).toMatchObject([{ session: 'child', how: 'idle', delegated: { own: 'own', actor: 'claude' } }]);
  });

  it('does not let a later end, of this session or of another, put off an earlier one', async () => {
    const { cuts, watch, pass } = setUp();
    watch('s', { expiresIn: 60 });
    watch('s', { expiresIn: 90_000 });
    watch('late', { expiresIn: 7200 });
    await pass(61_000);
    expect(cuts).toEqual([sessionKey('s')]);
  });

  it('does not ask early because an older request of the session knew an earlier idle end', async () => {
    const { store, watch, pass } = setUp();
    let asked = 0;
    store.read = async () => {
      asked += 1;
      return undefined;
    };
    watch('s', { idleIn: 60 });
    watch('s', { idleIn: 10 });
    await pass(59_000);
    expect(asked).toBe(0);
    await pass(2_000);
    expect(asked).toBe(1);
  });

  it('cuts nothing any more once it has stopped', async () => {
    const { endings, cuts, watch, pass } = setUp();
    watch('s', { expiresIn: 60 });
    endings.stop();
    expect(vi.getTimerCount()).toBe(0);
    await pass(61_000);
    watch('later', { expiresIn: 60 });
    await pass(61_000);
    expect(cuts).toEqual([sessionKey('later')]);
  });

  it('cuts immediately what is bound to a session that has ended', async () => {
    const { cuts, watch, pass } = setUp();
    watch('over', { expiresIn: -1 });
    await pass(1);
    expect(cuts).toEqual([sessionKey('over')]);
  });

  it('keeps a session that has been used meanwhile on any replica, and asks again at its new end', async () => {
    const { cuts, ended, store, watch, pass } = setUp();
    let asked = 0;
    store.read = async () => {
      asked += 1;
      return record(seconds() - 30);
    };
    watch('s', { idleIn: 60 });
    await pass(61_000);
    expect([asked, cuts]).toEqual([1, []]);
    await pass(28_000);
    expect(asked).toBe(1);
    store.read = async () => undefined;
    await pass(3_000);
    expect(cuts).toEqual([sessionKey('s')]);
    expect(ended).toMatchObject([{ session: 's', account: 'corp/alice', how: 'idle', streamsCut: 1 }]);
  });

  it('cuts a session that the store still holds although it was not used', async () => {
    const { cuts, ended, store, watch, pass } = setUp();
    store.read = async () => record(seconds() - 61);
    watch('s', { idleIn: 60 });
    await pass(61_000);
    expect(cuts).toEqual([sessionKey('s')]);
    expect(ended).toHaveLength(1);
  });

  it('cuts if the store is unavailable, and does not report the session as ended', async () => {
    const { cuts, ended, store, watch, pass } = setUp();
    store.read = () => Promise.reject(new AppError('store_unavailable', 'away'));
    watch('s', { idleIn: 60 });
    await pass(61_000);
    expect(cuts).toEqual([sessionKey('s')]);
    expect(ended).toEqual([]);
  });

  it('asks once for a session with many streams, and not for one whose streams have closed', async () => {
    const { endings, store, watch, pass, cuts } = setUp();
    const asked: string[] = [];
    store.read = async (id) => {
      asked.push(id);
      return undefined;
    };
    watch('s', { idleIn: 60 });
    watch('s', { idleIn: 61 });
    watch('closed', { idleIn: 60 });
    endings.forget(sessionKey('closed'));
    await pass(62_000);
    expect(asked).toEqual(['s']);
    expect(cuts).toEqual([sessionKey('s')]);
  });

  it('does not miss the absolute end while the store has not answered, and does not ask again', async () => {
    const { cuts, store, watch, pass } = setUp();
    const asked: string[] = [];
    store.read = (id) => {
      asked.push(id);
      return new Promise(() => undefined);
    };
    watch('s', { idleIn: 10, expiresIn: 20 });
    watch('another', { idleIn: 15 });
    await pass(19_000);
    expect([asked, cuts]).toEqual([['s', 'another'], []]);
    await pass(2_000);
    expect(cuts).toEqual([sessionKey('s')]);
  });

  it.each([
    ['says that it is over', (result: PromiseWithResolvers<undefined>) => result.resolve(undefined)],
    ['is unavailable', (result: PromiseWithResolvers<undefined>) => result.reject(new Error('away'))],
  ])('does nothing about a session whose streams have closed when the store %s', async (_what, say) => {
    const { endings, cuts, ended, store, watch, pass } = setUp();
    const result = Promise.withResolvers<undefined>();
    store.read = () => result.promise;
    watch('s', { idleIn: 10 });
    await pass(11_000);
    endings.forget(sessionKey('s'));
    say(result);
    await pass(1_000);
    expect([cuts, ended]).toEqual([[], []]);
  });
});
