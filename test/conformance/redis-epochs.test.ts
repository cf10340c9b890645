import { Redis } from 'ioredis';
import { expect, it, vi } from 'vitest';

import type { LogPosition } from '../../src/core/credential/revocation.ts';
import { Connection } from '../../src/store/redis/connection.ts';
import { Runner } from '../../src/store/redis/runner.ts';
import { restoreLocks, settle as settleScript } from '../../src/store/redis/scripts.ts';
import type { Store } from '../../src/store/store.ts';
import { openNow, parallel, replica } from './fixtures.ts';
import { startFollowers } from '../support/redis.ts';
import { answering, ANY_SKEW, settle, workbench, type Workbench } from './redis-stores.ts';

async function revoke(store: Store, requestId: string): Promise<LogPosition> {
  const target = { kind: 'session', session: requestId } as const;
  return (await store.log.append({ requestId, target })).position;
}

/** Something of every kind that must be gone in a new epoch. */
async function fill(store: Store, bench: Workbench): Promise<LogPosition> {
  await openNow({ store, clock: bench.clock });
  await store.artefacts.save('RefreshToken', 'token', {}, { ttlSeconds: 600, session: 'session-1', uid: 'uid' });
  const startedAt = await store.log.position();
  await store.log.append({ requestId: 'all', target: { kind: 'account', account: 'corp/9' } });
  const { position } = await store.log.join(300);
  await store.log.renew(replica(), position);
  expect(startedAt.epoch).toBe(position.epoch);
  return position;
}

async function expectNewEpoch(store: Store, before: LogPosition, reason: string): Promise<void> {
  expect(await store.log.renew(replica(), before)).toEqual({ ok: false, reason });
  const { position, live } = await store.log.join(300);
  expect(position.epoch).not.toBe(before.epoch);
  expect({ number: position.number, live }).toEqual({ number: 0, live: [] });
  expect(await store.sessions.read('session-1')).toBeUndefined();
  expect((await store.sessions.mint('session-1', {})).ok).toBe(false);
  expect(await store.sessions.count()).toBe(0);
  expect((await store.sessions.list({ limit: 10 })).sessions).toEqual([]);
  expect(await store.artefacts.find('RefreshToken', 'token')).toBeUndefined();
  expect(await store.artefacts.findByUid('RefreshToken', 'uid')).toBeUndefined();
  expect(await store.artefacts.consume('RefreshToken', 'token')).toBe(false);
  const renewed = await store.log.renew(replica({ incarnation: 'b' }), position);
  expect(renewed.ok && renewed.replicas.map(({ incarnation }) => incarnation)).toEqual(['b']);
}

it('begins exactly one epoch for 20 replicas that find an empty Redis at once', async () => {
  await using bench = await workbench();
  const stores = await parallel(20, () => bench.fresh());
  const positions = await Promise.all(stores.map((store) => store.log.position()));
  expect(new Set(positions.map(({ epoch }) => epoch)).size).toBe(1);
});

it('lets a replica that is late to see the end of an epoch change nothing about the one that began since', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(store, bench);
  const before = await store.log.position();
  const writes = new Connection({ url: bench.redis.url, prefix: 'portcullis' }, 'late', () => {});
  const onEpoch = vi.fn<() => void>();
  const late = new Runner({
    base: '{portcullis}:',
    clock: bench.clock,
    clockSkewMs: ANY_SKEW * 1000,
    writes,
    emptyStore: 'init',
    onEpoch,
  });
  const generation = (await bench.bare.hget('{portcullis}:epoch', 'rid')) ?? '';
  // What it saw when Redis was still empty, and what it sees on a server that is no longer the one it asks.
  await vi.waitFor(() => late.beginEpoch(['REGIME', '', '', generation]), 10_000);
  await late.beginEpoch(['REGIME', before.epoch, generation, 'the primary generation of another server']);
  // And a log that was set back, as others saw it who have begun this epoch since.
  await late.beginEpoch(['ROLLBACK', 'the epoch before', generation, generation]);
  writes.close();
  expect(onEpoch).not.toHaveBeenCalled();
  expect(await store.log.position()).toEqual(before);
  expect(await store.sessions.read('session-1')).toBeDefined();
});

