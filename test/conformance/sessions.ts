import { expect, it } from 'vitest';

import { cacheKey, sessionKey } from '../../src/core/credential/revocation.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { alice, newSession, openNow, parallel, type OpenStore } from './fixtures.ts';

export function sessionsConform(open: OpenStore): void {
  openingConforms(open);
  bindingConforms(open);
  endingConforms(open);
  updatingConforms(open);
  provingConforms(open);
  listingConforms(open);
  recheckConforms(open);
}

function openingConforms(open: OpenStore): void {
  it('opens a session and gives back all of it', async () => {
    const { store, clock } = await open();
    const position = await store.log.position();
    const session = newSession(clock, position, { via: 'browser-1', authTime: clock.seconds() - 5 });
    const record = { ...session, version: 1, lastUsedAt: session.createdAt, checkedAt: session.createdAt };
    expect(await store.sessions.open(session, { refreshToken: 'provider-token' })).toEqual({
      ok: true,
      position,
      record,
    });
    expect(await store.sessions.read('session-1')).toEqual(record);
    expect(await store.sessions.readSecret('session-1')).toEqual({ refreshToken: 'provider-token' });
  });

  it('opens no more than 1,000 of one account at a time, and as many of another', { timeout: 120_000 }, async () => {
    const { store, clock } = await open();
    const position = await store.log.position();
    const openOne = async (id: string, change: { account?: 'corp/2'; idleSeconds?: number } = {}) => {
      const outcome = await store.sessions.open(newSession(clock, position, { id, ...change }), {});
      return outcome.ok ? 'opened' : outcome.reason;
    };
    expect(await openOne('brief', { idleSeconds: 60 })).toBe('opened');
    for (let count = 1; count < 1000; count += 9) {
      await parallel(9, (index) => openOne(`session-${count + index}`));
    }
    expect(await openOne('one-more')).toBe('sessions_too_many');
    expect(await store.sessions.read('one-more')).toBeUndefined();
    expect(await openOne('of-another', { account: 'corp/2' })).toBe('opened');
    // What has ended does not count, whether or not someone has cleared it away.
    clock.advance(61);
    expect(await openOne('one-more')).toBe('opened');
    expect(await openOne('yet-one-more')).toBe('sessions_too_many');
  });

  it('shares no object with its callers', async () => {
    const { store, clock } = await open();
    const groups = ['corp:developers'];
    const session = newSession(clock, await store.log.position(), { identity: { ...alice, groups } });
    const opened = await store.sessions.open(session, {});
    groups.push('corp:admins');
    const minted = await store.sessions.mint('session-1', {});
    const given = [opened, minted].flatMap((outcome) => (outcome.ok ? [outcome.record] : []));
    given.push(...(await store.sessions.list({ limit: 1 })).sessions);
    expect(given).toHaveLength(3);
    for (const { identity } of given) (identity.groups as string[]).push('system:masters');
    expect((await store.sessions.read('session-1'))?.identity.groups).toEqual(['corp:developers']);
  });

  it('keeps a session without a secret', async () => {
    const { store, clock } = await open();
    await store.sessions.open(newSession(clock, await store.log.position()), {});
    expect(await store.sessions.readSecret('session-1')).toEqual({});
  });

  it('refuses a sign-in that began in another epoch, or at a place that this one has not reached', async () => {
    const { store, clock } = await open();
    const { epoch } = await store.log.position();
    const elsewhere = newSession(clock, { epoch: 'another-epoch', number: 0 });
    expect(await store.sessions.open(elsewhere, {})).toEqual({ ok: false, reason: 'epoch_changed' });
    const ahead = newSession(clock, { epoch, number: 1 });
    expect(await store.sessions.open(ahead, {})).toEqual({ ok: false, reason: 'epoch_changed' });
    expect(await store.sessions.read('session-1')).toBeUndefined();
    expect(await store.sessions.count()).toBe(0);
  });

  it('opens none that would be over at once', async () => {
    const { store, clock } = await open();
    const position = await store.log.position();
    for (const change of [{ expiresAt: clock.seconds() }, { createdAt: clock.seconds() - 60, idleSeconds: 60 }]) {
      const outcome = await store.sessions.open(newSession(clock, position, change), {});
      expect(outcome).toEqual({ ok: false, reason: 'session_expired' });
    }
    expect(await store.sessions.count()).toBe(0);
  });

  it('refuses a second session under the same id', async () => {
    const subject = await open();
    await openNow(subject);
    await expect(openNow(subject, { account: 'corp/2' })).rejects.toMatchObject({ code: 'conflict' });
    expect((await subject.store.sessions.read('session-1'))?.account).toBe('corp/1');
  });

  it('knows nothing of a session that was never there', async () => {
    const { store } = await open();
    expect(await store.sessions.mint('unknown', {})).toEqual({ ok: false, reason: 'session_unknown' });
    expect(await store.sessions.read('unknown')).toBeUndefined();
    expect(await store.sessions.readSecret('unknown')).toBeUndefined();
  });
}

