import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { Identity } from '../../../src/core/identity/identity.ts';
import type { IdentityProvider, ProviderSignIn } from '../../../src/idp/idp.ts';
import { createRecheck } from '../../../src/oauth/recheck.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { Store } from '../../../src/store/store.ts';

const ALICE: Identity = { username: 'corp:alice', uid: 'corp/1', groups: ['corp:dev'], extra: {} };

/** A provider that rotates refresh tokens and takes the second use of one for theft, as several real ones do. */
function rotatingProvider(): IdentityProvider & {
  asked: string[];
  /** Answers when this has come. */
  hold: Promise<void>;
  answer: (signIn: ProviderSignIn) => ProviderSignIn;
} {
  let valid = 'rt-0';
  let count = 0;
  const provider = {
    name: 'corp',
    provesFreshness: true,
    asked: [] as string[],
    hold: Promise.resolve(),
    answer: (signIn: ProviderSignIn) => signIn,
    begin: () => Promise.reject(new Error('not here')),
    finish: () => Promise.reject(new Error('not here')),
    async recheck(subject: string, refreshToken: string) {
      provider.asked.push(refreshToken);
      await provider.hold;
      if (refreshToken !== valid) throw new AppError('sign_in_refused', 'no', { reason: 'provider_refresh_refused' });
      count += 1;
      valid = `rt-${count}`;
      return provider.answer({ subject, identity: ALICE, refreshToken: valid });
    },
  };
  return provider;
}

