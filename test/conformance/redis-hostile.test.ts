import { describe, expect, it, vi } from 'vitest';

import { sessionKey } from '../../src/core/credential/revocation.ts';
import { sessionDigest } from '../../src/store/redis/keys.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { newSession, openNow, replica } from './fixtures.ts';
import { aRequest } from './recent.ts';
import { sealingKeys, workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

it('treats artefacts whose payloads were swapped as absent, and says so', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.artefacts.save('RefreshToken', 'mine', { account: 'corp/1' }, { ttlSeconds: 60 });
  await store.artefacts.save('RefreshToken', 'theirs', { account: 'corp/2' }, { ttlSeconds: 60 });
  const [first = '', second = ''] = await bench.bare.keys('{portcullis}:artefact:RefreshToken:*');
  const [a, b] = await Promise.all([bench.bare.hget(first, 'p'), bench.bare.hget(second, 'p')]);
  await bench.bare.hset(first, 'p', b ?? '');
  await bench.bare.hset(second, 'p', a ?? '');
  expect(await store.artefacts.find('RefreshToken', 'mine')).toBeUndefined();
  expect(await store.artefacts.take('RefreshToken', 'theirs')).toBeUndefined();
  expect(bench.errors.map(({ reason }) => reason)).toEqual(['sealed_value_unreadable', 'sealed_value_unreadable']);
});

it('treats an artefact as absent whose name was led to one of another kind', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.artefacts.save('Session', 'a', {}, { ttlSeconds: 60, uid: 'uid' });
  await store.artefacts.save('Interaction', 'b', {}, { ttlSeconds: 60, uid: 'uid' });
  const [session = ''] = await bench.bare.keys('{portcullis}:artefact:Session:*');
  const [name = ''] = await bench.bare.keys('{portcullis}:uid:Interaction:*');
  await bench.bare.set(name, session);
  await bench.bare.hset(session, 'uid', name);
  expect(await store.artefacts.findByUid('Interaction', 'uid')).toBeUndefined();
});

it('treats an artefact as absent whose name was led to another one of its kind', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.artefacts.save('DeviceCode', 'mine', {}, { ttlSeconds: 60, userCode: 'BCDF-GHJK' });
  const [name = ''] = await bench.bare.keys('{portcullis}:code:DeviceCode:*');
  const [mine = ''] = await bench.bare.keys('{portcullis}:artefact:DeviceCode:*');
  await store.artefacts.save('DeviceCode', 'theirs', {}, { ttlSeconds: 60, userCode: 'LMNP-QRST' });
  const theirs = (await bench.bare.keys('{portcullis}:artefact:DeviceCode:*')).find((key) => key !== mine) ?? '';
  await bench.bare.set(name, theirs);
  expect(await store.artefacts.findByUserCode('DeviceCode', 'BCDF-GHJK')).toBeUndefined();
  expect(await store.artefacts.findByUserCode('DeviceCode', 'LMNP-QRST')).toEqual({});
});

it.each(['', 'rubbish', 'a.b.c.d.e'])('survives a payload that is %o', async (payload) => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.artefacts.save('Session', 'a', {}, { ttlSeconds: 60 });
  const [key = ''] = await bench.bare.keys('{portcullis}:artefact:*');
  await bench.bare.hset(key, 'p', payload);
  expect(await store.artefacts.find('Session', 'a')).toBeUndefined();
});

it('does not open a session’s secret in the place of its record, or another session’s record', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  const [key = ''] = await bench.bare.keys('{portcullis}:session:*');
  await openNow({ store, clock: bench.clock }, { id: 'session-2' });
  const other = (await bench.bare.keys('{portcullis}:session:*')).find((name) => name !== key) ?? '';
  await bench.bare.hset(key, 'x', (await bench.bare.hget(key, 'r')) ?? '');
  await bench.bare.hset(other, 'r', (await bench.bare.hget(key, 'r')) ?? '');
  expect(await store.sessions.readSecret('session-1')).toBeUndefined();
  expect(await store.sessions.mint('session-2', {})).toEqual({ ok: false, reason: 'session_unknown' });
  expect((await store.sessions.list({ limit: 10 })).sessions.map(({ id }) => id)).toEqual(['session-1']);
});

