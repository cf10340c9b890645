/**
 * Sealing keys are rotated while the store is used: what an older key sealed is sealed again, and nothing is undone
 * by that.
 */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';

import type { SealingKeys } from '../../src/store/redis/redis.ts';
import { replaceValues } from '../../src/store/redis/scripts.ts';
import type { Store } from '../../src/store/store.ts';
import { asked, granted, grantsOf, grantTarget } from './access-fixtures.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { alice, openNow, replica } from './fixtures.ts';
import { aRequest } from './recent.ts';
import { workbench, type Workbench } from './redis-stores.ts';

const key = (kid: string) => ({ kid, key: randomBytes(32) });
const [OLD, NEW] = [key('old'), key('new')];

const keysOf = (current: ReturnType<typeof key>, ...others: readonly ReturnType<typeof key>[]): SealingKeys => ({
  current,
  all: new Map([current, ...others].map((one) => [one.kid, one.key])),
});

const nothing = async (): Promise<void> => {};

/** A store whose keys change as those of a replica do. */
async function rotating(bench: Workbench): Promise<{ store: Store; rotate: () => void }> {
  let keys = keysOf(OLD, NEW);
  const live: SealingKeys = {
    get current() {
      return keys.current;
    },
    get all() {
      return keys.all;
    },
  };
  return { store: await bench.store({ keys: live }), rotate: () => void (keys = keysOf(NEW, OLD)) };
}

async function fill(bench: Workbench, store: Store): Promise<void> {
  for (const id of ['session-1', 'session-2', 'session-3']) {
    await openNow({ store, clock: bench.clock }, { id });
    await store.artefacts.save('Grant', id, { of: id }, { ttlSeconds: 3600, session: id });
    await store.artefacts.save('RefreshToken', `token of ${id}`, { is: id }, { ttlSeconds: 3600, session: id });
    await store.recent.add(id, [aRequest({ auditId: 'first' })]);
    await store.recent.add(id, [aRequest({ auditId: 'second' })]);
  }
  const lock = { reason: 'INC-1', by: 'corp:root', at: bench.clock.seconds() };
  await store.log.append({ requestId: 'r', target: { kind: 'account', account: 'corp/locked' }, lock });
}

async function expectWhole(store: Store): Promise<void> {
  for (const id of ['session-1', 'session-2', 'session-3']) {
    expect(await store.sessions.read(id)).toMatchObject({ id });
    expect(await store.sessions.readSecret(id)).toEqual({ refreshToken: `refresh-of-${id}` });
    expect(await store.artefacts.find('Grant', id)).toMatchObject({ of: id });
    expect(await store.artefacts.find('RefreshToken', `token of ${id}`)).toMatchObject({ is: id });
    expect(await store.recent.read(id)).toHaveLength(2);
  }
  expect(await store.locks.list()).toMatchObject([{ account: 'corp/locked', reason: 'INC-1' }]);
}

it('after it a store that has the new key alone opens everything that lasts', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  await fill(bench, store);
  rotate();
  const before = await bench.bare.ttl((await bench.bare.keys('{portcullis}:recent:*'))[0] ?? '');
  // Three sessions of a record, a secret, two artefacts and two recent entries, and one lock.
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 19 });
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 0 });
  await expectWhole(await bench.fresh({ keys: keysOf(NEW) }));
  expect(bench.errors).toEqual([]);
  for (const name of await bench.bare.keys('{portcullis}:recent:*')) {
    expect(Math.abs((await bench.bare.ttl(name)) - before)).toBeLessThan(5);
  }
});

it('seals access requests and grants again, and neither brings one back that ends meanwhile', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  const subject = { store, clock: bench.clock };
  await openNow(subject);
  const [open, ended, grant] = [await asked(subject), await granted(subject), await granted(subject)];
  rotate();
  await store.log.append({ requestId: 'r', target: grantTarget(ended) });
  // A record, a secret, two of three requests, and a field of grants; the third request is sealed by the new key.
  const noted = await store.access.ended(ended.request.id, { ending: 'user' });
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 5 });
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 0 });
  const fresh = await bench.fresh({ keys: keysOf(NEW) });
  expect(await grantsOf(fresh)).toEqual([grant.request.id]);
  expect(await fresh.access.find(open.request.id)).toEqual(open);
  expect(await fresh.access.find(ended.request.id)).toEqual(noted);
  expect(await fresh.access.active()).toMatchObject([{ stored: grant, sessionActive: true }]);
  expect(bench.errors).toEqual([]);
});