describe('the re-check', () => {
  let now: number;
  let store: Store;
  let provider: ReturnType<typeof rotatingProvider>;

  beforeEach(async () => {
    now = Date.UTC(2030, 0, 1);
    store = createMemoryStore({ clock: { nowMs: () => now } });
    provider = rotatingProvider();
    const startedAt = await store.log.position();
    const opened = await store.sessions.open(
      {
        id: 's1',
        account: 'corp/1',
        provider: 'corp',
        subject: '1',
        client: 'portcullis-cli',
        identity: ALICE,
        createdAt: now / 1000,
        expiresAt: now / 1000 + 3600,
        idleSeconds: 3600,
        address: '192.0.2.1',
        userAgent: 'test',
        startedAt,
      },
      { refreshToken: 'rt-0' },
    );
    if (!opened.ok) throw new Error(opened.reason);
  });

  afterEach(() => void vi.useRealTimers());

  const replica = (): ReturnType<typeof createRecheck> =>
    createRecheck({
      sessions: store.sessions,
      providers: new Map([['corp', provider]]),
      workloads: new Set(),
      clock: { nowMs: () => now },
    });

  it('asks the provider once for any number of refreshes at once', async () => {
    const recheck = replica();
    const outcomes = await Promise.all(Array.from({ length: 30 }, () => recheck('s1')));
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['same']));
    expect(provider.asked).toEqual(['rt-0']);
  });

  it('never presents one refresh token twice, over all replicas', async () => {
    const outcomes = await Promise.all([replica()('s1'), replica()('s1'), replica()('s1')]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['same', 'same', 'same']);
    expect(provider.asked).toEqual(['rt-0', 'rt-1', 'rt-2']);
    expect(await store.sessions.readSecret('s1')).toEqual({ refreshToken: 'rt-3' });
  });

  it('does not ask about a user whom another replica has asked about while this one waited for its turn', async () => {
    now += 5_000;
    const hold = Promise.withResolvers<void>();
    provider.hold = hold.promise;
    const [first, second] = [replica()('s1'), replica()('s1')];
    hold.resolve();
    expect(await first).toMatchObject({ kind: 'same' });
    expect(await second).toMatchObject({ kind: 'same', record: { checkedAt: now / 1000 } });
    expect(provider.asked).toEqual(['rt-0']);
  });

  it('asks about its user’s own session where a delegated one is used, once for both', async () => {
    const delegation = { ancestors: ['s1'], actors: [{ name: 'claude' }], clusters: [], limits: [] };
    const own = await store.sessions.read('s1');
    if (own === undefined) throw new Error('there is no session');
    const opened = await store.sessions.open({ ...own, id: 's2', delegation }, {}, { mostDelegations: 1 });
    expect(opened).toMatchObject({ ok: true });
    const recheck = replica();
    const outcomes = await Promise.all([recheck('s2'), recheck('s1')]);
    expect(outcomes).toMatchObject([{ record: { id: 's1' } }, { record: { id: 's1' } }]);
    expect(provider.asked).toEqual(['rt-0']);
    now += 60_000;
    provider.answer = () => {
      throw new AppError('sign_in_refused', 'no', { reason: 'provider_refresh_refused' });
    };
    expect(await recheck('s2')).toMatchObject({ kind: 'refused', record: { id: 's1' } });
  });

  it('keeps the names by which the provider knows the user now, which is no other identity', async () => {
    provider.answer = (signIn) => ({ ...signIn, knownAs: ['alice', 'bob@example.com'] });
    expect(await replica()('s1')).toMatchObject({ kind: 'same', record: { knownAs: ['alice', 'bob@example.com'] } });
    expect(await store.sessions.read('s1')).toMatchObject({ knownAs: ['alice', 'bob@example.com'] });
  });

  it('asks no provider about a user whose provider gave no refresh token', async () => {
    await store.sessions.update('s1', { identity: ALICE, secret: {} });
    now += 60_000;
    expect(await replica()('s1')).toMatchObject({ kind: 'same', record: { id: 's1' } });
    expect(provider.asked).toEqual([]);
  });

  it('says that a session is gone that was ended while its provider was asked', async () => {
    const hold = Promise.withResolvers<void>();
    provider.hold = hold.promise;
    const asking = replica()('s1');
    await expect.poll(() => provider.asked).toHaveLength(1);
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 's1' } });
    hold.resolve();
    expect(await asking).toEqual({ kind: 'gone' });
    expect(await replica()('s1')).toEqual({ kind: 'gone' });
  });

  it('does not ask again within ten seconds, and does after', async () => {
    const recheck = replica();
    await recheck('s1');
    now += 9_000;
    await recheck('s1');
    expect(provider.asked).toHaveLength(1);
    now += 2_000;
    await recheck('s1');
    expect(provider.asked).toHaveLength(2);
  });

  it('asks again where the clock was set back since the last answer', async () => {
    const recheck = replica();
    await recheck('s1');
    now -= 1_800_000;
    await recheck('s1');
    expect(provider.asked).toHaveLength(2);
  });

  it('keeps its turn for as long as the provider takes, and gives it back then', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const hold = Promise.withResolvers<void>();
    provider.hold = hold.promise;
    const slow = replica()('s1');
    await expect.poll(() => provider.asked).toHaveLength(1);
    for (let seconds = 0; seconds < 70; seconds += 10) {
      now += 10_000;
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(await store.sessions.claimRecheck('s1', 'another', 30)).toBe(false);
    hold.resolve();
    expect(await slow).toMatchObject({ kind: 'same' });
    expect(await store.sessions.claimRecheck('s1', 'another', 30)).toBe(true);
    now += 31_000;
    await vi.advanceTimersByTimeAsync(31_000);
    expect(await store.sessions.claimRecheck('s1', 'a third', 30)).toBe(true);
  });

  it('keeps its turn although it could not be renewed once', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const hold = Promise.withResolvers<void>();
    provider.hold = hold.promise;
    const slow = replica()('s1');
    await expect.poll(() => provider.asked).toHaveLength(1);
    const claim = store.sessions.claimRecheck.bind(store.sessions);
    store.sessions.claimRecheck = () => Promise.reject(new AppError('store_unavailable', 'away'));
    await vi.advanceTimersByTimeAsync(10_000);
    store.sessions.claimRecheck = claim;
    hold.resolve();
    expect(await slow).toMatchObject({ kind: 'same' });
  });

  it('keeps what has changed, and says so', async () => {
    provider.answer = (signIn) => ({ ...signIn, identity: { ...ALICE, groups: [] } });
    expect(await replica()('s1')).toMatchObject({ kind: 'changed', record: { version: 2, identity: { groups: [] } } });
    expect((await store.sessions.read('s1'))?.identity.groups).toEqual([]);
  });

  it('reports a change to one of several parallel callers, so that it is audited once', async () => {
    provider.answer = (signIn) => ({ ...signIn, identity: { ...ALICE, groups: [] } });
    const recheck = replica();
    const outcomes = await Promise.all([recheck('s1'), recheck('s1'), recheck('s1')]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['changed', 'same', 'same']);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ record: { identity: { groups: [] } } });
  });

  it('keeps the old refresh token where the provider gives no new one', async () => {
    provider.answer = ({ refreshToken: _left, ...rest }) => rest;
    await replica()('s1');
    expect(await store.sessions.readSecret('s1')).toEqual({ refreshToken: 'rt-0' });
  });

  it('says refused, with the reason, and leaves ending the session to its caller', async () => {
    await store.sessions.update('s1', { identity: ALICE, secret: { refreshToken: 'stale' } });
    expect(await replica()('s1')).toMatchObject({ kind: 'refused', reason: 'provider_refresh_refused' });
    expect(await store.sessions.read('s1')).toBeDefined();
  });

  it('rejects no user and changes nothing while the provider gives no result', async () => {
    provider.answer = () => {
      throw new AppError('provider_unavailable', 'later', { reason: 'provider_unreachable' });
    };
    const recheck = replica();
    await expect(recheck('s1')).rejects.toMatchObject({ code: 'provider_unavailable' });
    expect(await store.sessions.readSecret('s1')).toEqual({ refreshToken: 'rt-0' });
    // The claim was given back: the next one does not wait for it to lapse.
    provider.answer = (signIn) => signIn;
    await store.sessions.update('s1', { identity: ALICE, secret: { refreshToken: 'rt-1' } });
    await expect(recheck('s1')).resolves.toMatchObject({ kind: 'same' });
  });

  it('returns gone for a session that was ended, and asks no provider', async () => {
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 's1' } });
    expect(await replica()('s1')).toEqual({ kind: 'gone' });
    expect(provider.asked).toEqual([]);
  });

  it('ends a session whose provider is no longer configured', async () => {
    const none = { sessions: store.sessions, providers: new Map(), clock: { nowMs: () => now } };
    const recheck = createRecheck({ ...none, workloads: new Set() });
    expect(await recheck('s1')).toMatchObject({ kind: 'refused', reason: 'provider_removed', asksFreshSignIn: true });
    // A workload's rule is no provider that could be asked.
    expect(await createRecheck({ ...none, workloads: new Set(['corp']) })('s1')).toMatchObject({ kind: 'same' });
  });
});
