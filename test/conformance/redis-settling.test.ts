import { expect, it } from 'vitest';

import { newSession, replica } from './fixtures.ts';
import { answering, settle, W_MS, workbench, type Workbench } from './redis-stores.ts';
import type { Store } from '../../src/store/store.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

/** What becomes of a sign-in that begins now. */
async function signIn(store: Store, { clock }: Workbench, id = 'session-1'): Promise<string | undefined> {
  const session = newSession(clock, await store.log.position(), { id });
  const outcome = await store.sessions.open(session, {}).catch(reasonOf);
  return typeof outcome === 'object' ? (outcome.ok ? 'opened' : outcome.reason) : outcome;
}

async function renew(store: Store): Promise<void> {
  expect(await store.log.renew(replica(), await store.log.position())).toMatchObject({ ok: true });
}

it('opens nothing in a new store until its epoch has been seen for W', async () => {
  await using bench = await workbench();
  const store = await bench.fresh();
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await renew(store);
  bench.monotonic.advance(W_MS - 1);
  await renew(store);
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  bench.monotonic.advance(1);
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
  await bench.bare.hdel('{gate}:epoch', 'settled');
  expect(await store.sessions.mint('session-1', {}).catch(reasonOf)).toBe('epoch_unsettled');
  await bench.bare.hset('{gate}:epoch', 'settled', 'yes');
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
  bench.monotonic.advance(W_MS);
  await renew(other);
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await renew(store);
  expect(await signIn(other, bench)).toBe('opened');
});

it('has to see an epoch afresh after each restart of the server, also on its own data', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await bench.bare.save();
  await bench.redis.restart();
  await answering(store);
  expect(await bench.bare.hget('{gate}:epoch', 'settled')).toBe('1');
  expect(await signIn(store, bench)).toBe('epoch_unsettled');
  await settle(store, bench.monotonic);
  expect(await signIn(store, bench)).toBe('opened');
});
