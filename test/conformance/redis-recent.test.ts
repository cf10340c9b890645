/** Recent requests and the order of last use as they stand in Redis: sealed, bounded, and gone with the session. */
import { randomBytes } from 'node:crypto';

import { expect, it } from 'vitest';

import type { Store } from '../../src/store/store.ts';
import { dumpRedis, spellings } from '../support/redis-dump.ts';
import { newSession, openNow } from './fixtures.ts';
import { aRequest, requests } from './recent.ts';
import { settle, workbench, type Workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

const recentKeys = (bench: Workbench): Promise<string[]> => bench.bare.keys('{portcullis}:recent:*');

const idsBy = async (store: Store, order: 'newest' | 'last-used'): Promise<readonly string[]> =>
  (await store.sessions.list({ order, limit: 10 })).sessions.map(({ id }) => id);

it('shows nothing of a request to an attacker who reads Redis', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  const canary = (what: string): string => `CANARY-${what}-${randomBytes(9).toString('hex')}`;
  const request = aRequest({
    auditId: canary('audit-id'),
    cluster: canary('cluster'),
    verb: canary('verb'),
    uri: canary('uri'),
    resource: canary('resource'),
    namespace: canary('namespace'),
    name: canary('name'),
    impersonatedUser: canary('impersonated-user'),
    reason: canary('reason'),
    address: canary('address'),
  });
  await store.recent.add('session-1', [request]);
  expect(await store.recent.read('session-1')).toEqual([request]);
  const { keys, bytes } = await dumpRedis(bench.bare);
  expect(keys.some((key) => key.startsWith('{portcullis}:recent:'))).toBe(true);
  const secrets = Object.values(request).filter((value) => typeof value === 'string' && value.startsWith('CANARY'));
  expect(secrets).toHaveLength(10);
  expect(secrets.filter((secret) => spellings(String(secret)).some((text) => bytes.includes(text)))).toEqual([]);
});

it('opens in its own session alone, shows what is left, and says so', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  for (const id of ['session-1', 'session-2']) await openNow({ store, clock: bench.clock }, { id });
  await store.recent.add('session-1', requests(1, 1));
  const [key = ''] = await recentKeys(bench);
  const sealed = (await bench.bare.xrange(key, '-', '+'))[0]?.[1][1] ?? '';
  await store.recent.add('session-2', requests(2, 1));
  const other = (await recentKeys(bench)).find((name) => name !== key) ?? '';
  await bench.bare.xadd(other, '2-0', 'e', sealed);
  await bench.bare.xadd(other, '3-0', 'e', 'rubbish');
  expect(await store.recent.read('session-2')).toEqual(requests(2, 1));
  expect(bench.errors.map(({ reason }) => reason)).toEqual(['sealed_value_unreadable', 'sealed_value_unreadable']);
});

it('keeps no more than it shows, but for what came with the oldest of that', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  for (let n = 1; n <= 120; n += 1) await store.recent.add('session-1', requests(n, 1));
  const [key = ''] = await recentKeys(bench);
  expect(await bench.bare.xlen(key)).toBe(50);
  for (let n = 200; n <= 400; n += 100) await store.recent.add('session-1', requests(n, 70));
  expect(await bench.bare.xlen(key)).toBe(1);
  await store.recent.add('session-1', requests(500, 1));
  expect(await bench.bare.xlen(key)).toBe(2);
});

it('lives as long as its session can, whenever it was written', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock }, { expiresAt: bench.clock.seconds() + 5000, idleSeconds: 4000 });
  bench.clock.advance(1000);
  await store.recent.add('session-1', requests(1, 1));
  const ttl = await bench.bare.ttl((await recentKeys(bench))[0] ?? '');
  expect(ttl).toBeGreaterThan(4030);
  expect(ttl).toBeLessThanOrEqual(4060);
});

it('leaves Redis with its session, however that ends', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const { clock } = bench;
  const opened = async (id: string): Promise<void> => {
    await openNow({ store, clock }, { id, idleSeconds: 10, authTime: clock.seconds() });
    await store.recent.add(id, requests(1, 1));
    expect(await recentKeys(bench)).toHaveLength(1);
  };
  for (const target of [
    { kind: 'session', session: 'session' },
    { kind: 'account', account: 'corp/1' },
    { kind: 'provider', provider: 'corp' },
    { kind: 'all' },
  ] as const) {
    await opened(target.kind);
    await store.log.append({ requestId: target.kind, target });
    expect(await recentKeys(bench)).toEqual([]);
  }
  await opened('idle');
  clock.advance(10);
  expect(await idsBy(store, 'last-used')).toEqual([]);
  expect(await recentKeys(bench)).toEqual([]);
  await opened('pruned');
  clock.advance(10);
  await openNow({ store, clock }, { id: 'next', authTime: clock.seconds() });
  expect(await recentKeys(bench)).toEqual([]);
  expect(await bench.bare.zcard('{portcullis}:used')).toBe(1);
});

it('writes nothing for a session that is not there, or that has ended', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock }, { idleSeconds: 10 });
  bench.clock.advance(10);
  const before = await dumpRedis(bench.bare);
  for (const session of ['unknown', 'session-1']) await store.recent.add(session, requests(1, 1));
  const after = await dumpRedis(bench.bare);
  expect(after.keys.toSorted()).toEqual(before.keys.toSorted());
});

it('is the first thing to go when Redis is full, and keeps no one from working', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  await bench.bare.config('SET', 'maxmemory', '1mb');
  expect(await store.recent.add('session-1', requests(1, 1)).catch(reasonOf)).toBe('redis_full');
  expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
  expect(await store.recent.read('session-1')).toEqual([]);
});

it('takes a session that an earlier version opened into the order of last use when it is next used', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  for (const id of ['old', 'new']) await openNow({ store, clock: bench.clock }, { id });
  const [hash = ''] = await bench.bare.zrange('{portcullis}:sessions', 0, '0');
  await bench.bare.zrem('{portcullis}:used', hash);
  expect(await idsBy(store, 'last-used')).toEqual(['new']);
  expect(await idsBy(store, 'newest')).toEqual(['new', 'old']);
  bench.clock.advance(1);
  await store.sessions.mint('old', {});
  expect(await idsBy(store, 'last-used')).toEqual(['old', 'new']);
});

it('shows of a later epoch nothing that was opened or asked in an earlier one', async () => {
  await using bench = await workbench(['--save', '']);
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  await store.recent.add('session-1', requests(1, 1));
  // As a server that was restarted on its own data: another primary generation wrote the epoch.
  await bench.bare.hset('{portcullis}:epoch', 'rid', 'another');
  await settle(store, bench.monotonicMs);
  expect(await bench.bare.exists('{portcullis}:used')).toBe(0);
  expect(await store.recent.read('session-1')).toEqual([]);
  expect(await idsBy(store, 'last-used')).toEqual([]);
  // Ids are random. Where one came again all the same, nothing of the earlier session would be shown, or stand in
  // the way.
  const session = newSession(bench.clock, await store.log.position());
  expect(await store.sessions.open(session, {})).toMatchObject({ ok: true });
  expect(await store.recent.read('session-1')).toEqual([]);
  await store.recent.add('session-1', requests(7, 1));
  expect(await store.recent.read('session-1')).toEqual(requests(7, 1));
});
