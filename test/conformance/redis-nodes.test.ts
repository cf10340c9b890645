/**
 * Three nodes without a Sentinel: what a master and its followers must confirm, and what is not built on it when
 * they do not.
 */
import { Redis } from 'ioredis';
import { expect, it, vi } from 'vitest';

import type { Store } from '../../src/store/store.ts';
import { startFollowers, type RedisServer } from '../support/redis.ts';
import { newSession, openNow, parallel, replica } from './fixtures.ts';
import { settle, W_MS, workbench, type StoreChange, type Workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

interface Nodes extends Workbench {
  readonly followers: readonly RedisServer[];
}

/** Waits until that many followers have all that the master has. */
async function inStep(bare: Redis, count: number): Promise<void> {
  await bare.set('in-step', '1');
  await vi.waitFor(async () => expect(await bare.wait(count, 1000)).toBe(count), { timeout: 10_000, interval: 10 });
}

async function threeNodes(): Promise<Nodes> {
  const bench = await workbench();
  const followers = await startFollowers(2, bench.redis);
  await inStep(bench.bare, 2);
  const three = (change: StoreChange = {}): StoreChange => ({ ...change, settings: { nodes: 3, ...change.settings } });
  return {
    ...bench,
    followers,
    store: (change) => bench.store(three(change)),
    fresh: (change) => bench.fresh(three(change)),
    unconnected: (change) => bench.unconnected(three(change)),
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await Promise.all(followers.map((one) => one.stop()));
    },
  };
}

const revoke = (store: Store, requestId: string) =>
  store.log.append({ requestId, target: { kind: 'session', session: requestId } });

it('counts a revocation as acknowledged once one of two followers has it', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  expect(await revoke(store, 'r')).toMatchObject({ acknowledged: true });
  const copies = nodes.followers.map(async ({ port }) => {
    const follower = new Redis({ port });
    const length = await follower.xlen('{portcullis}:log');
    follower.disconnect();
    return length;
  });
  expect(await Promise.all(copies)).toContain(1);
});

it('goes on when one follower is lost', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  await nodes.followers[0]?.kill();
  nodes.followers[1]?.pause();
  nodes.followers[1]?.resume();
  const { position } = await store.log.join(300);
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
  expect(await revoke(store, 'r')).toMatchObject({ acknowledged: true });
});

it('grants no renewal and calls no revocation acknowledged when both followers are lost, and goes on when one is back', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  const { position } = await store.log.join(300);
  for (const follower of nodes.followers) follower.pause();
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('redis_unacknowledged');
  const written = await revoke(store, 'r');
  expect(written).toMatchObject({ acknowledged: false, position: { number: 1 } });
  // Asked again it is the same revocation, and not better off.
  expect(await revoke(store, 'r')).toEqual(written);
  nodes.followers[0]?.resume();
  await inStep(nodes.bare, 1);
  expect(await revoke(store, 'r')).toEqual({ ...written, acknowledged: true });
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true, entries: [{ number: 1 }] });
});

it('asked again by another replica, does not call acknowledged what that one’s connection never wrote', async () => {
  await using nodes = await threeNodes();
  const [store, other] = [await nodes.store(), await nodes.store()];
  for (const follower of nodes.followers) follower.pause();
  expect(await revoke(store, 'r')).toMatchObject({ acknowledged: false });
  expect(await revoke(other, 'r')).toMatchObject({ acknowledged: false });
});

it('adopts nothing of a renewal that was not confirmed', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  const { position } = await store.log.join(300);
  await revoke(store, 'known');
  await store.log.renew(replica(), position);
  const known = { ...position, number: 1 };
  const saved = await Promise.all(['{portcullis}:epoch', '{portcullis}:log'].map((key) => nodes.bare.dumpBuffer(key)));
  for (const follower of nodes.followers) follower.pause();
  await revoke(store, 'forgotten');
  expect(await store.log.renew(replica(), known).catch(reasonOf)).toBe('redis_unacknowledged');
  // The log is set back to what this replica has adopted: had it adopted more, it would see a rollback.
  await nodes.bare.restore('{portcullis}:epoch', 0, saved[0] ?? '', 'REPLACE');
  await nodes.bare.restore('{portcullis}:log', 0, saved[1] ?? '', 'REPLACE');
  for (const follower of nodes.followers) follower.resume();
  await inStep(nodes.bare, 2);
  expect(await store.log.renew(replica(), known)).toMatchObject({ ok: true, entries: [] });
  expect(await store.log.position()).toEqual(known);
});

it('does not let a renewal that was not confirmed settle an epoch', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.fresh();
  const { position } = await store.log.join(300);
  for (const follower of nodes.followers) follower.pause();
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('redis_unacknowledged');
  nodes.monotonicMs.advance(W_MS);
  for (const follower of nodes.followers) follower.resume();
  await inStep(nodes.bare, 2);
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
  const session = newSession(nodes.clock, position);
  expect(await store.sessions.open(session, {}).catch(reasonOf)).toBe('epoch_unsettled');
  await settle(store, nodes.monotonicMs);
  expect(await store.sessions.open(session, {})).toMatchObject({ ok: true });
});

it('builds nothing on a new epoch that no follower has confirmed', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.fresh();
  for (const follower of nodes.followers) follower.pause();
  expect(await store.log.join(300).catch(reasonOf)).toBe('redis_unacknowledged');
  expect(nodes.epochs).toHaveLength(1);
});

it('does not hold up requests, nor a renewal, while a revocation waits for followers', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  await openNow({ store, clock: nodes.clock });
  for (const follower of nodes.followers) follower.pause();
  const order: string[] = [];
  const waiting = revoke(store, 'r').then(() => order.push('revocation'));
  const reading = store.sessions.read('session-1').then(() => order.push('request'));
  await Promise.all([waiting, reading]);
  expect(order).toEqual(['request', 'revocation']);
});

it('restores no lock without a follower’s confirmation', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  const text = { reason: 'INC-1', by: 'corp:root', at: nodes.clock.seconds() };
  await store.log.append({ requestId: 'lock', target: { kind: 'account', account: 'corp/1' }, lock: text });
  const before = await store.log.join(300);
  await store.log.renew(replica(), before.position);
  await nodes.bare.flushall();
  const { position } = await store.log.join(300);
  for (const follower of nodes.followers) follower.pause();
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('redis_unacknowledged');
  expect(await nodes.bare.hlen('{portcullis}:live')).toBe(0);
});

it('has many revocations that come at once confirmed together', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  const answers = await parallel(200, (index) => revoke(store, `r-${index}`));
  expect(answers.every(({ acknowledged }) => acknowledged)).toBe(true);
  expect(new Set(answers.map(({ position }) => position.number)).size).toBe(200);
});

it('confirms none of those that went together when the followers are lost', async () => {
  await using nodes = await threeNodes();
  const store = await nodes.store();
  for (const follower of nodes.followers) follower.pause();
  const answers = await parallel(5, (index) => revoke(store, `r-${index}`).catch(reasonOf));
  const confirmed = answers.filter((answer) => typeof answer === 'object' && answer.acknowledged);
  expect(confirmed).toEqual([]);
});