it.each([
  ['exp', '99999999999'],
  ['idle', '99999999'],
  ['sn', '5'],
  ['acc', 'another'],
  ['prov', 'elsewhere'],
  ['v', '9'],
  ['via', 'another'],
  ['un', 'another'],
  ['ps', 'another'],
])('refuses a session whose plain field %s was changed', async (field, value) => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  const [key = ''] = await bench.bare.keys('{portcullis}:session:*');
  await bench.bare.hset(key, field, value);
  expect(await store.sessions.read('session-1')).toBeUndefined();
  expect((await store.sessions.mint('session-1', {})).ok).toBe(false);
  expect(bench.errors).not.toEqual([]);
});

it.each([
  '',
  'rubbish',
  '1 9999999999',
  '1 9999999999 account:short',
  '1 9999999999 session:AAAAAAAAAAAAAAAAAAAAA\u00e9',
  '1 9999999999 everything',
  '0 9999999999 all',
  '1 soon all',
  '1 9999999999 all\n',
  '1 9999999999 all all',
])('gives no view at all where a row of the live entries is %j, because it may revoke anyone', async (row) => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.log.append({ requestId: 'r', target: { kind: 'all' } });
  const other = await bench.fresh();
  await bench.bare.del('{portcullis}:idx');
  await bench.bare.zadd('{portcullis}:idx', 1, row);
  expect(await other.log.join(300).catch(reasonOf)).toBe('log_entry_unreadable');
});

it.each([
  [['h', 'x', 'u', '9999999999', 'k', 'revoked', 't', 'unknown']],
  [['h', 'x', 'u', '9999999999', 'k', 'revoked', 't', 'provider:a b']],
  [['h', 'x', 'u', '9999999999', 'k', 'pardoned', 't', 'all']],
  [['h', 'x', 'u', '9999999999', 'k', 'drill', 't', 'a drill']],
  [['h', 'x', 'u', '9999999999', 't', 'all', 'k', 'revoked']],
  [['h', 'x', 'u', '9999999999', 'k', 'revoked', 't', 'all', 'more', 'x']],
])('renews nothing where the entry is %j', async (fields) => {
  await using bench = await workbench();
  const store = await bench.store();
  const { position } = await store.log.join(300);
  await store.log.append({ requestId: 'r', target: { kind: 'all' } });
  await bench.bare.del('{portcullis}:log');
  await bench.bare.xadd('{portcullis}:log', '1-0', ...fields);
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('log_entry_unreadable');
});

const STATE = JSON.stringify(replica({ incarnation: 'x' }));
const withKeys = (keys: string): string => STATE.replace(/\}$/, `,"keys":${keys}}`);

it.each([
  '',
  'rubbish',
  '[]',
  '{"incarnation":"x"}',
  'null',
  withKeys('{"has":[]}'),
  withKeys('{"has":[1],"uses":[]}'),
  withKeys('{"has":[],"uses":"x"}'),
  withKeys('{"has":[],"uses":[],"thumbprints":{"a":1}}'),
  withKeys('{"has":[],"uses":[],"thumbprints":null}'),
])('renews nothing where a replica says %j of itself, because it may be one to wait for', async (state) => {
  await using bench = await workbench();
  const store = await bench.store();
  const { position } = await store.log.join(300);
  await bench.bare.hset('{portcullis}:live', 'x', state);
  expect(await store.log.renew(replica(), position).catch(reasonOf)).toBe('redis_bad_reply');
});

it('mints nothing for an account that has a lock, readable or not, although its session stands', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  const [key = ''] = await bench.bare.keys('{portcullis}:session:*');
  await bench.bare.hset('{portcullis}:lock', (await bench.bare.hget(key, 'acc')) ?? '', 'rubbish');
  expect(await store.sessions.mint('session-1', {})).toEqual({ ok: false, reason: 'account_locked' });
});

it('treats a lock that does not open as a lock, and says so', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const lock = { reason: 'INC-1', by: 'corp:root', at: bench.clock.seconds() };
  await store.log.append({ requestId: 'r', target: { kind: 'account', account: 'corp/1' }, lock });
  await store.log.append({ requestId: 's', target: { kind: 'account', account: 'corp/2' }, lock });
  const [first = '', second = ''] = await bench.bare.hkeys('{portcullis}:lock');
  // Each the other's, so that both are sealed by us and stand in the wrong place.
  const [a, b] = await bench.bare.hmget('{portcullis}:lock', first, second);
  await bench.bare.hset('{portcullis}:lock', { [first]: b ?? '', [second]: a ?? '' });
  const session = newSession(bench.clock, await store.log.position(), { authTime: bench.clock.seconds() });
  expect(await store.sessions.open(session, {})).toEqual({ ok: false, reason: 'account_locked' });
  expect(await store.locks.find('corp/1')).toMatchObject({ account: 'corp/1', by: 'unknown' });
  expect(await store.locks.list()).toEqual([]);
  expect(bench.errors.map(({ reason }) => reason)).toContain('sealed_value_unreadable');
  expect(await store.locks.remove('corp/1')).toBe(true);
  expect(await store.sessions.open(session, {})).toMatchObject({ ok: true });
});

