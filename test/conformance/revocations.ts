import { expect, it } from 'vitest';

import { sessionKey, type RevocationTarget } from '../../src/core/credential/revocation.ts';
import { newSession, openNow, parallel, type OpenStore, type StoreUnderTest } from './fixtures.ts';

let requests = 0;

async function revoke({ store }: StoreUnderTest, target: RevocationTarget): Promise<number> {
  requests += 1;
  return (await store.log.append({ requestId: `request-${requests}`, target })).sessions;
}

/** Three users at two providers, two sessions of the first one. */
async function fourSessions(subject: StoreUnderTest): Promise<void> {
  await openNow(subject, { id: 'alice-1' });
  await openNow(subject, { id: 'alice-2' });
  await openNow(subject, { id: 'bob', account: 'corp/2', subject: '2' });
  await openNow(subject, { id: 'carol', account: 'hub/1', provider: 'hub', subject: '1' });
  for (const id of ['alice-1', 'alice-2', 'bob', 'carol']) {
    const options = { ttlSeconds: 600, session: id };
    await subject.store.artefacts.save('RefreshToken', `token-of-${id}`, {}, options);
  }
}

async function remaining({ store }: StoreUnderTest): Promise<string[]> {
  const ids = (await store.sessions.list({ limit: 10 })).sessions.map(({ id }) => id).toSorted();
  expect(await store.sessions.count()).toBe(ids.length);
  for (const id of ['alice-1', 'alice-2', 'bob', 'carol']) {
    const lives = ids.includes(id);
    expect((await store.artefacts.find('RefreshToken', `token-of-${id}`)) !== undefined, `token of ${id}`).toBe(lives);
    expect((await store.sessions.mint(id, {})).ok, `mint for ${id}`).toBe(lives);
    expect((await store.sessions.read(id)) !== undefined, `record of ${id}`).toBe(lives);
  }
  return ids;
}

export function revocationsConform(open: OpenStore): void {
  targetsConform(open);
  throughConforms(open);
  watermarksConform(open);
  racesConform(open);
}

function targetsConform(open: OpenStore): void {
  const table: readonly [RevocationTarget, number, string[]][] = [
    [{ kind: 'session', session: 'alice-1' }, 1, ['alice-2', 'bob', 'carol']],
    [{ kind: 'session', session: 'unknown' }, 0, ['alice-1', 'alice-2', 'bob', 'carol']],
    [{ kind: 'account', account: 'corp/1' }, 2, ['bob', 'carol']],
    [{ kind: 'provider', provider: 'corp' }, 3, ['carol']],
    [{ kind: 'all' }, 4, []],
  ];
  it.each(table)('ends the sessions of %o with their artefacts, and no others', async (target, ended, left) => {
    const subject = await open();
    await fourSessions(subject);
    expect(await revoke(subject, target)).toBe(ended);
    expect(await remaining(subject)).toEqual(left);
  });

  it('removes artefacts of a revoked session whose record never came', async () => {
    const subject = await open();
    await subject.store.artefacts.save('Grant', 'early', {}, { ttlSeconds: 600, session: 'early' });
    expect(await revoke(subject, { kind: 'session', session: 'early' })).toBe(0);
    expect(await subject.store.artefacts.find('Grant', 'early')).toBeUndefined();
  });

  const whole: readonly RevocationTarget[] = [
    { kind: 'account', account: 'corp/1' },
    { kind: 'provider', provider: 'corp' },
    { kind: 'all' },
  ];
  it.each(whole)('does not count sessions that had ended by themselves when %o is revoked', async (target) => {
    const subject = await open();
    const end = subject.clock.seconds() + 10;
    await openNow(subject, { id: 'idle', idleSeconds: 10 });
    await openNow(subject, { id: 'over', expiresAt: end });
    await openNow(subject, { id: 'alive' });
    subject.clock.advance(10);
    expect(await revoke(subject, target)).toBe(1);
  });

  it.each(whole)('counts a session that lives on by being used when %o is revoked', async (target) => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 100 });
    clock.advance(60);
    await store.sessions.mint('session-1', {});
    clock.advance(60);
    // Each sign-in clears away what has ended.
    await openNow(subject, { id: 'session-2' });
    expect(await revoke(subject, target)).toBe(2);
  });

  it('does not count a session that had ended by itself when it is revoked', async () => {
    const subject = await open();
    await openNow(subject, { id: 'idle', idleSeconds: 10 });
    await openNow(subject, { id: 'over', expiresAt: subject.clock.seconds() + 10 });
    subject.clock.advance(10);
    expect(await revoke(subject, { kind: 'session', session: 'idle' })).toBe(0);
    expect(await revoke(subject, { kind: 'session', session: 'over' })).toBe(0);
  });

  it.each(whole)('counts no session that was revoked before when %o is', async (target) => {
    const subject = await open();
    await openNow(subject, { id: 'before' });
    await openNow(subject, { id: 'alive' });
    await revoke(subject, { kind: 'session', session: 'before' });
    expect(await revoke(subject, target)).toBe(1);
  });

  it('ends more sessions than fit one batch', async () => {
    const subject = await open();
    for (let index = 0; index < 230; index += 1) await openNow(subject, { id: `s${index}` });
    expect(await revoke(subject, { kind: 'provider', provider: 'corp' })).toBe(230);
    expect((await subject.store.sessions.mint('s229', {})).ok).toBe(false);
    expect((await subject.store.sessions.list({ limit: 10 })).sessions).toEqual([]);
    await expect.poll(() => subject.store.sessions.count()).toBe(0);
  });
}

