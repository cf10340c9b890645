import { expect, it } from 'vitest';

import { newSession, openNow, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const THERE = { provider: 'corp', sid: 'sid-1' } as const;

const found = async ({ store }: StoreUnderTest, providerSession = THERE): Promise<readonly string[]> =>
  (await store.sessions.list({ providerSession, limit: 10 })).sessions.map(({ id }) => id);

/** What was opened in one session at a provider, and the end of that. */
export function providerSessionsConform(open: OpenStore): void {
  it('finds what was opened in one session at the provider, newest first and page by page', async () => {
    const subject = await open();
    await openNow(subject, { id: 'browser', providerSid: 'sid-1' });
    await openNow(subject, { id: 'kubectl', providerSid: 'sid-1', client: 'portcullis-cli' });
    await openNow(subject, { id: 'elsewhere', providerSid: 'sid-2' });
    await openNow(subject, { id: 'without' });
    // Another provider's names are its own.
    await openNow(subject, { id: 'other', provider: 'lab', account: 'lab/1', providerSid: 'sid-1' });
    expect(await found(subject)).toEqual(['kubectl', 'browser']);
    expect((await subject.store.sessions.read('kubectl'))?.providerSid).toBe('sid-1');
    const { sessions, cursor } = await subject.store.sessions.list({ providerSession: THERE, limit: 1 });
    expect(sessions.map(({ id }) => id)).toEqual(['kubectl']);
    const next = await subject.store.sessions.list({ providerSession: THERE, limit: 1, cursor: cursor ?? '' });
    expect(next.sessions.map(({ id }) => id)).toEqual(['browser']);
    expect(next.cursor).toBeUndefined();
  });

  it('finds none that has ended or was revoked there', async () => {
    const subject = await open();
    await openNow(subject, { id: 'short', providerSid: 'sid-1', idleSeconds: 10 });
    await openNow(subject, { id: 'revoked', providerSid: 'sid-1' });
    await openNow(subject, { id: 'alive', providerSid: 'sid-1' });
    subject.clock.advance(10);
    await subject.store.log.append({ requestId: 'r', target: { kind: 'session', session: 'revoked' } });
    expect(await found(subject)).toEqual(['alive']);
  });

  it('still finds one whose identity has changed since', async () => {
    const subject = await open();
    await openNow(subject, { providerSid: 'sid-1' });
    const identity = { username: 'corp:renamed', uid: '', groups: [], extra: {} };
    await subject.store.sessions.update('session-1', { identity, secret: {} });
    expect(await found(subject)).toEqual(['session-1']);
  });

  it('opens nothing in a session that the provider has ended, whenever the sign-in began', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { id: 'before', providerSid: 'sid-1' });
    const began = await store.log.position();
    await store.sessions.closeProviderSession(THERE);
    const late = newSession(clock, began, { id: 'late', providerSid: 'sid-1' });
    expect(await store.sessions.open(late, {})).toEqual({ ok: false, reason: 'session_revoked' });
    clock.advance(600);
    const later = newSession(clock, await store.log.position(), { id: 'later', providerSid: 'sid-1' });
    expect(await store.sessions.open(later, {})).toEqual({ ok: false, reason: 'session_revoked' });
    // Ending what stands is the log's.
    expect(await found(subject)).toEqual(['before']);
    for (const [id, change] of [
      ['another', { providerSid: 'sid-2' }],
      ['none', {}],
      ['lab', { provider: 'lab', account: 'lab/1', providerSid: 'sid-1' }],
    ] as const) {
      await openNow(subject, { id, ...change });
    }
  });

  it('forgets an ended session at the provider once no sign-in can have begun before', async () => {
    const subject = await open();
    await subject.store.sessions.closeProviderSession(THERE);
    subject.clock.advance(1799);
    const early = newSession(subject.clock, await subject.store.log.position(), { providerSid: 'sid-1' });
    expect((await subject.store.sessions.open(early, {})).ok).toBe(false);
    subject.clock.advance(1);
    await openNow(subject, { providerSid: 'sid-1' });
  });
}
