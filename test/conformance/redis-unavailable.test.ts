import { inspect } from 'node:util';

import { expect, it } from 'vitest';

import { createSealer } from '../../src/store/redis/sealer.ts';
import type { Store } from '../../src/store/store.ts';
import { timeLimit } from '../../src/timing/timing.ts';
import { anAccessRequest } from './access-fixtures.ts';
import { alice, newSession, openNow, replica } from './fixtures.ts';
import { allSent, busyFor } from '../support/busy.ts';
import { answering, sealingKeys, workbench, type Workbench } from './redis-stores.ts';

/**
 * The 250 ms of a command, by the same rule (src/timing/timing.ts), and less than those of two: a method that tries again
 * is too late. What is left is for sealing, which a busy machine delays.
 */
const SOON_MS = 450;
const sealer = createSealer(sealingKeys());

/** Every method there is, so that a new one cannot be forgotten. */
function everyMethod(store: Store, { clock }: Workbench): Record<string, () => Promise<unknown>> {
  const { artefacts, sessions, log, locks, access } = store;
  const position = { epoch: 'epoch', number: 0 };
  const request = anAccessRequest(clock);
  const stored = { request, version: 1 };
  return {
    ping: () => store.ping(),
    save: () => artefacts.save('Session', 'x', {}, { ttlSeconds: 60 }),
    find: () => artefacts.find('Session', 'x'),
    findByUid: () => artefacts.findByUid('Session', 'x'),
    findByUserCode: () => artefacts.findByUserCode('DeviceCode', 'x'),
    consume: () => artefacts.consume('Session', 'x'),
    take: () => artefacts.take('Session', 'x'),
    destroy: () => artefacts.destroy('Session', 'x'),
    destroyOfSession: () => artefacts.destroyOfSession('x'),
    open: () => sessions.open(newSession(clock, position), {}),
    mint: () => sessions.mint('session-1', {}),
    read: () => sessions.read('session-1'),
    readSecret: () => sessions.readSecret('session-1'),
    update: () => sessions.update('session-1', { identity: alice, secret: {} }),
    list: () => sessions.list({ limit: 10 }),
    closeProviderSession: () => sessions.closeProviderSession({ provider: 'corp', sid: 'sid-1' }),
    count: () => sessions.count(),
    tally: () => sessions.tally({}),
    prove: () => sessions.prove('session-1', 1),
    claimRecheck: () => sessions.claimRecheck('session-1', 'me', 30),
    releaseRecheck: () => sessions.releaseRecheck('session-1', 'me'),
    position: () => log.position(),
    join: () => log.join(300),
    renew: () => log.renew(replica(), position),
    leave: () => log.leave('incarnation-a'),
    append: () => log.append({ requestId: 'r', target: { kind: 'all' } }),
    hasWritten: () => log.hasWritten({ requestId: 'r', target: { kind: 'all' } }),
    announceDrill: () => log.announceDrill('drill-1'),
    waitForEntry: () => log.waitForEntry(0, new AbortController().signal),
    findLock: () => locks.find('corp/1'),
    listLocks: () => locks.list(),
    removeLock: () => locks.remove('corp/1'),
    createAccess: () => access.create(request),
    findAccess: () => access.find('x'),
    listAccess: () => access.list({ limit: 10 }),
    changeAccess: () => access.change(stored, request),
    beginAccess: () => access.begin(stored, { ...request, state: 'granted' }, 60),
    noteAccess: () => access.note('x', { audited: true }),
    endedAccess: () => access.ended('x', { ending: 'user' }),
    activeAccess: () => access.active(),
    activePageAccess: () => access.activePage(),
    claimEndingAccess: () => access.claimEnding('x', 'me', 30),
  };
}