it('opens what an older sealing key sealed while that key is kept', async () => {
  await using bench = await workbench();
  const [old, next] = [sealingKeys('old'), sealingKeys('next')];
  await (await bench.store({ keys: old })).artefacts.save('Session', 'a', { is: 'kept' }, { ttlSeconds: 60 });
  const both = { current: next.current, all: new Map([...next.all, ...old.all]) };
  expect(await (await bench.store({ keys: both })).artefacts.find('Session', 'a')).toEqual({ is: 'kept' });
  expect(await (await bench.store({ keys: next })).artefacts.find('Session', 'a')).toBeUndefined();
});

it('refuses Redis Cluster and says so at the first ping', async () => {
  await using bench = await workbench(['--cluster-enabled', 'yes']);
  const store = bench.unconnected();
  // As soon as it has connected; until then it is merely unreachable.
  await vi.waitFor(() => expect(store.ping()).rejects.toMatchObject({ reason: 'redis_cluster_mode' }), 10_000);
  await expect(store.ping()).rejects.toMatchObject({ code: 'store_unavailable' });
  await expect(store.artefacts.find('Session', 'a')).rejects.toMatchObject({ reason: 'redis_cluster_mode' });
  expect(bench.errors.map(({ reason }) => reason)).toEqual(['redis_cluster_mode']);
});

it('refuses a Redis that may evict a revocation', async () => {
  await using bench = await workbench(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']);
  const store = bench.unconnected();
  await vi.waitFor(() => expect(store.ping()).rejects.toMatchObject({ reason: 'redis_evicts' }), 10_000);
  await expect(store.log.position()).rejects.toMatchObject({ reason: 'redis_evicts' });
});

it('takes a Redis that it refused once that has been repaired, without a restart of either', async () => {
  await using bench = await workbench(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']);
  const store = bench.unconnected();
  await vi.waitFor(() => expect(store.ping()).rejects.toMatchObject({ reason: 'redis_evicts' }), 10_000);
  await bench.bare.config('SET', 'maxmemory-policy', 'noeviction');
  await vi.waitFor(() => store.ping(), { timeout: 10_000, interval: 100 });
  expect(await store.log.position()).toMatchObject({ number: 0 });
});

it('warns of a Redis that may evict sessions, and works', async () => {
  await using bench = await workbench(['--maxmemory', '100mb', '--maxmemory-policy', 'volatile-lru']);
  await bench.store();
  expect(bench.errors.map(({ reason }) => reason)).toEqual(['redis_eviction']);
});

it('reads nothing from a follower', async () => {
  await using primary = await workbench(['--repl-diskless-sync-delay', '0']);
  await using follower = await workbench(['--replicaof', '127.0.0.1', String(primary.redis.port)]);
  await (await primary.store()).artefacts.save('Session', 'a', {}, { ttlSeconds: 60 });
  await expect.poll(() => follower.bare.dbsize(), { timeout: 10_000 }).toBeGreaterThan(0);
  const store = await follower.fresh();
  expect(await store.artefacts.find('Session', 'a').catch(reasonOf)).toBe('redis_read_only');
  expect(await store.log.join(300).catch(reasonOf)).toBe('redis_read_only');
});

it('still revokes, renews and re-checks when Redis is full, and stores nothing new', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  const { position } = await store.log.join(300);
  await bench.bare.config('SET', 'maxmemory', '1mb');
  expect(await store.artefacts.save('Session', 'a', {}, { ttlSeconds: 60 }).catch(reasonOf)).toBe('redis_full');
  expect(await store.sessions.claimRecheck('session-1', 'me', 30)).toBe(true);
  const target = { kind: 'session', session: 'session-1' } as const;
  expect(await store.log.append({ requestId: 'r', target })).toMatchObject({ sessions: 1 });
  expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true, entries: [{ number: 1 }] });
});

it('works on after the server forgot its scripts', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const position = await store.log.position();
  await bench.bare.script('FLUSH');
  expect(await store.log.position()).toEqual(position);
});

