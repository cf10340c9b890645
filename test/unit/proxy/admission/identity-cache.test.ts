import { describe, expect, it } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import {
  accountKey,
  cacheKey,
  coveringKeys,
  providerKey,
  sessionKey,
} from '../../../../src/core/credential/revocation.ts';
import { IdentityCache } from '../../../../src/proxy/admission/identity-cache.ts';
import type { SessionRecord } from '../../../../src/store/store.ts';

const record = (id: string, username: string): SessionRecord => ({
  id,
  account: 'corp/alice',
  provider: 'corp',
  subject: 'alice',
  client: 'c',
  identity: { username, uid: 'u', groups: [], extra: {} },
  version: 1,
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: 1,
  idleSeconds: 1,
  address: '',
  userAgent: '',
  startedAt: { epoch: 'e', number: 0 },
  checkedAt: 0,
});

const S = { session: 's', keys: coveringKeys({ session: 's', account: 'corp/alice', provider: 'corp' }) };

const NOW = 1000;

/** A store whose replies come when the test releases them. */
function slowStore() {
  const waiting: ((response: SessionRecord | undefined) => void)[] = [];
  const failing: ((error: Error) => void)[] = [];
  return {
    reads: () => waiting.length,
    response: (index: number, with_: SessionRecord | undefined) => waiting[index]?.(with_),
    fail: (index: number, error: Error) => failing[index]?.(error),
    read: (): Promise<SessionRecord | undefined> =>
      new Promise((resolve, reject) => {
        waiting.push(resolve);
        failing.push(reject);
      }),
  };
}

const CHANGES = [
  { kind: 'identity-changed', key: sessionKey('s') },
  { kind: 'identity-changed', key: cacheKey('s') },
  { kind: 'revoked', key: sessionKey('s') },
  { kind: 'revoked', key: accountKey('corp/alice') },
  { kind: 'revoked', key: providerKey('corp') },
  { kind: 'revoked', key: 'all' },
  undefined,
] as const;

describe('the cache of impersonation credentials', () => {
  it('reads a session once, however many callers ask at the same time and after', async () => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const asked = [cache.get(S, NOW), cache.get(S, NOW)].map(async (record) => record);
    store.response(0, record('s', 'a'));
    expect((await Promise.all(asked)).map((one) => one?.identity.username)).toEqual(['a', 'a']);
    expect((await cache.get(S, NOW))?.identity.username).toBe('a');
    expect(store.reads()).toBe(1);
  });

  it.each(CHANGES)('reads again after %j', async (change) => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const asked = cache.get(S, NOW);
    store.response(0, record('s', 'a'));
    await asked;
    cache.drop(change);
    const again = cache.get(S, NOW);
    store.response(1, record('s', 'b'));
    expect((await again)?.identity.username).toBe('b');
  });

  it.each(CHANGES)('neither uses nor keeps the result of a read that was under way at %j', async (change) => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const asked = cache.get(S, NOW);
    cache.drop(change);
    store.response(0, record('s', 'before'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.reads()).toBe(2);
    store.response(1, record('s', 'after'));
    expect((await asked)?.identity.username).toBe('after');
    expect((await cache.get(S, NOW))?.identity.username).toBe('after');
  });

  it('keeps what a change of another session, account or provider does not concern', async () => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const asked = cache.get(S, NOW);
    store.response(0, record('s', 'a'));
    await asked;
    cache.drop({ kind: 'identity-changed', key: sessionKey('other') });
    cache.drop({ kind: 'identity-changed', key: cacheKey('other') });
    cache.drop({ kind: 'revoked', key: sessionKey('other') });
    cache.drop({ kind: 'revoked', key: accountKey('corp/bob') });
    cache.drop({ kind: 'revoked', key: providerKey('other') });
    cache.drop({ kind: 'unlocked', key: accountKey('corp/alice') });
    cache.drop({ kind: 'drill', id: 'd' });
    await cache.get(S, NOW);
    expect(store.reads()).toBe(1);
  });

  describe('of a delegated session', () => {
    const ancestors = ['own', 'parent'];
    const child = { ...record('s', 'a'), delegation: { ancestors, actors: [], clusters: [], limits: [] } };
    const C = { ...S, keys: coveringKeys({ session: 's', account: 'corp/alice', provider: 'corp', ancestors }) };

    it.each([
      { kind: 'revoked', key: sessionKey('own') },
      { kind: 'revoked', key: sessionKey('parent') },
      { kind: 'identity-changed', key: sessionKey('own') },
    ] as const)('reads it again after %j, and uses no read that was under way', async (change) => {
      const store = slowStore();
      const cache = new IdentityCache(store);
      const asked = cache.get(C, NOW);
      cache.drop(change);
      store.response(0, child);
      await new Promise((resolve) => setImmediate(resolve));
      expect(store.reads()).toBe(2);
      store.response(1, child);
      await asked;
      await cache.get(C, NOW);
      expect(store.reads()).toBe(2);
      cache.drop(change);
      void cache.get(C, NOW);
      expect(store.reads()).toBe(3);
    });

    it('asks the store again once one above it may be idle, and not before', async () => {
      const store = slowStore();
      const cache = new IdentityCache(store);
      const asked = cache.get(C, NOW);
      store.response(0, { ...child, parentIdleAt: NOW + 10 });
      await asked;
      await cache.get(C, NOW + 9);
      expect(store.reads()).toBe(1);
      const again = cache.get(C, NOW + 10);
      store.response(1, { ...child, parentIdleAt: NOW + 500 });
      await again;
      await cache.get(C, NOW + 11);
      const late = cache.get(C, NOW + 500);
      store.response(2, undefined);
      expect(await late).toBeUndefined();
      expect(store.reads()).toBe(3);
    });

    it('keeps it when another one beneath the same session ends', async () => {
      const store = slowStore();
      const cache = new IdentityCache(store);
      const asked = cache.get(C, NOW);
      store.response(0, child);
      await asked;
      cache.drop({ kind: 'revoked', key: sessionKey('sibling') });
      // What was granted to the session above it reaches no session beneath it.
      cache.drop({ kind: 'identity-changed', key: cacheKey('own') });
      await cache.get(C, NOW);
      expect(store.reads()).toBe(1);
    });
  });

  it('caches neither absence nor failure', async () => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const absent = cache.get(S, NOW);
    store.response(0, undefined);
    expect(await absent).toBeUndefined();
    const failed = cache.get(S, NOW);
    store.fail(1, new AppError('store_unavailable', 'away'));
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable' });
    const again = cache.get(S, NOW);
    store.response(2, record('s', 'a'));
    expect(await again).toBeDefined();
  });

  it('gives up on a session that changes without end', async () => {
    const store = slowStore();
    const cache = new IdentityCache(store);
    const asked = Promise.resolve(cache.get(S, NOW));
    const failure = asked.catch((error: unknown) => error);
    for (let read = 0; read < 5; read += 1) {
      cache.drop(undefined);
      store.response(read, record('s', 'a'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await failure).toMatchObject({ code: 'store_unavailable' });
  });
});