function bindingConforms(open: OpenStore): void {
  it('binds a session to the first certificate and refuses every other, and none', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
    expect(await store.sessions.mint('session-1', { thumbprint: 'first' })).toMatchObject({
      ok: true,
      record: { thumbprint: 'first' },
    });
    const mismatch = { ok: false, reason: 'certificate_mismatch' };
    expect(await store.sessions.mint('session-1', { thumbprint: 'second' })).toEqual(mismatch);
    expect(await store.sessions.mint('session-1', {})).toEqual(mismatch);
    expect(await store.sessions.mint('session-1', { thumbprint: 'first' })).toMatchObject({ ok: true });
    expect((await store.sessions.read('session-1'))?.thumbprint).toBe('first');
  });

  it('binds to exactly one of 50 certificates that come at once', async () => {
    const subject = await open();
    await openNow(subject);
    const minted = await parallel(50, (index) => subject.store.sessions.mint('session-1', { thumbprint: `t${index}` }));
    expect(minted.filter((outcome) => outcome.ok)).toHaveLength(1);
  });

  it('says the place in the log at which it minted', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    const target = { kind: 'session', session: 'somebody-else' } as const;
    const { position } = await store.log.append({ requestId: 'r', target });
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true, position });
  });
}

function endingConforms(open: OpenStore): void {
  it('ends at the absolute end, however busy it was', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { expiresAt: clock.seconds() + 5000, idleSeconds: 3000 });
    clock.advance(2500);
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
    clock.advance(2499);
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
    clock.advance(1);
    expect(await store.sessions.mint('session-1', {})).toEqual({ ok: false, reason: 'session_expired' });
    expect(await store.sessions.read('session-1')).toBeUndefined();
    expect(await store.sessions.readSecret('session-1')).toBeUndefined();
    expect(await store.sessions.count()).toBe(0);
  });

  it('ends when nothing was minted for the idle time, counted from the last mint', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 100 });
    clock.advance(99);
    const minted = await store.sessions.mint('session-1', {});
    expect(minted).toMatchObject({ ok: true, record: { lastUsedAt: clock.seconds() } });
    clock.advance(99);
    expect(await store.sessions.read('session-1')).toBeDefined();
    expect(await store.sessions.count()).toBe(1);
    clock.advance(1);
    expect(await store.sessions.mint('session-1', {})).toEqual({ ok: false, reason: 'session_expired' });
    expect(await store.sessions.count()).toBe(0);
  });
}

function updatingConforms(open: OpenStore): void {
  it('keeps a new secret without touching version or log where the identity is the same', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject, { identity: { ...alice, groups: ['a', 'b'] } });
    const before = await store.log.position();
    const same = { ...alice, groups: ['b', 'a'] };
    subject.clock.advance(30);
    const updated = await store.sessions.update('session-1', { identity: same, secret: { refreshToken: 'next' } });
    expect(updated).toMatchObject({ version: 1, checkedAt: subject.clock.seconds() });
    expect((await store.sessions.read('session-1'))?.checkedAt).toBe(subject.clock.seconds());
    expect(await store.sessions.readSecret('session-1')).toEqual({ refreshToken: 'next' });
    expect(await store.log.position()).toEqual(before);
  });

  it('keeps a new secret of a re-check that is not over without moving when the session was checked', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    const before = await store.sessions.read('session-1');
    subject.clock.advance(30);
    const change = { identity: alice, secret: { refreshToken: 'next' }, checked: false } as const;
    expect(await store.sessions.update('session-1', change)).toMatchObject({ checkedAt: before?.checkedAt });
    expect((await store.sessions.read('session-1'))?.checkedAt).toBe(before?.checkedAt);
    expect(await store.sessions.readSecret('session-1')).toEqual({ refreshToken: 'next' });
  });

  it('writes an identity-changed entry with a changed identity, in the same step', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    const before = await store.log.position();
    const identity = { ...alice, groups: ['corp:on-call'] };
    const updated = await store.sessions.update('session-1', { identity, secret: {} });
    expect(updated).toMatchObject({ version: 2, identity });
    expect(await store.sessions.read('session-1')).toEqual(updated);
    const renewed = await store.log.renew(replicaOf(before.number), before);
    expect(renewed).toMatchObject({
      ok: true,
      entries: [{ number: before.number + 1, change: { kind: 'identity-changed', key: sessionKey('session-1') } }],
    });
    expect((await store.log.join(300)).live).toEqual([]);
  });

  it('counts every one of the changes that come at once', async () => {
    const subject = await open();
    await openNow(subject);
    await parallel(4, (index) =>
      subject.store.sessions.update('session-1', { identity: { ...alice, groups: [`g${index}`] }, secret: {} }),
    );
    expect((await subject.store.sessions.read('session-1'))?.version).toBe(5);
    expect((await subject.store.log.position()).number).toBe(4);
  });

  it('changes nothing for a session that is gone', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 10 });
    clock.advance(10);
    const change = { identity: { ...alice, groups: [] }, secret: { refreshToken: 'x' } };
    expect(await store.sessions.update('session-1', change)).toBeUndefined();
    expect(await store.sessions.update('never-there', change)).toBeUndefined();
    expect((await store.log.position()).number).toBe(0);
  });
}