it('leaves nothing in Redis for ever but what is bounded', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await openNow({ store, clock: bench.clock });
  await store.artefacts.save('DeviceCode', 'a', {}, { ttlSeconds: 60, session: 'session-1', uid: 'u', userCode: 'c' });
  await store.sessions.claimRecheck('session-1', 'me', 30);
  await store.recent.add('session-1', [aRequest()]);
  await store.log.append({ requestId: 'r', target: { kind: 'provider', provider: 'hub' } });
  const lasting: string[] = [];
  for (const key of await bench.bare.keys('*')) if ((await bench.bare.ttl(key)) < 0) lasting.push(key);
  const bounded = ['ends', 'ends:corp', 'epoch', 'idx', 'log', 'longest', 'providers', 'seq', 'sessions', 'used', 'wm'];
  expect(lasting.toSorted()).toEqual(bounded.map((name) => `{portcullis}:${name}`));
});

describe('a delegated session, to an attacker who may write to Redis', () => {
  const session = (id: string): string => `{portcullis}:${sessionKey(id)}`;

  it.each([
    ['detached from its parent', { up: '', ep: 'EPOCH' }],
    ['detached, and of the epoch of delegated sessions', { up: '' }],
    ['moved beneath another session of its user', { up: 'OTHER' }],
    ['moved up', { up: 'OWN' }],
    ['beneath one more', { up: 'MORE' }],
    ['bound to another certificate', { tp: 'another' }],
  ])('is refused once it is %s', async (_, fields) => {
    await using bench = await workbench();
    const store = await bench.store();
    const subject = { store, clock: bench.clock };
    for (const id of ['own', 'other']) await openNow(subject, { id });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('own'), thumbprint: 't' });
    await delegate(subject, { id: 'grandchild', delegation: delegationBeneath('own', 'child'), thumbprint: 't' });
    const [own, child, other] = ['own', 'child', 'other'].map(sessionDigest);
    const { epoch } = await store.log.position();
    const places = { EPOCH: epoch, OTHER: other, OWN: own, MORE: `${own} ${child} ${other}` };
    for (const [field, value] of Object.entries(fields)) {
      await bench.bare.hset(session('grandchild'), field, places[value as keyof typeof places] ?? value);
    }
    expect(await store.sessions.read('grandchild')).toBeUndefined();
    expect((await store.sessions.mint('grandchild', { thumbprint: 't' })).ok).toBe(false);
    expect((await store.sessions.mint('child', { thumbprint: 't' })).ok).toBe(true);
  });

  it('is of another epoch to a version that does not know it, which then rejects it', async () => {
    await using bench = await workbench();
    const store = await bench.store();
    const subject = { store, clock: bench.clock };
    await openNow(subject, { id: 'own' });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('own') });
    const { epoch } = await store.log.position();
    const [own, child] = await Promise.all(['own', 'child'].map((id) => bench.bare.hget(session(id), 'ep')));
    expect([own, child === epoch]).toEqual([epoch, false]);
  });

  it('is refused once a session above it has the fields of another one, or has other ends', async () => {
    await using bench = await workbench();
    const store = await bench.store();
    const subject = { store, clock: bench.clock };
    for (const id of ['own', 'other']) await openNow(subject, { id });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('own') });
    const theirs = await bench.bare.hgetall(session('other'));
    const its = await bench.bare.hgetall(session('own'));
    await bench.bare.hset(session('own'), theirs);
    expect(await store.sessions.read('child')).toBeUndefined();
    await bench.bare.hset(session('own'), { ...its, idle: '9999999' });
    expect(await store.sessions.read('child')).toBeUndefined();
    await bench.bare.hset(session('own'), its);
    expect(await store.sessions.read('child')).toBeDefined();
  });

  it('is counted and not named in a receipt where its label is another one’s', async () => {
    await using bench = await workbench();
    const store = await bench.store();
    const subject = { store, clock: bench.clock };
    await openNow(subject, { id: 'own' });
    for (const id of ['child', 'sibling']) await delegate(subject, { id, delegation: delegationBeneath('own') });
    await bench.bare.hset(session('child'), 'd', (await bench.bare.hget(session('sibling'), 'd')) ?? '');
    const { delegated } = await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'own' } });
    expect(delegated).toMatchObject({ count: 2, labels: [{ id: 'sibling' }] });
    expect(bench.errors).not.toEqual([]);
  });
});
