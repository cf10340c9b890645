import { expect, it } from 'vitest';

import { accountKey } from '../../src/core/credential/revocation.ts';
import { newSession, openNow, replica, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const alice = { kind: 'account', account: 'corp/1' } as const;

const text = ({ clock }: StoreUnderTest, reason = 'INC-4711') => ({ reason, by: 'corp:root', at: clock.seconds() });

const lockAlice = (subject: StoreUnderTest, requestId = 'lock') =>
  subject.store.log.append({ requestId, target: alice, lock: text(subject) });

/** A sign-in that nothing but a lock stands against. */
const signIn = async ({ store, clock }: StoreUnderTest, id: string) =>
  store.sessions.open(newSession(clock, await store.log.position(), { id, authTime: clock.seconds() }), {});

export function locksConform(open: OpenStore): void {
  it('locks an account together with its revocation, and tells by whom and why', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    expect(await lockAlice(subject)).toMatchObject({ sessions: 1 });
    const lock = { account: 'corp/1', ...text(subject) };
    expect(await store.locks.find('corp/1')).toEqual(lock);
    expect(await store.locks.list()).toEqual([lock]);
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: false });
    expect(await signIn(subject, 'again')).toEqual({ ok: false, reason: 'account_locked' });
    expect(await store.sessions.count()).toBe(0);
  });

  it('locks no one else', async () => {
    const subject = await open();
    await lockAlice(subject);
    await openNow(subject, { account: 'corp/2', subject: '2' });
    expect(await subject.store.locks.find('corp/2')).toBeUndefined();
    expect(await subject.store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
  });

  it('lets someone in again who was unlocked, and writes that into the log', async () => {
    const subject = await open();
    const { store } = subject;
    await lockAlice(subject);
    const { position } = await store.log.join(300);
    expect(await store.locks.remove('corp/1')).toBe(true);
    expect(await store.locks.list()).toEqual([]);
    expect(await store.log.renew(replica(), position)).toMatchObject({
      ok: true,
      entries: [{ number: 2, change: { kind: 'unlocked', key: accountKey('corp/1') } }],
    });
    expect((await store.log.join(300)).live.map(({ number }) => number)).toEqual([1]);
    expect(await signIn(subject, 'again')).toMatchObject({ ok: true });
  });

  it('says that there was no lock to remove, and writes nothing', async () => {
    const { store } = await open();
    expect(await store.locks.remove('corp/1')).toBe(false);
    expect((await store.log.position()).number).toBe(0);
  });

  it('keeps the text of the last lock', async () => {
    const subject = await open();
    await lockAlice(subject);
    await subject.store.log.append({ requestId: 'again', target: alice, lock: text(subject, 'INC-9') });
    expect(await subject.store.locks.list()).toMatchObject([{ reason: 'INC-9' }]);
  });

  it('takes a lock asked for twice for one, and one without a lock for something else', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const first = await lockAlice(subject);
    clock.advance(5);
    expect(await lockAlice(subject)).toEqual(first);
    await expect(store.log.append({ requestId: 'lock', target: alice })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('keeps a lock after the account was revoked once more without one', async () => {
    const subject = await open();
    await lockAlice(subject);
    await subject.store.log.append({ requestId: 'later', target: alice });
    expect(await signIn(subject, 'again')).toEqual({ ok: false, reason: 'account_locked' });
  });

  it('refuses to lock anything but an account', async () => {
    const subject = await open();
    const request = { requestId: 'r', target: { kind: 'all' }, lock: text(subject) } as const;
    await expect(subject.store.log.append(request)).rejects.toThrow(RangeError);
    expect((await subject.store.log.position()).number).toBe(0);
  });
}