function provingConforms(open: OpenStore): void {
  it('notes a later proof, with all else as it was, and has replicas read the session again', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { authTime: clock.seconds() - 500, knownAs: ['alice@example.com'] });
    await store.sessions.mint('session-1', { thumbprint: 'key-1' });
    const [before, position] = [await store.sessions.read('session-1'), await store.log.position()];
    clock.advance(30);
    const proven = { ...before, authTime: clock.seconds(), version: 2 };
    expect(await store.sessions.prove('session-1', clock.seconds())).toEqual(proven);
    expect(await store.sessions.read('session-1')).toEqual(proven);
    expect(await store.sessions.readSecret('session-1')).toEqual({ refreshToken: 'refresh-of-session-1' });
    const renewed = await store.log.renew(replicaOf(position.number), position);
    const entry = { number: position.number + 1, change: { kind: 'identity-changed', key: cacheKey('session-1') } };
    expect(renewed).toMatchObject({ ok: true, entries: [entry] });
    expect(renewed.ok && renewed.entries).toHaveLength(1);
  });

  it('notes the first proof of a session whose provider reported none', async () => {
    const subject = await open();
    await openNow(subject);
    const at = subject.clock.seconds();
    expect(await subject.store.sessions.prove('session-1', at)).toMatchObject({ authTime: at });
  });

  it('never goes back to an earlier proof, whichever of several comes first', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const at = clock.seconds();
    await openNow(subject, { authTime: at });
    expect(await store.sessions.prove('session-1', at)).toMatchObject({ authTime: at, version: 1 });
    expect(await store.sessions.prove('session-1', at - 1)).toMatchObject({ authTime: at });
    expect((await store.log.position()).number).toBe(0);
    await parallel(4, (index) => store.sessions.prove('session-1', at + ((index * 3) % 4)));
    expect(await store.sessions.read('session-1')).toMatchObject({ authTime: at + 3 });
  });

  it('loses neither a proof nor an identity that comes at the same time', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject);
    const identity = { ...alice, groups: ['corp:on-call'] };
    await Promise.all([
      store.sessions.prove('session-1', clock.seconds()),
      store.sessions.update('session-1', { identity, secret: { refreshToken: 'next' } }),
    ]);
    expect(await store.sessions.read('session-1')).toMatchObject({ authTime: clock.seconds(), identity, version: 3 });
    expect(await store.sessions.readSecret('session-1')).toEqual({ refreshToken: 'next' });
  });

  it('proves nothing of a session that has ended, was never there, or is a delegated one', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 10, expiresAt: clock.seconds() + 10_000 });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('session-1') });
    expect(await store.sessions.prove('child', clock.seconds())).toBeUndefined();
    expect(await store.sessions.read('child')).not.toHaveProperty('authTime');
    clock.advance(10);
    for (const id of ['session-1', 'unknown']) expect(await store.sessions.prove(id, clock.seconds())).toBeUndefined();
    expect((await store.log.position()).number).toBe(0);
  });
}

const replicaOf = (number: number) => ({ incarnation: 'a', name: 'a', count: 1, number, streamsCut: 0 });

