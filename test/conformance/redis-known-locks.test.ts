import { expect, it } from 'vitest';

import { accountKey } from '../../src/core/credential/revocation.ts';
import type { Account } from '../../src/core/identity/identity.ts';
import type { Store } from '../../src/store/store.ts';
import { newSession, openNow, replica } from './fixtures.ts';
import { settle, workbench, type Workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

let requests = 0;

async function lock(store: Store, { clock }: Workbench, account: Account): Promise<void> {
  requests += 1;
  const text = { reason: 'INC-4711', by: 'corp:root', at: clock.seconds() };
  await store.log.append({ requestId: `lock-${requests}`, target: { kind: 'account', account }, lock: text });
}

/** A round of a replica that follows the log: joins again where it has to. */
async function round(store: Store, incarnation = 'a'): Promise<void> {
  const joined = await store.log.join(300);
  const renewed = await store.log.renew(replica({ incarnation }), joined.position);
  if (!renewed.ok) throw new Error(renewed.reason);
}

const lockedAccounts = async (store: Store): Promise<string[]> =>
  (await store.locks.list()).map(({ account }) => account).toSorted();

it('writes back, into a store that was emptied, the locks it knew when it joined and those it learned of since', async () => {
  await using bench = await workbench();
  const admin = await bench.store();
  await lock(admin, bench, 'corp/1');
  const survivor = await bench.fresh();
  const { position } = await survivor.log.join(300);
  expect(await survivor.log.renew(replica(), position)).toMatchObject({ ok: true });
  await lock(admin, bench, 'corp/2');
  await lock(admin, bench, 'corp/3');
  await admin.locks.remove('corp/3');
  expect(await survivor.log.renew(replica(), position)).toMatchObject({ ok: true });
  await admin.close();
  await bench.bare.flushall();
  await round(survivor);
  expect(await lockedAccounts(survivor)).toEqual(['corp/1', 'corp/2']);
  await settle(survivor, bench.monotonicMs);
  const session = newSession(bench.clock, await survivor.log.position(), { authTime: bench.clock.seconds() });
  expect(await survivor.sessions.open(session, {})).toEqual({ ok: false, reason: 'account_locked' });
});

it('has written them back before its first renewal in the new epoch is answered', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await lock(store, bench, 'corp/1');
  await round(store);
  await bench.bare.flushall();
  const { position } = await store.log.join(300);
  expect(await bench.bare.hlen('{portcullis}:lock')).toBe(0);
  await store.log.renew(replica(), position);
  expect(await bench.bare.hlen('{portcullis}:lock')).toBe(1);
});

it('grants no round in which a lock could not be written back, and tries again in the next', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await lock(store, bench, 'corp/1');
  await round(store);
  await bench.bare.flushall();
  const { position } = await store.log.join(300);
  await bench.bare.set('{portcullis}:lock', 'of a wrong type');
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('redis_error');
  expect(await bench.bare.hlen('{portcullis}:live')).toBe(0);
  await bench.bare.del('{portcullis}:lock');
  await round(store);
  expect(await lockedAccounts(store)).toEqual(['corp/1']);
});

it('locks no one again who was unlocked in the new epoch before a late survivor came', async () => {
  await using bench = await workbench();
  const [early, late] = [await bench.store(), await bench.store()];
  await lock(early, bench, 'corp/1');
  await round(early, 'early');
  await round(late, 'late');
  await bench.bare.flushall();
  await round(early, 'early');
  await early.locks.remove('corp/1');
  await round(late, 'late');
  expect(await lockedAccounts(late)).toEqual([]);
});

it('forgets a lock that was removed while it could not follow', async () => {
  await using bench = await workbench();
  const admin = await bench.store();
  await lock(admin, bench, 'corp/1');
  const store = await bench.fresh();
  await round(store);
  await admin.locks.remove('corp/1');
  // It comes back by a join: it is given no entry of what happened meanwhile.
  await round(store);
  await bench.bare.flushall();
  await round(store);
  expect(await lockedAccounts(store)).toEqual([]);
});

it('writes back a lock that came while it could not follow', async () => {
  await using bench = await workbench();
  const [store, admin] = [await bench.fresh(), await bench.store()];
  await round(store);
  await lock(admin, bench, 'corp/1');
  await round(store);
  await bench.bare.flushall();
  await round(store);
  expect(await lockedAccounts(store)).toEqual(['corp/1']);
});