it('seals delegated sessions again, with what a receipt says about them', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  const subject = { store, clock: bench.clock };
  await openNow(subject, { id: 'own' });
  await delegate(subject, { id: 'child', delegation: delegationBeneath('own') });
  rotate();
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 5 });
  const after = await bench.fresh({ keys: keysOf(NEW) });
  expect(await after.sessions.read('child')).toMatchObject({ delegation: delegationBeneath('own') });
  const { delegated } = await after.log.append({ requestId: 'r', target: { kind: 'session', session: 'own' } });
  expect(delegated?.labels).toEqual([{ id: 'child', name: 'claude', session: 'own' }]);
  expect(bench.errors).toEqual([]);
});

it('leaves what the current key sealed, and does nothing where there is no other key', async () => {
  await using bench = await workbench();
  const store = await bench.store({ keys: keysOf(NEW, OLD) });
  await fill(bench, store);
  const all = async (): Promise<unknown> => {
    const names = (await bench.bare.keys('{portcullis}:session:*')).toSorted();
    return Promise.all(names.map((name) => bench.bare.hgetall(name)));
  };
  const before = await all();
  expect(await store.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 0 });
  expect(await all()).toEqual(before);
  const alone = await bench.fresh({ keys: keysOf(NEW) });
  await bench.bare.del('{portcullis}:reseal');
  expect(await alone.sealed.reencrypt('a', nothing)).toEqual({ kind: 'done', found: 0 });
  expect(await bench.bare.exists('{portcullis}:reseal')).toBe(0);
});

/** Tells when a value is opened by a key that is not the current one. */
class ToldKeys extends Map<string, Uint8Array> {
  told: () => void = () => {};
  override get(kid: string): Uint8Array | undefined {
    this.told();
    return super.get(kid);
  }
}

it('never undoes what was written between its look and its own write', async () => {
  await using bench = await workbench();
  const old = await bench.store({ keys: keysOf(OLD, NEW) });
  const session = await openNow({ store: old, clock: bench.clock });
  const [name = ''] = await bench.bare.keys('{portcullis}:session:*');
  await old.artefacts.save('Grant', session, { is: 'first' }, { ttlSeconds: 3600, session });
  const [grant = ''] = await bench.bare.keys('{portcullis}:artefact:Grant:*');
  await old.recent.add(session, [aRequest()]);
  const [stream = ''] = await bench.bare.keys('{portcullis}:recent:*');
  const first = { secret: await bench.bare.hget(name, 'x'), grant: await bench.bare.hget(grant, 'p') };
  // What a replica writes that does not know of the new key yet looks as old as what was there.
  await old.sessions.update(session, { identity: alice, secret: { refreshToken: 'second' } });
  await old.artefacts.save('Grant', session, { is: 'second' }, { ttlSeconds: 3600, session });
  const second = { secret: await bench.bare.hget(name, 'x'), grant: await bench.bare.hget(grant, 'p') };
  await bench.bare.hset(name, 'x', first.secret ?? '');
  await bench.bare.hset(grant, 'p', first.grant ?? '');
  const [[, entry] = ['', []]] = await bench.bare.xrange(stream, '-', '+');

  const all = new ToldKeys([OLD, NEW].map((one) => [one.kid, one.key]));
  const store = await bench.fresh({ keys: { current: NEW, all } });
  all.told = () => {
    all.told = () => {};
    void bench.bare.hset(name, 'x', second.secret ?? '');
    void bench.bare.hset(grant, 'p', second.grant ?? '');
    void bench.bare.xadd(stream, '9-0', ...entry);
  };
  await store.sealed.reencrypt('a', nothing);
  expect(await old.sessions.readSecret(session)).toEqual({ refreshToken: 'second' });
  expect(await old.artefacts.find('Grant', session)).toEqual({ is: 'second' });
  expect(await bench.bare.xlen(stream)).toBe(2);
  // And what no one had touched is sealed again.
  expect(await (await bench.fresh({ keys: keysOf(NEW) })).sessions.read(session)).toMatchObject({ id: session });
});

it('brings back no recent request in whose place a newer one has come between its look and its own write', async () => {
  await using bench = await workbench();
  const old = await bench.store({ keys: keysOf(OLD, NEW) });
  const session = await openNow({ store: old, clock: bench.clock });
  await old.recent.add(session, [aRequest()]);
  const [stream = ''] = await bench.bare.keys('{portcullis}:recent:*');
  const [[id, entry] = ['', []]] = await bench.bare.xrange(stream, '-', '+');
  const all = new ToldKeys([OLD, NEW].map((one) => [one.kid, one.key]));
  const store = await bench.fresh({ keys: { current: NEW, all } });
  all.told = () => {
    all.told = () => {};
    void bench.bare.xadd(stream, '9-0', ...entry);
    void bench.bare.xdel(stream, id);
  };
  await store.sealed.reencrypt('a', nothing);
  expect((await bench.bare.xrange(stream, '-', '+')).map(([kept]) => kept)).toEqual(['9-0']);
});

