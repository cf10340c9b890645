import { expect, it } from 'vitest';

import { newSession, replica } from './fixtures.ts';
import { answering, settle, W_MS, workbench, type Workbench } from './redis-stores.ts';
import type { ReplicaState, Store } from '../../src/store/store.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

/** What becomes of a sign-in that begins now. */
async function signIn(store: Store, { clock }: Workbench, id = 'session-1'): Promise<string | undefined> {
  const session = newSession(clock, await store.log.position(), { id });
  const outcome = await store.sessions.open(session, {}).catch(reasonOf);
  return typeof outcome === 'object' ? (outcome.ok ? 'opened' : outcome.reason) : outcome;
}

/** @returns the longest lease that the store says may be out there */
async function renew(store: Store, change: Partial<ReplicaState> = {}): Promise<number> {
  const { position } = await store.log.join(300);
  const renewed = await store.log.renew(replica(change), position);
  if (!renewed.ok) throw new Error(renewed.reason);
  return renewed.longestLeaseMs;
}

it('opens nothing in a new store until its epoch has been seen for W', async () => {
  await using bench = await workbench();
  const store = await bench.fresh();
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await renew(store);
  bench.monotonicMs.advance(W_MS - 1);
  await renew(store);
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  bench.monotonicMs.advance(1);
  // Time alone settles nothing: only a renewal that counts does.
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await renew(store);
  expect(await signIn(store, bench)).toBe('opened');
});

it('says what to do while the epoch is not settled', async () => {
  await using bench = await workbench();
  const store = await bench.fresh();
  const session = newSession(bench.clock, await store.log.position());
  await expect(store.sessions.open(session, {})).rejects.toMatchObject({
    code: 'store_unavailable',
    message: expect.stringContaining('Try again in a few seconds') as string,
  });
});

it('mints nothing in an epoch that is not settled, whatever is in the store', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  expect(await signIn(store, bench)).toBe('opened');
  await bench.bare.hdel('{portcullis}:epoch', 'settled');
  expect(await store.sessions.mint('session-1', {}).catch(reasonOf)).toBe('epoch_unsettled');
  await bench.bare.hset('{portcullis}:epoch', 'settled', 'yes');
  expect(await store.sessions.mint('session-1', {}).catch(reasonOf)).toBe('epoch_unsettled');
  // Reading mints nothing.
  expect(await store.sessions.read('session-1')).toMatchObject({ id: 'session-1' });
});

it('lets a replica settle an epoch only by what it has seen of that one itself', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  expect(await signIn(store, bench)).toBe('opened');
  await bench.bare.flushall();
  expect((await store.log.renew(replica(), await store.log.position())).ok).toBe(true);
  // The one before was seen for long; this one only now.
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  const other = await bench.fresh();
  bench.monotonicMs.advance(W_MS);
  await renew(other);
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await renew(store);
  expect(await signIn(other, bench)).toBe('opened');
});

it('has to see an epoch again after each restart of the server, also on its own data', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await bench.bare.save();
  await bench.redis.restart();
  await answering(store);
  expect(await bench.bare.hget('{portcullis}:epoch', 'settled')).toBe('1');
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await settle(store, bench.monotonicMs);
  expect(await signIn(store, bench)).toBe('opened');
});

/** W of a replica whose `revocation.staleness` is 10 s, and of one that says nothing of it. */
const LONG_W_MS = 10_110;
const UNREGISTERED_W_MS = 30_130;

/** Sees the store's epoch for `waitMs`. @returns what becomes of sign-ins a millisecond before, and then */
async function outcomes(store: Store, bench: Workbench, waitMs: number): Promise<readonly (string | undefined)[]> {
  await renew(store);
  bench.monotonicMs.advance(waitMs - 1);
  await renew(store);
  const before = await signIn(store, bench, 'before');
  bench.monotonicMs.advance(1);
  await renew(store);
  return [before, await signIn(store, bench, 'after')];
}

it('waits for the longest lease of the life before, although no one who was there then is left', async () => {
  await using bench = await workbench();
  const first = await bench.store();
  await renew(first, { incarnation: 'longer', leaseMs: 10_000 });
  await first.close();
  await bench.bare.save();
  await bench.redis.restart();
  expect(await outcomes(await bench.fresh(), bench, LONG_W_MS)).toEqual(['epoch_unsettled', 'opened']);
});

it('is told of the longest lease of the life before by a replica that remembers it, where a store that was emptied does not', async () => {
  await using bench = await workbench();
  const [survivor, other] = [await bench.store(), await bench.fresh()];
  expect(await renew(survivor, { incarnation: 'longer', leaseMs: 10_000 })).toBe(10_000);
  expect(await renew(survivor)).toBe(10_000);
  await bench.bare.flushall();
  expect(await renew(other, { incarnation: 'other' })).toBe(2000);
  expect(await renew(survivor)).toBe(10_000);
  // Only what was known of the life before: what is over is not kept alive by being told.
  await bench.bare.del('{portcullis}:leases');
  expect(await renew(survivor)).toBe(2000);
});

it('waits for the longest lease that there may be where the life before was of a version that registers none', async () => {
  await using bench = await workbench();
  const first = await bench.store();
  // As 0.1.0 leaves an epoch: without the mark, and with states that say nothing of leases.
  await bench.bare.hdel('{portcullis}:epoch', 'leases');
  await first.close();
  await bench.bare.save();
  await bench.redis.restart();
  expect(await outcomes(await bench.fresh(), bench, UNREGISTERED_W_MS)).toEqual(['epoch_unsettled', 'opened']);
});

it('remembers beyond an epoch that one was there of a version that registers none', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const { leaseMs: _none, ...unregistered } = replica({ incarnation: '0.1.0' });
  await bench.bare.hset('{portcullis}:live', '0.1.0', JSON.stringify(unregistered));
  expect(await renew(store)).toBe(30_000);
  await store.close();
  await bench.bare.hset('{portcullis}:epoch', 'rid', 'another');
  expect(await renew(await bench.fresh())).toBe(30_000);
});

it('forgets a lease two minutes after it has run out', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await renew(store, { incarnation: 'longer', leaseMs: 10_000 });
  await store.log.leave('longer');
  const until = Number(await bench.bare.zscore('{portcullis}:leases', '10000'));
  expect(Math.abs(until - Date.now() / 1000 - 132)).toBeLessThan(30);
  expect(await bench.bare.ttl('{portcullis}:leases')).toBeGreaterThan(120);
  await bench.bare.zadd('{portcullis}:leases', 1, '10000');
  expect(await renew(store)).toBe(2000);
  expect(await bench.bare.zrange('{portcullis}:leases', '0', '-1')).toEqual(['2000']);
});