function listingConforms(open: OpenStore): void {
  const idsOf = (page: { readonly sessions: readonly { readonly id: string }[] }): string[] =>
    page.sessions.map(({ id }) => id);

  it('lists newest first, page by page, without losing or repeating one', async () => {
    const subject = await open();
    for (let index = 0; index < 7; index += 1) await openNow(subject, { id: `s${index}` });
    const seen: string[][] = [];
    let cursor: string | undefined;
    do {
      const page = await subject.store.sessions.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(idsOf(page));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen).toEqual([['s6', 's5', 's4'], ['s3', 's2', 's1'], ['s0']]);
  });

  it('goes on from a cursor although sessions came and went meanwhile', async () => {
    const subject = await open();
    const { store } = subject;
    for (let index = 0; index < 4; index += 1) await openNow(subject, { id: `s${index}` });
    const { cursor } = await store.sessions.list({ limit: 2 });
    await openNow(subject, { id: 's4' });
    const target = { kind: 'session', session: 's2' } as const;
    await store.log.append({ requestId: 'r', target });
    expect(idsOf(await store.sessions.list({ limit: 2, cursor: cursor ?? '' }))).toEqual(['s1', 's0']);
  });

  it('lists one account alone', async () => {
    const subject = await open();
    await openNow(subject, { id: 'mine' });
    await openNow(subject, { id: 'theirs', account: 'corp/2', subject: '2' });
    await openNow(subject, { id: 'mine-too' });
    expect(idsOf(await subject.store.sessions.list({ account: 'corp/1', limit: 10 }))).toEqual(['mine-too', 'mine']);
    expect(idsOf(await subject.store.sessions.list({ account: 'corp/3', limit: 10 }))).toEqual([]);
  });

  it('lists one username alone, under the name that it has now', async () => {
    const subject = await open();
    const { store } = subject;
    const named = (username: string) => ({ ...alice, username });
    await openNow(subject, { id: 'mine' });
    await openNow(subject, { id: 'theirs', account: 'corp/2', subject: '2', identity: named('corp:bob@example.com') });
    await openNow(subject, { id: 'namesake', account: 'hub/1', provider: 'hub', subject: '1' });
    const { username } = alice;
    expect(idsOf(await store.sessions.list({ username, limit: 10 }))).toEqual(['namesake', 'mine']);
    await store.sessions.update('mine', { identity: named('corp:alice.new@example.com'), secret: {} });
    expect(idsOf(await store.sessions.list({ username, limit: 10 }))).toEqual(['namesake']);
    expect(idsOf(await store.sessions.list({ username: 'corp:alice.new@example.com', limit: 10 }))).toEqual(['mine']);
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'mine' } });
    expect(idsOf(await store.sessions.list({ username: 'corp:alice.new@example.com', limit: 10 }))).toEqual([]);
    expect(idsOf(await store.sessions.list({ username: 'unknown', limit: 10 }))).toEqual([]);
  });

  it('passes over many sessions that have ended', async () => {
    const subject = await open();
    await openNow(subject, { id: 'oldest' });
    for (let index = 0; index < 250; index += 1) await openNow(subject, { id: `s${index}`, idleSeconds: 10 });
    await openNow(subject, { id: 'newest' });
    subject.clock.advance(10);
    const page = await subject.store.sessions.list({ limit: 5 });
    expect(idsOf(page)).toEqual(['newest', 'oldest']);
    expect(page.cursor).toBeUndefined();
    expect(idsOf(await subject.store.sessions.list({ account: 'corp/1', limit: 5 }))).toEqual(['newest', 'oldest']);
    expect(await subject.store.sessions.count()).toBe(2);
  });

  it('refuses a cursor that it did not make', async () => {
    const { store } = await open();
    for (const cursor of ['', 'x', '../../etc', Buffer.from('after:-1').toString('base64url')]) {
      await expect(store.sessions.list({ limit: 5, cursor })).rejects.toMatchObject({ code: 'bad_request' });
    }
  });
}

function recheckConforms(open: OpenStore): void {
  it('gives the right to re-check to one of 50 holders, until it is released or its time is over', async () => {
    const { store, clock } = await open();
    const claims = await parallel(50, (index) => store.sessions.claimRecheck('session-1', `holder-${index}`, 30));
    expect(claims.filter(Boolean)).toHaveLength(1);
    const winner = `holder-${claims.indexOf(true)}`;
    await store.sessions.releaseRecheck('session-1', 'somebody-else');
    expect(await store.sessions.claimRecheck('session-1', 'late', 30)).toBe(false);
    expect(await store.sessions.claimRecheck('session-1', winner, 30)).toBe(true);
    await store.sessions.releaseRecheck('session-1', winner);
    expect(await store.sessions.claimRecheck('session-1', 'late', 30)).toBe(true);
    clock.advance(30);
    expect(await store.sessions.claimRecheck('session-1', 'later', 30)).toBe(true);
  });
}
