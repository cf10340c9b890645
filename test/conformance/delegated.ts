import { expect, it } from 'vitest';

import { sessionKey } from '../../src/core/credential/revocation.ts';
import type { Delegation } from '../../src/core/delegation/delegation.ts';
import type { MintOutcome, NewSession } from '../../src/store/store.ts';
import { alice, newSession, openNow, parallel, replica, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const NAMES = ['claude', 'reviewer', 'third', 'fourth'];

/** Of a delegated session beneath those, with an actor for each level. */
export const delegationBeneath = (...ancestors: readonly string[]): Delegation => ({
  ancestors,
  actors: ancestors.map((_, index) => ({ name: NAMES[index] ?? 'more' })),
  clusters: ['prod'],
  limits: [{ preset: 'read-only', namespaces: ['shop'] }],
});

/** Tries to open a delegated session now. @param change its `delegation` says what it is beneath */
export async function delegate(
  { store, clock }: StoreUnderTest,
  change: Partial<NewSession> & Pick<NewSession, 'id' | 'delegation'>,
  mostDelegations = 20,
): Promise<MintOutcome> {
  const session = newSession(clock, await store.log.position(), { expiresAt: clock.seconds() + 3600, ...change });
  return await store.sessions.open(session, {}, { mostDelegations });
}

const reasonOf = (outcome: MintOutcome): string => (outcome.ok ? 'opened' : outcome.reason);

/** Opens `own`, beneath it `child` and `sibling`, and beneath the first `grandchild`. */
async function family(open: OpenStore, own: Partial<NewSession> = {}): Promise<StoreUnderTest> {
  const subject = await open();
  await openNow(subject, { id: 'own', ...own });
  const beneath = { child: ['own'], sibling: ['own'], grandchild: ['own', 'child'] };
  for (const [id, ancestors] of Object.entries(beneath)) {
    expect(reasonOf(await delegate(subject, { id, delegation: delegationBeneath(...ancestors) }))).toBe('opened');
  }
  return subject;
}

const listed = async ({ store }: StoreUnderTest, ancestor: string): Promise<readonly string[]> =>
  (await store.sessions.list({ ancestor, limit: 10 })).sessions.map(({ id }) => id);

/** Of the family, which are alive: by reading, and by a mint. */
async function alive({ store }: StoreUnderTest): Promise<readonly string[]> {
  const ids = ['own', 'child', 'sibling', 'grandchild'];
  const read = await Promise.all(ids.map(async (id) => (await store.sessions.read(id)) !== undefined));
  const minted = await Promise.all(ids.map(async (id) => (await store.sessions.mint(id, {})).ok));
  expect(minted).toEqual(read);
  return ids.filter((_, index) => read[index]);
}

export function delegatedSessionsConform(open: OpenStore): void {
  openingConforms(open);
  tallyConforms(open);
  livingConforms(open);
  endingConforms(open);
}

/** Each way of counting gives the number that the list has. */
function tallyConforms(open: OpenStore): void {
  it('counts sessions and accounts without those that have ended', async () => {
    const subject = await family(open);
    const { store, clock } = subject;
    await openNow(subject, { id: 'short', account: 'corp/2', subject: '2', expiresAt: clock.seconds() + 60 });
    await openNow(subject, { id: 'elsewhere', account: 'spare/1', provider: 'spare' });
    const all = async (username = alice.username) => [
      await store.sessions.tally({}),
      await store.sessions.tally({ account: 'corp/1' }),
      await store.sessions.tally({ ancestor: 'child' }),
      await store.sessions.tally({ provider: 'corp' }),
      await store.sessions.tally({ username }),
      await store.sessions.tally({ account: 'corp/3' }),
    ];
    const none = { sessions: 0, delegated: 0, users: 0, more: false };
    const family4 = { sessions: 4, delegated: 3, users: 1, more: false };
    const one = { sessions: 1, delegated: 1, users: 1, more: false };
    expect(await all()).toEqual([
      { ...family4, sessions: 6, users: 3 },
      family4,
      one,
      { ...family4, sessions: 5, users: 2 },
      { ...family4, sessions: 6, users: 3 },
      none,
    ]);
    clock.advance(61);
    const later = { ...family4, sessions: 5, users: 2 };
    expect(await all()).toEqual([later, family4, one, family4, later, none]);
    // No revocation names what is beneath it.
    await store.log.append({ requestId: 'r', target: { kind: 'provider', provider: 'corp' } });
    const spare = { ...none, sessions: 1, users: 1 };
    expect(await all()).toEqual([spare, none, none, none, spare, none]);
  });
}

function openingConforms(open: OpenStore): void {
  it('opens one with all that it is given, bound to its certificate from the start', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { id: 'own' });
    const delegation = { ...delegationBeneath('own'), sourceCidrs: ['192.0.2.0/24'] };
    const opened = await delegate(subject, { id: 'child', delegation, thumbprint: 'its-own' });
    const parentIdleAt = clock.seconds() + 3600;
    expect(opened).toMatchObject({
      ok: true,
      record: { id: 'child', delegation, thumbprint: 'its-own', identity: alice, parentIdleAt },
    });
    expect(await store.sessions.read('child')).toEqual(opened.ok && opened.record);
    expect(await store.sessions.read('own')).not.toHaveProperty('parentIdleAt');
    expect(await store.sessions.mint('child', {})).toEqual({ ok: false, reason: 'certificate_mismatch' });
    expect(await store.sessions.mint('child', { thumbprint: 'its-own' })).toMatchObject({ ok: true });
  });

  it('opens none beneath a session that is not there, was revoked, or ends before it', async () => {
    const subject = await family(open);
    const { store, clock } = subject;
    const tried = async (change: Partial<NewSession>, ...ancestors: readonly string[]) =>
      reasonOf(await delegate(subject, { id: 'new', delegation: delegationBeneath(...ancestors), ...change }));
    expect(await tried({}, 'unknown')).toBe('parent_over');
    expect(await tried({ expiresAt: clock.seconds() + 86_401 }, 'own')).toBe('parent_over');
    expect(await tried({ expiresAt: clock.seconds() + 3601 }, 'own', 'child')).toBe('parent_over');
    expect(await tried({ expiresAt: clock.seconds() + 3600 }, 'own', 'child')).toBe('opened');
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'own' } });
    expect(await tried({ id: 'newer' }, 'own', 'child')).toBe('parent_over');
    expect(await tried({ id: 'newer' }, 'own')).toBe('parent_over');
  });

  it('opens none beneath sessions of another account or provider, or in another order than they are', async () => {
    const subject = await family(open);
    await openNow(subject, { id: 'theirs', account: 'corp/2', subject: '2' });
    for (const ancestors of [['theirs'], ['own', 'grandchild'], ['child'], ['own', 'sibling', 'grandchild'], []]) {
      const outcome = await delegate(subject, { id: 'new', delegation: delegationBeneath(...ancestors) });
      expect(reasonOf(outcome), ancestors.join()).toBe('parent_over');
    }
    const chain = ['own', 'child', 'grandchild', 'fourth', 'fifth'];
    for (const [index, id] of chain.entries()) {
      if (index < 3) continue;
      const outcome = await delegate(subject, { id, delegation: delegationBeneath(...chain.slice(0, index)) });
      expect(reasonOf(outcome)).toBe('opened');
    }
    expect(reasonOf(await delegate(subject, { id: 'new', delegation: delegationBeneath(...chain) }))).toBe(
      'parent_over',
    );
    expect(await subject.store.sessions.read('new')).toBeUndefined();
  });

  it('leaves no need of a fresh sign-in when it alone is revoked, as no sign-in opens it', async () => {
    const { store } = await family(open);
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'grandchild' } });
    await store.log.append({ requestId: 's', target: { kind: 'session', session: 'child' } });
    expect(await store.freshSignIns.find('corp/1')).toBeUndefined();
    await store.log.append({ requestId: 't', target: { kind: 'session', session: 'own' } });
    expect(await store.freshSignIns.find('corp/1')).toBeDefined();
  });

  it('asks for no fresh sign-in, and for the account’s lock and watermark as ever', async () => {
    const subject = await family(open);
    const { store, clock } = subject;
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'elsewhere' } });
    await openNow(subject, { id: 'other', authTime: clock.seconds() });
    await store.log.append({ requestId: 's', target: { kind: 'session', session: 'other' } });
    expect(await store.freshSignIns.find('corp/1')).toBeDefined();
    expect(reasonOf(await delegate(subject, { id: 'new', delegation: delegationBeneath('own') }))).toBe('opened');
    const before = await store.log.position();
    const lock = { reason: 'stolen', by: 'admin', at: clock.seconds() };
    await store.log.append({ requestId: 't', target: { kind: 'account', account: 'corp/1' }, lock });
    expect(reasonOf(await delegate(subject, { id: 'newer', delegation: delegationBeneath('own') }))).toBe(
      'account_locked',
    );
    await store.locks.remove('corp/1');
    const late = { id: 'newer', delegation: delegationBeneath('own'), startedAt: before };
    expect(reasonOf(await delegate(subject, late))).toBe('session_revoked');
  });

  it('opens no more beneath a user’s own session than it may have, at any depth and however many come at once', async () => {
    const subject = await family(open);
    const tried = async (id: string, ancestors = ['own']) =>
      reasonOf(await delegate(subject, { id, delegation: delegationBeneath(...ancestors) }, 5));
    const outcomes = await parallel(6, (index) => tried(`new-${index}`, index % 2 === 0 ? ['own'] : ['own', 'child']));
    expect(outcomes.toSorted()).toEqual([...Array<string>(4).fill('delegations_too_many'), 'opened', 'opened']);
    // What has ended does not count, nor what was beneath it.
    await subject.store.log.append({ requestId: 'r', target: { kind: 'session', session: 'child' }, ended: true });
    expect(await tried('next')).toBe('opened');
    expect(await listed(subject, 'own')).toContain('next');
    await openNow(subject, { id: 'other-own' });
    expect(await tried('of-another', ['other-own'])).toBe('opened');
    expect(reasonOf(await delegate(subject, { id: 'none', delegation: delegationBeneath('other-own') }, 0))).toBe(
      'delegations_too_many',
    );
  });
}