it('writes back a lock that it wrote itself a moment before the store was emptied', async () => {
  await using bench = await workbench();
  const store = await bench.fresh();
  await round(store);
  await lock(store, bench, 'corp/1');
  await bench.bare.flushall();
  await round(store);
  expect(await lockedAccounts(store)).toEqual(['corp/1']);
});

it('puts out who got in before a late survivor wrote the lock back, and lets the other replicas know', async () => {
  await using bench = await workbench();
  const [late, other] = [await bench.store(), await bench.store()];
  await lock(late, bench, 'corp/1');
  await round(late, 'late');
  await bench.bare.flushall();
  // It never knew of the lock, and no one who did has come back for W.
  await settle(other, bench.monotonicMs);
  await openNow({ store: other, clock: bench.clock });
  const { position } = await other.log.join(300);
  await round(late, 'late');
  expect(await other.sessions.mint('session-1', {})).toMatchObject({ ok: false });
  expect(await other.log.renew(replica({ incarnation: 'other' }), position)).toMatchObject({
    ok: true,
    entries: [{ change: { kind: 'revoked', key: accountKey('corp/1') } }],
  });
  await late.close();
  await bench.bare.flushall();
  await round(other, 'other');
  expect(await lockedAccounts(other)).toEqual(['corp/1']);
});

it('keeps locks and fresh sign-ins over a restart on its own data, without anyone who knew them', async () => {
  await using bench = await workbench();
  const first = await bench.store();
  await lock(first, bench, 'corp/1');
  await first.log.append({ requestId: 'r', target: { kind: 'account', account: 'corp/2' } });
  await first.close();
  await bench.bare.save();
  await bench.redis.restart();
  const store = await bench.store();
  expect(await lockedAccounts(store)).toEqual(['corp/1']);
  const silent = newSession(bench.clock, await store.log.position(), { account: 'corp/2', subject: '2' });
  expect(await store.sessions.open(silent, {})).toEqual({ ok: false, reason: 'fresh_sign_in_needed' });
});

it('restores more locks than fit one batch', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  for (let index = 0; index < 120; index += 1) await lock(store, bench, `corp/${index}`);
  await round(store);
  await bench.bare.flushall();
  await round(store);
  expect(await store.locks.list()).toHaveLength(120);
});

it('stays shut on an empty store where that is asked for, and tells the operator what to do', async () => {
  await using bench = await workbench();
  const store = await bench.fresh({ emptyStore: 'refuse' });
  await expect(store.log.join(300)).rejects.toMatchObject({
    code: 'store_unavailable',
    reason: 'store_empty',
    message: expect.stringContaining('revocation.emptyStore set to init') as string,
  });
  expect(await bench.bare.dbsize()).toBe(0);
  await bench.fresh().then((first) => round(first, 'init'));
  await round(store, 'follows');
});

it('lets a survivor begin again in a store that was emptied, whatever is asked for', async () => {
  await using bench = await workbench();
  await (await bench.fresh()).log.position();
  const survivor = await bench.store({ emptyStore: 'refuse' });
  await lock(survivor, bench, 'corp/1');
  await round(survivor);
  const outsider = await bench.fresh({ emptyStore: 'refuse' });
  // It has looked at the epoch, but knows nothing of its locks.
  await outsider.log.position();
  await bench.bare.flushall();
  expect(await outsider.log.position().catch(reasonOf)).toBe('store_empty');
  await round(survivor);
  expect(await lockedAccounts(outsider)).toEqual(['corp/1']);
});

it('says why an epoch began and whether by a survivor, in the one replica that began it', async () => {
  await using bench = await workbench();
  const [first, second] = [await bench.fresh(), await bench.fresh()];
  await Promise.all([first.log.position(), second.log.position()]);
  expect(bench.epochs).toEqual([{ why: 'empty', knowsLocks: false }]);
  await round(first);
  await bench.bare.flushall();
  await first.log.position();
  await second.log.position();
  await bench.bare.hset('{portcullis}:epoch', 'rid', 'another');
  await second.log.position();
  const { position } = await first.log.join(300);
  await bench.bare.del('{portcullis}:log');
  await first.log.renew(replica(), { ...position, number: 7 });
  expect(bench.epochs.slice(1)).toEqual([
    { why: 'empty', knowsLocks: true },
    { why: 'regime', knowsLocks: false },
    { why: 'rollback', knowsLocks: true },
  ]);
});