it('brings nothing back that ended between its look and its own write', async () => {
  await using bench = await workbench();
  const old = await bench.store({ keys: keysOf(OLD, NEW) });
  const session = await openNow({ store: old, clock: bench.clock });
  await old.artefacts.save('Grant', session, {}, { ttlSeconds: 3600, session });
  await old.recent.add(session, [aRequest()]);
  const all = new ToldKeys([OLD, NEW].map((one) => [one.kid, one.key]));
  const store = await bench.fresh({ keys: { current: NEW, all } });
  const names = (await bench.bare.keys('*')).filter((one) => /:(session|artefact|recent|of):/.test(one));
  all.told = () => {
    all.told = () => {};
    void bench.bare.del(...names);
  };
  await store.sealed.reencrypt('a', nothing);
  expect(names).toHaveLength(4);
  expect(await bench.bare.exists(...names)).toBe(0);
});

it('is done by one replica at a time, and taken over from one that stopped half-way', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  for (let count = 0; count < 25; count += 1) {
    await openNow({ store, clock: bench.clock }, { id: `session-${count}`, account: `corp/${count}` });
  }
  rotate();
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const first = store.sealed.reencrypt('a', async () => {
    reached.resolve();
    await go.promise;
  });
  await reached.promise;
  expect(await store.sealed.reencrypt('b', nothing)).toEqual({ kind: 'elsewhere' });
  bench.clock.advance(61);
  // The rest: the first page of twenty is done.
  expect(await store.sealed.reencrypt('b', nothing)).toEqual({ kind: 'done', found: 10 });
  go.resolve();
  expect(await store.sealed.reencrypt('c', nothing)).toEqual({ kind: 'done', found: 0 });
  expect((await first).kind).toBe('elsewhere');
});

it('once nothing was found no one looks again for an hour, but for another key', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  const looked = async (): Promise<string | null> => bench.bare.hget('{portcullis}:reseal', 'at');
  await store.sealed.reencrypt('a', nothing);
  const at = await looked();
  bench.clock.advance(3599);
  await store.sealed.reencrypt('b', nothing);
  expect(await looked()).toBe(at);
  bench.clock.advance(2);
  await store.sealed.reencrypt('b', nothing);
  expect(await looked()).not.toBe(at);
  rotate();
  await store.sealed.reencrypt('b', nothing);
  expect(await bench.bare.hget('{portcullis}:reseal', 'kid')).toBe('new');
});

it('a lock that a survivor writes back after it is sealed by the new key', async () => {
  await using bench = await workbench();
  const { store, rotate } = await rotating(bench);
  const lock = { reason: 'INC-1', by: 'corp:root', at: bench.clock.seconds() };
  await store.log.append({ requestId: 'r', target: { kind: 'account', account: 'corp/1' }, lock });
  const { position } = await store.log.join(300);
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true });
  rotate();
  await store.sealed.reencrypt('a', nothing);
  expect(await store.log.renew(replica({ count: 2 }), position)).toMatchObject({ ok: true });
  await bench.bare.flushall();
  const { position: resealed } = await store.log.join(300);
  expect(await store.log.renew(replica({ count: 3 }), resealed)).toMatchObject({ ok: true });
  expect(await (await bench.fresh({ keys: keysOf(NEW) })).locks.list()).toMatchObject([{ reason: 'INC-1' }]);
});

it('replaces in one script as many values as there are locks', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.log.position();
  // More arguments than a function of Lua takes.
  const accounts = Array.from({ length: 2500 }, (_, index) => `account-${index}`);
  await bench.bare.hset('{portcullis}:lock', Object.fromEntries(accounts.map((account) => [account, 'old'])));
  const head = [bench.clock.nowMs(), '', 0, '', Number.MAX_SAFE_INTEGER];
  const values = accounts.flatMap((account) => ['{portcullis}:lock', account, 'old', 'new']);
  expect(await bench.bare.eval(replaceValues.lua, 1, '{portcullis}:', ...head, ...values)).toEqual(['OK', 2500]);
  expect(new Set(await bench.bare.hvals('{portcullis}:lock'))).toEqual(new Set(['new']));
});