function livingConforms(open: OpenStore): void {
  it('lists what is beneath a session, at any depth and nothing else, newest first', async () => {
    const subject = await family(open);
    await openNow(subject, { id: 'other' });
    expect(await listed(subject, 'own')).toEqual(['grandchild', 'sibling', 'child']);
    expect(await listed(subject, 'child')).toEqual(['grandchild']);
    expect(await listed(subject, 'grandchild')).toEqual([]);
    const only = async (which: 'own' | 'delegated', limit = 10) =>
      (await subject.store.sessions.list({ account: 'corp/1', only: which, limit })).sessions.map(({ id }) => id);
    expect(await only('own')).toEqual(['other', 'own']);
    expect(await only('delegated')).toEqual(['grandchild', 'sibling', 'child']);
    expect(await only('delegated', 1)).toEqual(['grandchild']);
    const account = await subject.store.sessions.list({ account: 'corp/1', limit: 10 });
    expect(account.sessions.map(({ id, delegation }) => [id, delegation?.ancestors.length ?? 0])).toEqual([
      ['other', 0],
      ['grandchild', 2],
      ['sibling', 1],
      ['child', 1],
      ['own', 0],
    ]);
    expect(await subject.store.sessions.count()).toBe(5);
  });

  it('has the identity of its user’s own session as it is now, and is found by its name', async () => {
    const subject = await family(open);
    const { store } = subject;
    const before = await store.log.position();
    const identity = { ...alice, username: 'corp:alice.new@example.com', groups: ['corp:on-call'] };
    await store.sessions.update('own', { identity, secret: {} });
    expect(await store.sessions.read('grandchild')).toMatchObject({ identity });
    expect(await store.sessions.mint('child', {})).toMatchObject({ ok: true, record: { identity } });
    const named = async (username: string) =>
      (await store.sessions.list({ username, limit: 10 })).sessions.map(({ id }) => id);
    expect(await named(identity.username)).toEqual(['grandchild', 'sibling', 'child', 'own']);
    expect(await named(alice.username)).toEqual([]);
    // It has none of its own that could be changed.
    const own = { ...identity, groups: ['system:masters'] };
    expect(await store.sessions.update('child', { identity: own, secret: {} })).toMatchObject({ identity });
    expect(await store.sessions.read('child')).toMatchObject({ identity });
    const renewed = await store.log.renew(replica(), before);
    const changes = renewed.ok ? renewed.entries.map(({ change }) => change) : [];
    expect(changes).toEqual([{ kind: 'identity-changed', key: sessionKey('own') }]);
  });

  it('does not keep its parent from becoming idle, and says when that will be', async () => {
    const subject = await family(open, { idleSeconds: 1000 });
    const { store, clock } = subject;
    clock.advance(600);
    const parentIdleAt = clock.seconds() + 400;
    expect(await store.sessions.mint('grandchild', {})).toMatchObject({ ok: true, record: { parentIdleAt } });
    clock.advance(399);
    expect(await store.sessions.mint('own', {})).toMatchObject({ ok: true });
    expect(await store.sessions.read('child')).toMatchObject({ parentIdleAt: clock.seconds() + 1000 });
    clock.advance(1000);
    for (const id of ['child', 'sibling', 'grandchild']) {
      expect(await store.sessions.mint(id, {})).toEqual({ ok: false, reason: 'parent_over' });
    }
    expect(await alive(subject)).toEqual([]);
    expect(await listed(subject, 'own')).toEqual([]);
  });

  it('ends what is beneath one that has become idle, and nothing else', async () => {
    const subject = await open();
    await openNow(subject, { id: 'own' });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('own'), idleSeconds: 10 });
    await delegate(subject, { id: 'grandchild', delegation: delegationBeneath('own', 'child') });
    await delegate(subject, { id: 'sibling', delegation: delegationBeneath('own') });
    subject.clock.advance(10);
    expect(await alive(subject)).toEqual(['own', 'sibling']);
    expect(await listed(subject, 'own')).toEqual(['sibling']);
    const all = await subject.store.sessions.list({ limit: 10 });
    expect(all.sessions.map(({ id }) => id)).toEqual(['sibling', 'own']);
    expect(await subject.store.sessions.count()).toBe(2);
  });
}