it('begins a new epoch when Redis was emptied', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  expect(await bench.bare.flushall()).toBe('OK');
  await expectNewEpoch(store, before, 'epoch');
});

it('begins a new epoch when Redis came back empty', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  await bench.redis.restart();
  await answering(store);
  expect(await bench.bare.dbsize()).toBe(0);
  await expectNewEpoch(store, before, 'epoch');
});

it('begins a new epoch when Redis came back with all its data, because it may have forgotten a revocation', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  await bench.bare.save();
  await bench.redis.restart();
  await answering(store);
  expect(await bench.bare.hget('{portcullis}:epoch', 'id')).toBe(before.epoch);
  expect(await store.sessions.mint('session-1', {})).toEqual({ ok: false, reason: 'epoch_changed' });
  await expectNewEpoch(store, before, 'epoch');
});

it('revokes in the new epoch from the first number on, and counts no one of the one before', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  await revoke(store, 'of the epoch before');
  // As a server that was restarted on its own data: another primary generation wrote the epoch.
  await bench.bare.hset('{portcullis}:epoch', 'rid', 'another');
  const { position } = await store.log.join(300);
  expect(position.epoch).not.toBe(before.epoch);
  const target = { kind: 'provider', provider: 'corp' } as const;
  expect(await store.log.append({ requestId: 'all', target })).toMatchObject({ position: { number: 1 }, sessions: 0 });
  const only = [{ number: 1, change: { kind: 'revoked', key: 'provider:corp' } }];
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true, entries: only });
  expect((await store.log.join(300)).live).toMatchObject(only);
});

it('lets a replica that has another epoch in mind neither settle this one nor write locks into it', async () => {
  await using bench = await workbench();
  const store = await bench.fresh();
  const { number } = await store.log.position();
  const main = new Connection({ url: bench.redis.url, prefix: 'portcullis' }, 'late', () => {});
  const late = new Runner({
    base: '{portcullis}:',
    clock: bench.clock,
    clockSkewMs: ANY_SKEW * 1000,
    writes: main,
    emptyStore: 'init',
    onEpoch: () => {},
  });
  const elsewhere = { epoch: 'the epoch before', number, hash: '' };
  await vi.waitFor(() => late.runOnce(main, settleScript, [], elsewhere), 10_000);
  expect(await bench.bare.hget('{portcullis}:epoch', 'settled')).toBeNull();
  expect(await late.runOnce(main, restoreLocks, [300, 0, 'account', 'a lock'], elsewhere)).toEqual(['EPOCH']);
  main.close();
  expect(await bench.bare.exists('{portcullis}:lock')).toBe(0);
});

it('begins a new epoch when a primary was demoted and promoted again before anyone looked', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  const [other] = await startFollowers(1, bench.redis);
  const bare = new Redis({ host: '127.0.0.1', port: other?.port ?? 0 });
  try {
    // The first follower of all gives a primary a new history, too.
    await vi.waitFor(async () => expect(await bare.info('replication')).toContain('master_link_status:up'), 10_000);
    const { position } = await store.log.join(300);
    const runId = async (): Promise<string | undefined> => /run_id:\w+/.exec(await bench.bare.info('server'))?.[0];
    const process = await runId();
    await bare.replicaof('NO', 'ONE');
    await bench.bare.replicaof('127.0.0.1', String(other?.port));
    const followed = async (): Promise<void> =>
      expect(await bench.bare.info('replication')).toContain('master_link_status:up');
    await vi.waitFor(followed, 10_000);
    await bench.bare.replicaof('NO', 'ONE');
    expect(await runId()).toBe(process);
    expect(position.epoch).not.toBe(before.epoch);
    await answering(store);
    const after = await vi.waitFor(() => store.log.position(), 10_000);
    expect(after.epoch).not.toBe(position.epoch);
  } finally {
    bare.disconnect();
    await other?.stop();
  }
});

