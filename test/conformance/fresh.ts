import { expect, it } from 'vitest';

import type { RevocationTarget } from '../../src/core/credential/revocation.ts';
import { newSession, openNow, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const DAY = 86_400;

const revoke = ({ store }: StoreUnderTest, target: RevocationTarget) => store.log.append({ requestId: 'r', target });

/** A sign-in that begins now, of someone who proved who they are at that time. */
async function signIn({ store, clock }: StoreUnderTest, authTime: number | undefined) {
  const proof = authTime === undefined ? {} : { authTime };
  const outcome = await store.sessions.open(
    newSession(clock, await store.log.position(), { id: 'next', expiresAt: clock.seconds() + DAY, ...proof }),
    {},
  );
  return outcome.ok ? 'opened' : outcome.reason;
}

export function freshSignInsConform(open: OpenStore): void {
  const table: readonly [string, RevocationTarget, string][] = [
    ['one of its sessions', { kind: 'session', session: 'session-1' }, 'fresh_sign_in_needed'],
    ['the account', { kind: 'account', account: 'corp/1' }, 'fresh_sign_in_needed'],
    ['its provider', { kind: 'provider', provider: 'corp' }, 'opened'],
    ['all', { kind: 'all' }, 'opened'],
    ['another account', { kind: 'account', account: 'corp/2' }, 'opened'],
    ['a session that was never there', { kind: 'session', session: 'unknown' }, 'opened'],
  ];
  it.each(table)('judges a silent single sign-on after a revocation of %s', async (_name, target, outcome) => {
    const subject = await open();
    await openNow(subject);
    const before = subject.clock.seconds() - 3600;
    await revoke(subject, target);
    expect(await signIn(subject, before)).toBe(outcome);
  });

  it('demands a proof of a time that is not before the revocation, but for whole seconds', async () => {
    const subject = await open();
    const revokedAt = subject.clock.seconds();
    await revoke(subject, { kind: 'account', account: 'corp/1' });
    subject.clock.advance(10);
    expect(await signIn(subject, undefined)).toBe('fresh_sign_in_needed');
    expect(await signIn(subject, Number.NaN)).toBe('fresh_sign_in_needed');
    expect(await signIn(subject, revokedAt - 3)).toBe('fresh_sign_in_needed');
    expect(await subject.store.sessions.count()).toBe(0);
    expect(await signIn(subject, revokedAt - 2)).toBe('opened');
  });

  it('asks for none after a session that came to its end in good order, and leaves the browser session behind it', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { id: 'browser' });
    await openNow(subject, { via: 'browser' });
    const target = { kind: 'session', session: 'session-1' } as const;
    const answer = await store.log.append({ requestId: 'r', target, ended: true });
    expect(answer).toMatchObject({ position: { number: 1 }, sessions: 1 });
    expect(await store.sessions.read('session-1')).toBeUndefined();
    expect(await store.sessions.mint('browser', {})).toMatchObject({ ok: true });
    expect(await signIn(subject, clock.seconds() - 3600)).toBe('opened');
  });

  it('counts from the last revocation', async () => {
    const subject = await open();
    await openNow(subject);
    const target = { kind: 'session', session: 'session-1' } as const;
    await revoke(subject, target);
    const between = subject.clock.seconds() + 100;
    subject.clock.advance(300);
    await subject.store.log.append({ requestId: 's', target: { kind: 'account', account: 'corp/1' } });
    expect(await signIn(subject, between)).toBe('fresh_sign_in_needed');
  });

  it('says since when one is needed, until it is lifted, and asks again after the next revocation', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const { freshSignIns } = store;
    await openNow(subject);
    expect(await freshSignIns.find('corp/1')).toBeUndefined();
    expect(await freshSignIns.lift('corp/1')).toBe('none');
    await revoke(subject, { kind: 'session', session: 'session-1' });
    expect(await freshSignIns.find('corp/1')).toBe(clock.seconds());
    expect(await freshSignIns.find('corp/2')).toBeUndefined();
    expect(await freshSignIns.lift('corp/2')).toBe('none');
    expect(await freshSignIns.lift('corp/1', clock.seconds() - 1)).toBe('newer');
    expect(await freshSignIns.find('corp/1')).toBe(clock.seconds());
    expect(await freshSignIns.lift('corp/1', clock.seconds())).toBe('lifted');
    expect(await freshSignIns.find('corp/1')).toBeUndefined();
    expect(await freshSignIns.lift('corp/1')).toBe('none');
    expect(await signIn(subject, clock.seconds() - 3600)).toBe('opened');
    await store.log.append({ requestId: 's', target: { kind: 'session', session: 'next' } });
    expect(await signIn(subject, clock.seconds() - 3600)).toBe('fresh_sign_in_needed');
  });

  it('asks for none where a session was revoked of a user who is certain, and takes the browser session along', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { id: 'browser' });
    await openNow(subject, { via: 'browser' });
    const target = { kind: 'session', session: 'session-1' } as const;
    await store.log.append({ requestId: 'r', target, asksFreshSignIn: false });
    expect(await store.sessions.count()).toBe(0);
    expect(await store.freshSignIns.find('corp/1')).toBeUndefined();
    expect(await signIn(subject, clock.seconds() - 3600)).toBe('opened');
  });

  it('asks no more after thirty days', async () => {
    const subject = await open();
    await revoke(subject, { kind: 'account', account: 'corp/1' });
    subject.clock.advance(30 * DAY - 1);
    expect(await signIn(subject, undefined)).toBe('fresh_sign_in_needed');
    expect(await subject.store.freshSignIns.find('corp/1')).toBeDefined();
    subject.clock.advance(1);
    expect(await subject.store.freshSignIns.find('corp/1')).toBeUndefined();
    expect(await signIn(subject, undefined)).toBe('opened');
  });

  it('says that the account is locked before it asks for a fresh sign-in, and for a new one where it began too early', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const startedAt = await store.log.position();
    const account = { kind: 'account', account: 'corp/1' } as const;
    await revoke(subject, account);
    const early = newSession(clock, startedAt);
    expect(await store.sessions.open(early, {})).toEqual({ ok: false, reason: 'session_revoked' });
    const lock = { reason: 'INC-1', by: 'corp:root', at: clock.seconds() };
    await store.log.append({ requestId: 'lock', target: account, lock });
    expect(await signIn(subject, undefined)).toBe('account_locked');
    expect(await store.sessions.open(early, {})).toEqual({ ok: false, reason: 'account_locked' });
  });
}
