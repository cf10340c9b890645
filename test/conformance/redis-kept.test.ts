/** How long what a store has written stays in Redis, and what becomes of what Redis has dropped by itself. */
import { expect, it } from 'vitest';

import { accountDigest, sessionDigest } from '../../src/store/redis/keys.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { newSession, openNow } from './fixtures.ts';
import { workbench } from './redis-stores.ts';

it('keeps everything for at least as long as it counts, and no index for less than its longest session', async () => {
  await using bench = await workbench();
  const { bare, clock } = bench;
  const store = await bench.store();
  const lives = { expiresAt: clock.seconds() + 5000, providerSid: 'sid-1' };
  await openNow({ store, clock }, { ...lives, via: 'browser' });
  const named = { session: 'session-1', uid: 'uid', userCode: 'code' };
  await store.artefacts.save('DeviceCode', 'long', {}, { ttlSeconds: 900, ...named });
  await store.artefacts.save('ConsoleCode', 'short', {}, { ttlSeconds: 60, session: 'session-1' });
  await store.sessions.claimRecheck('session-1', 'me', 30);
  await store.sessions.closeProviderSession({ provider: 'corp', sid: 'sid-2' });
  await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'another' } });
  await openNow({ store, clock }, { ...lives, id: 'session-2', expiresAt: clock.seconds() + 600 });
  const least: readonly (readonly [string, number])[] = [
    ['session', 600],
    ['account', 5000],
    ['user', 5000],
    ['provider-session', 5000],
    ['of', 900],
    ['artefact:DeviceCode', 900],
    ['artefact:ConsoleCode', 60],
    ['uid', 900],
    ['code', 900],
    ['recheck', 30],
    ['closed', 1800],
    ['request', 600],
  ];
  for (const [kind, seconds] of least) {
    const names = await bare.keys(`{portcullis}:${kind}:*`);
    expect(names, kind).not.toEqual([]);
    for (const name of names) expect(await bare.ttl(name), name).toBeGreaterThan(seconds);
  }
});

/**
 * Digests of sessions whose records went by Redis' own time while no one signed in or looked, with places before
 * all others.
 */
const gone = (count: number): string[] =>
  Array.from({ length: count }, (_, place) => [`-${place + 1}`, `gone-${place}`]).flat();

it('counts no session of an account that Redis has dropped by itself, however many there were', async () => {
  await using bench = await workbench();
  const { bare, clock } = bench;
  const store = await bench.store();
  await openNow({ store, clock }, { id: 'alive' });
  const index = `{portcullis}:account:${accountDigest('corp/1')}`;
  await bare.zadd(index, ...gone(999));
  expect(await store.sessions.open(newSession(clock, await store.log.position()), {})).toMatchObject({ ok: true });
  expect(await bare.zcard(index)).toBeLessThan(1000);
  expect(await store.sessions.read('alive')).toBeDefined();
});

it('keeps no place permanently of what Redis has dropped by itself', async () => {
  await using bench = await workbench();
  const { bare, clock } = bench;
  const store = await bench.store();
  const opened = (id: string) => openNow({ store, clock }, { id, providerSid: 'sid-1' });
  await opened('first');
  const indexes = (await bare.keys('*')).filter((name) => /:(account|user|provider-session):/.test(name));
  expect(indexes).toHaveLength(3);
  for (const index of indexes) await bare.zadd(index, ...gone(6));
  for (const id of ['second', 'third', 'fourth']) await opened(id);
  for (const index of indexes) expect(await bare.zcard(index), index).toBe(4);
  expect((await store.sessions.list({ account: 'corp/1', limit: 10 })).sessions).toHaveLength(4);
});

it('takes a session for revoked that a watermark covers, before the sweep has come to it', async () => {
  await using bench = await workbench();
  const { bare, clock } = bench;
  for (const mark of [`account:${accountDigest('corp/1')}`, 'provider:corp', 'all']) {
    const store = await bench.store();
    await openNow({ store, clock });
    await bare.hset('{portcullis}:wm', mark, 1);
    expect(await store.sessions.mint('session-1', {}), mark).toEqual({ ok: false, reason: 'session_revoked' });
    expect(await store.sessions.read('session-1')).toBeUndefined();
    expect(await store.sessions.readSecret('session-1')).toBeUndefined();
    expect((await store.sessions.list({ limit: 10 })).sessions).toEqual([]);
    await bare.flushall();
  }
});

it('ends the sweep when nothing is left to sweep', async () => {
  await using bench = await workbench();
  const { bare, clock } = bench;
  const store = await bench.store();
  for (let index = 0; index < 150; index += 1) {
    await openNow({ store, clock }, { id: `session-${index}`, account: `corp/${index}` });
  }
  await store.log.append({ requestId: 'r', target: { kind: 'all' } });
  await expect.poll(() => bare.keys('{portcullis}:sweep*')).toEqual([]);
  expect(await bare.keys('{portcullis}:session:*')).toEqual([]);
});

it('keeps nothing of a delegated session that has ended, nor of what was beneath one that became idle', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const subject = { store, clock: bench.clock };
  await openNow(subject, { id: 'own', idleSeconds: 1000 });
  for (const id of ['first', 'second']) await delegate(subject, { id, delegation: delegationBeneath('own') });
  await delegate(subject, { id: 'third', delegation: delegationBeneath('own', 'second') });
  const beneath = (id: string): string => `{portcullis}:beneath:${sessionDigest(id)}`;
  const third = sessionDigest('third');
  expect(await bench.bare.zrange(beneath('second'), '0', '-1')).toEqual([third]);
  await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'first' }, ended: true });
  expect(await bench.bare.zrange(beneath('own'), '0', '-1')).toEqual([sessionDigest('second'), third]);
  bench.clock.advance(1000);
  // One that ends is cleaned up by anyone who signs in next, together with what is beneath it.
  await openNow(subject, { id: 'another', account: 'corp/2', subject: '2' });
  const left = ['session:*', 'beneath:*', 'of:*', 'account:*'].map((name) => bench.bare.keys(`{portcullis}:${name}`));
  const keys = (await Promise.all(left)).flat().map((name) => name.slice('{portcullis}:'.length, -22));
  expect(keys.toSorted()).toEqual(['account:', 'session:']);
});