it('serves no replica whose clock is off the store’s, and writes nothing for it', async () => {
  await using bench = await workbench();
  const off = await bench.fresh({ clockSkewSeconds: 60 });
  const refused = { code: 'store_unavailable', reason: 'clock_off' };
  await expect(off.log.position()).rejects.toMatchObject(refused);
  await expect(off.log.join(300)).rejects.toMatchObject(refused);
  await expect(revoke(off, 'r')).rejects.toMatchObject(refused);
  expect(await bench.bare.dbsize()).toBe(0);
  const right = await bench.fresh({ clockSkewSeconds: 60, clock: { nowMs: () => Date.now() } });
  expect(await right.log.position()).toMatchObject({ number: 0 });
});

it('begins a new epoch when the log was set back under the same run id', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(store, bench);
  const saved = await Promise.all(['{portcullis}:epoch', '{portcullis}:log'].map((key) => bench.bare.dumpBuffer(key)));
  const after = await revoke(store, 'forgotten');
  const { position } = await store.log.join(300);
  expect(position).toEqual(after);
  await bench.bare.restore('{portcullis}:epoch', 0, saved[0] ?? '', 'REPLACE');
  await bench.bare.restore('{portcullis}:log', 0, saved[1] ?? '', 'REPLACE');
  await expectNewEpoch(store, after, 'rollback');
});

it('notices by the chain that the log tells another story with the same numbers', async () => {
  await using bench = await workbench();
  const [store, other] = [await bench.store(), await bench.store()];
  await fill(store, bench);
  const saved = await Promise.all(['{portcullis}:epoch', '{portcullis}:log'].map((key) => bench.bare.dumpBuffer(key)));
  const after = await revoke(store, 'forgotten');
  await store.log.join(300);
  await bench.bare.restore('{portcullis}:epoch', 0, saved[0] ?? '', 'REPLACE');
  await bench.bare.restore('{portcullis}:log', 0, saved[1] ?? '', 'REPLACE');
  expect(await revoke(other, 'another')).toEqual(after);
  await revoke(other, 'and-one-more');
  await expectNewEpoch(store, after, 'rollback');
});

it.each([0, 1])(
  'notices another story also at the last number of both, after %i entries that are the same',
  async (same) => {
    await using bench = await workbench();
    const [store, other] = [await bench.store(), await bench.store()];
    for (let index = 0; index < same; index += 1) await revoke(store, `r-${index}`);
    const saved = await Promise.all(
      ['{portcullis}:epoch', '{portcullis}:log'].map((key) => bench.bare.dumpBuffer(key)),
    );
    const after = await revoke(store, 'forgotten');
    await store.log.join(300);
    await bench.bare.restore('{portcullis}:epoch', 0, saved[0] ?? '', 'REPLACE');
    await bench.bare.del('{portcullis}:log');
    if (same > 0) await bench.bare.restore('{portcullis}:log', 0, saved[1] ?? '');
    expect(await revoke(other, 'another')).toEqual(after);
    await expectNewEpoch(store, after, 'rollback');
  },
);

it('notices another story from the first entry on', async () => {
  await using bench = await workbench();
  const [store, other] = [await bench.store(), await bench.store()];
  const saved = await bench.bare.dumpBuffer('{portcullis}:epoch');
  const after = await revoke(store, 'forgotten');
  await store.log.join(300);
  await bench.bare.restore('{portcullis}:epoch', 0, saved, 'REPLACE');
  await bench.bare.del('{portcullis}:log');
  expect(await revoke(other, 'another')).toEqual(after);
  await revoke(other, 'and-one-more');
  await expectNewEpoch(store, after, 'rollback');
});