async function expectAllUnavailable(store: Store, bench: Workbench): Promise<void> {
  const methods = everyMethod(store, bench);
  const attempts = Object.entries(methods).map(async ([name, call]) => {
    const late = Promise.withResolvers<unknown>();
    const outcome = call().then(
      (value) => ({ answered: value }),
      (error: unknown) => ({ code: (error as { code?: string }).code }),
    );
    for (const _value of ['record', 'secret']) await sealer.seal({}, 'test');
    const stop = timeLimit(SOON_MS, () => late.resolve('too late'));
    const seen = await Promise.race([outcome, late.promise]);
    stop();
    expect({ name, outcome: seen }).toEqual({ name, outcome: { code: 'store_unavailable' } });
  });
  await Promise.all(attempts);
}

it('covers every method of the interface', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const named = Object.keys(everyMethod(store, bench));
  const methods = (part: object): string[] =>
    Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(part)))
      .filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function')
      .map(([name]) => name);
  const there = [store.artefacts, store.sessions, store.log].flatMap(methods);
  const ofLocks = methods(store.locks).map((name) => `${name}Lock${name === 'list' ? 's' : ''}`);
  const ofAccess = methods(store.access).map((name) => `${name}Access`);
  expect([...there, ...ofLocks, ...ofAccess, 'ping'].toSorted()).toEqual(named.toSorted());
});

it('answers nothing while Redis hangs, and goes on by itself when it comes back', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const id = await openNow({ store, clock: bench.clock });
  bench.redis.pause();
  await expectAllUnavailable(store, bench);
  // Long enough for the sockets to be given up: the connections are made again meanwhile.
  await expectAllUnavailable(store, bench);
  bench.redis.resume();
  await expect.poll(() => store.sessions.read(id).catch(() => 'away')).toMatchObject({ id });
  expect((await store.log.renew(replica(), await store.log.position())).ok).toBe(true);
});

/** Longer than a command may take, and than a socket may owe an answer. */
const BUSY_MS = 1300;

it('counts an answer that came in time although this process was too busy to read it, and none that did not come', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const id = await openNow({ store, clock: bench.clock });
  const { position } = await store.log.join(300);
  const ask = () => [
    store.sessions.read(id),
    store.log.renew(replica(), position),
    store.log.append({ requestId: 'r', target: { kind: 'session', session: 'another' } }),
    store.ping(),
  ];
  const inTime = Promise.allSettled(ask());
  await allSent();
  busyFor(BUSY_MS);
  expect((await inTime).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => 'fulfilled'));
  bench.redis.pause();
  const never = Promise.allSettled(ask());
  await allSent();
  busyFor(BUSY_MS);
  expect((await never).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => 'rejected'));
  bench.redis.resume();
});

it('answers nothing while there is no Redis at all, and begins a new epoch with the one that comes', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const before = await store.log.position();
  await bench.redis.stop();
  await expectAllUnavailable(store, bench);
  expect(bench.errors.map(({ reason }) => reason)).toContain('redis_unreachable');
  await bench.redis.restart();
  await expect.poll(() => store.log.position().catch(() => before)).not.toEqual(before);
});

it('answers nothing after it was closed', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await store.ping();
  await store.close();
  await expectAllUnavailable(store, bench);
  await expect(store.ping()).rejects.toMatchObject({ reason: 'store_closed' });
});

it('wakes who waits for an entry also after Redis was unavailable', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const { number } = await store.log.position();
  const wait = store.log.waitForEntry(number, new AbortController().signal);
  await bench.bare.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await expect(wait).resolves.toBeUndefined();
});

it('keeps a password out of every error', async () => {
  await using bench = await workbench(['--requirepass', 'the-right-password']);
  const wrong = bench.unconnected({ settings: { password: 'canary-password' } });
  const error = await wrong.ping().catch((cause: unknown) => cause as Error & { code?: string });
  expect(error).toMatchObject({ code: 'store_unavailable' });
  const told = [error, ...bench.errors].flatMap((one) => [one, one?.cause]);
  expect(bench.errors).not.toEqual([]);
  for (const one of told) {
    expect(inspect(one, { depth: null })).not.toContain('canary-password');
    expect(Object.keys(one ?? {})).not.toContain('command');
  }
  await answering(bench.unconnected({ settings: { password: 'the-right-password' } }));
});