function throughConforms(open: OpenStore): void {
  const entriesOf = async ({ store }: StoreUnderTest) => (await store.log.join(300)).live.map(({ change }) => change);

  it('ends the browser session through which a session was opened, by an entry of its own', async () => {
    const subject = await open();
    await openNow(subject, { id: 'browser' });
    await subject.store.artefacts.save('BrowserCookie', 'cookie', {}, { ttlSeconds: 600, session: 'browser' });
    await openNow(subject, { id: 'kubectl', via: 'browser' });
    await openNow(subject, { id: 'other-browser' });
    expect((await subject.store.sessions.read('kubectl'))?.via).toBe('browser');
    const target = { kind: 'session', session: 'kubectl' } as const;
    const answer = await subject.store.log.append({ requestId: 'r', target });
    expect(answer).toMatchObject({ position: { number: 2 }, sessions: 2 });
    expect(await entriesOf(subject)).toEqual([
      { kind: 'revoked', key: sessionKey('browser') },
      { kind: 'revoked', key: sessionKey('kubectl') },
    ]);
    expect(await subject.store.artefacts.find('BrowserCookie', 'cookie')).toBeUndefined();
    expect((await subject.store.sessions.list({ limit: 10 })).sessions.map(({ id }) => id)).toEqual(['other-browser']);
    expect(await subject.store.log.append({ requestId: 'r', target })).toEqual(answer);
  });

  it('writes one entry where the browser session is gone already', async () => {
    const subject = await open();
    await openNow(subject, { id: 'kubectl', via: 'browser' });
    expect(await revoke(subject, { kind: 'session', session: 'kubectl' })).toBe(1);
    expect(await entriesOf(subject)).toEqual([{ kind: 'revoked', key: sessionKey('kubectl') }]);
  });

  it('leaves what was opened through a browser session when that one ends', async () => {
    const subject = await open();
    await openNow(subject, { id: 'browser' });
    await openNow(subject, { id: 'kubectl', via: 'browser' });
    expect(await revoke(subject, { kind: 'session', session: 'browser' })).toBe(1);
    expect((await subject.store.sessions.mint('kubectl', {})).ok).toBe(true);
  });
}

function watermarksConform(open: OpenStore): void {
  const table: readonly [string, RevocationTarget, boolean][] = [
    ['its account', { kind: 'account', account: 'corp/1' }, false],
    ['its provider', { kind: 'provider', provider: 'corp' }, false],
    ['all', { kind: 'all' }, false],
    ['another account', { kind: 'account', account: 'corp/2' }, true],
    ['another provider', { kind: 'provider', provider: 'hub' }, true],
    ['a session', { kind: 'session', session: 'session-0' }, true],
  ];
  it.each(table)('judges a sign-in that began before a revocation of %s', async (_name, target, opened) => {
    const subject = await open();
    const { store, clock } = subject;
    const startedAt = await store.log.position();
    await revoke(subject, target);
    const outcome = await store.sessions.open(newSession(clock, startedAt), {});
    expect(outcome).toMatchObject(opened ? { ok: true } : { ok: false, reason: 'session_revoked' });
    expect(await store.sessions.count()).toBe(opened ? 1 : 0);
  });

  it('lets someone sign in again who began after the revocation', async () => {
    const subject = await open();
    await openNow(subject, { id: 'before' });
    await revoke(subject, { kind: 'account', account: 'corp/1' });
    await openNow(subject, { id: 'after', authTime: subject.clock.seconds() });
    expect((await subject.store.sessions.mint('after', {})).ok).toBe(true);
    expect((await subject.store.sessions.mint('before', {})).ok).toBe(false);
  });

  it('remembers the revocation of a provider or of all for as long as any session could live', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const startedAt = await store.log.position();
    await revoke(subject, { kind: 'all' });
    clock.advance(30 * 86_400);
    await revoke(subject, { kind: 'session', session: 'unrelated' });
    const outcome = await store.sessions.open(newSession(clock, startedAt), {});
    expect(outcome).toEqual({ ok: false, reason: 'session_revoked' });
  });
}

function racesConform(open: OpenStore): void {
  it('mints nothing at or above the number of the revocation, however many of both come at once', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    const minted: number[] = [];
    const minting = parallel(50, async () => {
      let outcome = await store.sessions.mint('session-1', {});
      while (outcome.ok) {
        minted.push(outcome.position.number);
        outcome = await store.sessions.mint('session-1', {});
      }
    });
    const appending = parallel(50, async (index) => {
      const session = index === 25 ? 'session-1' : `other-${index}`;
      return await store.log.append({ requestId: `race-${index}`, target: { kind: 'session', session } });
    });
    const revokedAt = (await appending)[25]?.position.number ?? 0;
    await minting;
    // An entry covers what was minted below its number: what was minted at or above it would live on.
    expect(minted.length).toBeGreaterThan(0);
    expect(Math.max(...minted)).toBeLessThan(revokedAt);
  });

  it('opens no session above the number of its account’s revocation, however 50 of each race', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const startedAt = await store.log.position();
    await parallel(50, async (index) => {
      if (index === 25) await revoke(subject, { kind: 'account', account: 'corp/1' });
      else await store.sessions.open(newSession(clock, startedAt, { id: `s${index}` }), {});
    });
    expect(await store.sessions.count()).toBe(0);
    expect((await store.sessions.list({ limit: 10 })).sessions).toEqual([]);
  });
}