it.each([
  ['all of its entries', (bare: Redis) => bare.del('{portcullis}:log')],
  ['the one where a replica stands', (bare: Redis) => bare.xdel('{portcullis}:log', '2-0')],
] as const)('begins a new epoch when the log has lost %s', async (_name, lose) => {
  await using bench = await workbench();
  const store = await bench.store();
  await revoke(store, 'first');
  const second = await revoke(store, 'second');
  await store.log.join(300);
  await revoke(store, 'third');
  expect(await lose(bench.bare)).toBe(1);
  await expectNewEpoch(store, second, 'rollback');
});

it('a mint notices a log that was set back, without waiting for the renewal', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(store, bench);
  const saved = await bench.bare.dumpBuffer('{portcullis}:epoch');
  await revoke(store, 'forgotten');
  await store.log.join(300);
  await bench.bare.restore('{portcullis}:epoch', 0, saved, 'REPLACE');
  expect((await store.sessions.mint('session-1', {})).ok).toBe(false);
});

it('notices by a mint, and by the chain, that entries were forgotten which it had learned of by renewing', async () => {
  await using bench = await workbench();
  const [store, other] = [await bench.store(), await bench.store()];
  const names = ['{portcullis}:epoch', '{portcullis}:log'];
  for (const replaced of [false, true]) {
    const id = `session-${String(replaced)}`;
    await settle(store, bench.monotonicMs);
    await openNow({ store, clock: bench.clock }, { id });
    await revoke(other, 'kept');
    const { position } = await store.log.join(300);
    const saved = await Promise.all(names.map((name) => bench.bare.dumpBuffer(name)));
    const after = await revoke(other, 'forgotten');
    expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true, entries: [{ number: after.number }] });
    await Promise.all(names.map((name, index) => bench.bare.restore(name, 0, saved[index] ?? '', 'REPLACE')));
    const last = replaced ? await revoke(await bench.fresh(), 'another') : after;
    expect(last).toEqual(after);
    expect((await store.sessions.mint(id, {})).ok).toBe(false);
    expect((await store.log.position()).epoch).not.toBe(after.epoch);
  }
});

it('revokes in the new epoch when the old one ended just before', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await fill(store, bench);
  await bench.bare.flushall();
  const position = await revoke(store, 'late');
  expect(position.epoch).not.toBe(before.epoch);
  // It stands for as long as this replica said that tokens live, although the store has forgotten that.
  const until = bench.clock.seconds() + 420;
  expect((await store.log.join(300)).live).toMatchObject([{ number: 1, until }]);
});

it('lets two replicas see each other’s sessions, entries and states', async () => {
  await using bench = await workbench();
  const [one, two] = [await bench.store(), await bench.store()];
  await openNow({ store: one, clock: bench.clock });
  expect(await two.sessions.mint('session-1', { thumbprint: 't' })).toMatchObject({ ok: true });
  expect(await one.sessions.mint('session-1', { thumbprint: 'u' })).toMatchObject({ reason: 'certificate_mismatch' });
  const { position } = await one.log.join(300);
  await one.log.renew(replica({ incarnation: 'one' }), position);
  const woken = one.log.waitForEntry(position.number, new AbortController().signal);
  await revoke(two, 'session-1');
  await woken;
  const renewed = await one.log.renew(replica({ incarnation: 'one' }), position);
  expect(renewed).toMatchObject({ ok: true, entries: [{ number: 1 }], replicas: [{ incarnation: 'one' }] });
  expect((await one.sessions.mint('session-1', { thumbprint: 't' })).ok).toBe(false);
  await two.artefacts.save('AuthorizationCode', 'code', {}, { ttlSeconds: 60 });
  const won = await parallel(50, (index) =>
    (index % 2 === 0 ? one : two).artefacts.consume('AuthorizationCode', 'code'),
  );
  expect(won.filter(Boolean)).toHaveLength(1);
});