function endingConforms(open: OpenStore): void {
  const child = { id: 'child', name: 'claude', session: 'own' };
  const grandchild = { id: 'grandchild', name: 'claude/reviewer', session: 'child' };
  const sibling = { id: 'sibling', name: 'claude', session: 'own' };

  it.each([
    ['session', { kind: 'session', session: 'own' }, [child, sibling, grandchild], []],
    ['delegated session', { kind: 'session', session: 'child' }, [child, grandchild], ['own', 'sibling']],
    ['account', { kind: 'account', account: 'corp/1' }, [child, sibling, grandchild], []],
    ['provider', { kind: 'provider', provider: 'corp' }, undefined, []],
    ['everything', { kind: 'all' }, undefined, []],
  ] as const)('ends with a revoked %s all that is beneath it, by one entry, and names it', async (...row) => {
    const [, target, named, left] = row;
    const subject = await family(open);
    const { store } = subject;
    const before = await store.log.position();
    const appended = await store.log.append({ requestId: 'r', target });
    expect(appended.position.number).toBe(before.number + 1);
    expect(appended.sessions).toBe(4 - left.length);
    expect(appended.delegated?.count).toBe(named?.length);
    expect(new Set(appended.delegated?.labels)).toEqual(new Set(named));
    expect(await alive(subject)).toEqual(left);
    expect(await listed(subject, 'own')).toEqual(left.filter((id) => id !== 'own'));
    // A caller that lost the reply asks again, here or at another replica.
    const again = await store.log.append({ requestId: 'r', target });
    expect(again.delegated?.labels).toEqual(appended.delegated?.labels);
    expect(again.delegated?.count).toBe(named?.length);
  });

  it('ends what is beneath the browser session that a revoked one takes with it', async () => {
    const subject = await open();
    await openNow(subject, { id: 'browser' });
    await openNow(subject, { id: 'own', via: 'browser' });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('browser') });
    await subject.store.artefacts.save('RefreshToken', 'its', {}, { ttlSeconds: 60, session: 'child' });
    const target = { kind: 'session', session: 'own' } as const;
    const appended = await subject.store.log.append({ requestId: 'r', target });
    expect(appended.sessions).toBe(3);
    expect(appended.delegated).toEqual({ count: 1, labels: [{ ...child, session: 'browser' }] });
    expect(await subject.store.sessions.read('child')).toBeUndefined();
    expect(await subject.store.artefacts.find('RefreshToken', 'its')).toBeUndefined();
  });

  it('counts all, and names the first hundred', { timeout: 60_000 }, async () => {
    const subject = await open();
    await openNow(subject, { id: 'own' });
    for (let count = 0; count < 130; count += 10) {
      await parallel(10, (index) =>
        delegate(subject, { id: `child-${count + index}`, delegation: delegationBeneath('own') }, 200),
      );
    }
    const target = { kind: 'session', session: 'own' } as const;
    const { sessions, delegated } = await subject.store.log.append({ requestId: 'r', target, ended: true });
    expect([sessions, delegated?.count, delegated?.labels.length]).toEqual([131, 130, 100]);
    expect(await subject.store.sessions.count()).toBe(0);
  });
}
