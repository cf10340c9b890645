import { expect, it } from 'vitest';

import {
  HISTORY_SECONDS,
  MOST_DAILY_OF_ACCOUNT,
  MOST_GRANTS,
  MOST_GRANTS_OF_ACCOUNT,
  MOST_GRANTS_OF_SESSION,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
  type AccessRequest,
} from '../../src/core/access/request.ts';
import { cacheKey, sessionKey } from '../../src/core/credential/revocation.ts';
import {
  anAccessRequest,
  approved,
  approver,
  asked,
  changes,
  denied,
  entriesAfter,
  granted,
  grantsOf,
  grantTarget,
  opened,
  raise,
  reasonOf,
  stored,
} from './access-fixtures.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { openNow, parallel, type OpenStore } from './fixtures.ts';

export function requestsConform(open: OpenStore): void {
  it('gives back what was asked for, under its id, as version 1', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const request = anAccessRequest(clock, { deviceName: 'laptop', reason: '‮ {} \u0000 ' });
    expect(await store.access.create(request)).toEqual({ ok: true, stored: { request, version: 1 } });
    expect(await store.access.find(request.id)).toEqual({ request, version: 1 });
    expect(await store.access.find('unknown')).toBeUndefined();
    expect(reasonOf(await store.access.create(request))).toBe('request_changed');
    expect(await store.sessions.read('session-1')).not.toHaveProperty('grants');
  });

  it('are of a user who is known by the names of the last re-check, which ends no stream', async () => {
    const subject = await opened(open);
    const { store } = subject;
    const before = await store.sessions.read('session-1');
    if (before === undefined) throw new Error('there is no session');
    const { position } = await store.log.join(300);
    const { identity } = before;
    const knownAs = ['a.smith@example.com'];
    for (const change of [{ identity, knownAs }, { identity, knownAs }, { identity }]) {
      const updated = await store.sessions.update('session-1', { ...change, secret: {} });
      expect(updated).toMatchObject({ identity, knownAs, version: before.version + 1 });
    }
    const changed = { ...identity, groups: [] };
    await store.sessions.update('session-1', { identity: changed, secret: {} });
    expect(await store.sessions.read('session-1')).toMatchObject({ identity: changed, knownAs });
    const keys = [cacheKey('session-1'), sessionKey('session-1')];
    expect(changes(await entriesAfter(store, position))).toEqual(keys.map((key) => `identity-changed ${key}`));
  });

  it('takes none of a session that is over or delegated, of another account, of a locked one, or too late', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const tried = async (change: Partial<AccessRequest>) =>
      reasonOf(await store.access.create(anAccessRequest(clock, change)));
    await delegate(subject, { id: 'child', delegation: delegationBeneath('session-1') });
    expect(await tried({ session: 'unknown' })).toBe('session_over');
    expect(await tried({ account: 'corp/2' })).toBe('session_over');
    expect(await tried({ session: 'child' })).toBe('session_delegated');
    expect(await tried({ openUntil: clock.seconds() })).toBe('request_over');
    const lock = { reason: 'r', by: 'admin', at: clock.seconds() };
    await openNow(subject, { id: 'other', account: 'corp/9' });
    await store.log.append({ requestId: 'lock', target: { kind: 'account', account: 'corp/9' }, lock });
    expect(await tried({ session: 'other', account: 'corp/9' })).toBe('account_locked');
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'session-1' } });
    expect(await tried({})).toBe('session_over');
  });

  it('says of an open one that its session has ended, and the revocation counts those that it withdraws', async () => {
    const subject = await opened(open);
    const { store } = subject;
    await openNow(subject, { id: 'session-2', account: 'corp/1' });
    const gone = await asked(subject);
    await asked(subject, { session: 'session-2', terms: { ...gone.request.terms, name: 'other' } });
    const denied = await asked(subject, { terms: { ...gone.request.terms, name: 'third' } });
    await store.access.change(denied, { ...denied.request, state: 'denied' });
    const overOnes = async () =>
      (await store.access.list({ limit: 10 })).requests.map(({ sessionOver }) => sessionOver ?? false);
    expect(await overOnes()).toEqual([false, false, false]);
    const revoked = await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'session-1' } });
    expect([revoked.sessions, revoked.openRequests]).toEqual([1, 1]);
    // What was denied is over by itself.
    expect(await overOnes()).toEqual([false, false, true]);
    expect(await store.access.find(gone.request.id)).toMatchObject({ sessionOver: true, request: { state: 'open' } });
    const left = await store.access.list({
      open: true,
      limit: 10,
      where: (_, { sessionOver }) => sessionOver === true,
    });
    expect(left.requests.map(({ request }) => request.id)).toEqual([gone.request.id]);
    const again = await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'session-1' } });
    expect(again.openRequests).toBe(1);
    const all = await store.log.append({ requestId: 'q', target: { kind: 'account', account: 'corp/1' } });
    expect([all.sessions, all.openRequests]).toEqual([1, 1]);
    const none = await store.log.append({ requestId: 'p', target: { kind: 'account', account: 'corp/1' } });
    expect(none.openRequests).toBeUndefined();
  });

  it('changes only what was read: of a denial and a withdrawal at once, one is written', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    const both = await Promise.all([
      store.access.change(read, denied(clock, read)),
      store.access.change(read, { ...read.request, state: 'withdrawn' }),
    ]);
    expect(both.map(reasonOf).toSorted()).toEqual(['request_changed', 'written']);
    const now = await store.access.find(read.request.id);
    expect(now).toEqual(both.flatMap((write) => (write.ok ? [write.stored] : []))[0]);
    expect(now?.version).toBe(2);
    if (now === undefined) throw new Error('gone');
    expect(reasonOf(await store.access.change(now, { ...now.request, state: 'open' }))).toBe('request_over');
    expect(reasonOf(await store.access.begin(now, approved(clock, now), 60))).toBe('request_over');
    expect(await grantsOf(store)).toBeUndefined();
  });

  it('takes several approvals one after another, and changes nothing of what was shown to those who approve', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    const terms = { ...read.request.terms, groups: ['system:masters'] };
    const decisions = [approver(clock)];
    const next = { ...read.request, terms, session: 'another', account: 'corp/3', seconds: 9, decisions } as const;
    const changed = stored(await store.access.change(read, next));
    expect(changed).toEqual({ request: { ...read.request, decisions }, version: 2 });
    const begins = stored(await store.access.begin(changed, { ...next, state: 'granted' }, 60));
    expect(begins.request).toMatchObject({ ...read.request, state: 'granted', decisions });
    await expect(store.access.change(read, { ...read.request, state: 'granted' })).rejects.toThrow(RangeError);
  });

  it('lets a request that was not decided in time expire, and nothing else', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject, { openUntil: clock.seconds() + 100 });
    clock.advance(99);
    const later = stored(await store.access.change(read, { ...read.request, decisions: [approver(clock)] }));
    clock.advance(1);
    expect(reasonOf(await store.access.change(later, denied(clock, later)))).toBe('request_over');
    expect(reasonOf(await store.access.begin(later, approved(clock, later), 60))).toBe('request_over');
    expect(reasonOf(await store.access.begin(later, { ...later.request, state: 'expired' }, 60))).toBe('request_over');
    expect((await store.access.list({ open: true, limit: 10 })).requests).toEqual([later]);
    expect(reasonOf(await store.access.change(later, { ...later.request, state: 'expired' }))).toBe('written');
    expect((await store.access.list({ open: true, limit: 10 })).requests).toEqual([]);
  });

  it('lists newest first, in pages, all, of an account, and those that are open', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    await openNow(subject, { id: 'other', account: 'corp/2', subject: '2' });
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      const of = index % 2 === 0 ? {} : ({ session: 'other', account: 'corp/2' } as const);
      ids.unshift((await asked(subject, of)).request.id);
      if (index === 3) clock.advance(1);
    }
    const pages: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.access.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      pages.push(...page.requests.map(({ request }) => request.id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(pages).toEqual(ids);
    const first = await store.access.find(ids[0] ?? '');
    if (first === undefined) throw new Error('gone');
    await store.access.change(first, denied(clock, first));
    const listed = async (query: Omit<Parameters<typeof store.access.list>[0], 'limit'>) =>
      (await store.access.list({ ...query, limit: 10 })).requests.map(({ request }) => ids.indexOf(request.id));
    expect(await listed({})).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(await listed({ account: 'corp/1' })).toEqual([0, 2, 4, 6]);
    expect(await listed({ open: true })).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await listed({ account: 'corp/1', open: true })).toEqual([2, 4, 6]);
    expect(await listed({ where: ({ state }) => state === 'denied' })).toEqual([0]);
    await expect(store.access.list({ cursor: 'rubbish', limit: 1 })).rejects.toMatchObject({ reason: 'bad_cursor' });
  });

  it('keeps what is over for thirty days after its last change', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    await store.access.change(read, { ...read.request, state: 'withdrawn' });
    clock.advance(HISTORY_SECONDS - 1);
    expect(await store.access.find(read.request.id)).toMatchObject({ request: { state: 'withdrawn' } });
    clock.advance(1);
    expect(await store.access.find(read.request.id)).toBeUndefined();
    expect(await store.access.list({ limit: 10 })).toEqual({ requests: [] });
    expect(reasonOf(await store.access.change(read, read.request))).toBe('request_unknown');
    expect(await store.access.ended(read.request.id, {})).toBeUndefined();
  });

  it('shares no object with its callers', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const request = anAccessRequest(clock);
    const made = stored(await store.access.create(structuredClone(request)));
    Object.assign(made.request.terms, { groups: ['system:masters'] });
    const found = await store.access.find(request.id);
    Object.assign(found?.request.terms ?? {}, { groups: ['system:masters'] });
    expect((await store.access.find(request.id))?.request).toEqual(request);
  });
}

export function limitsConform(open: OpenStore): void {
  it('leaves an account ten open requests, and takes more once one is decided or too old', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    await openNow(subject, { id: 'other', account: 'corp/2', subject: '2' });
    const reads = [];
    for (let index = 0; index < MOST_OPEN_OF_ACCOUNT; index += 1) {
      reads.push(await asked(subject, index === 0 ? { openUntil: clock.seconds() + 10 } : {}));
    }
    const tried = async (change: Partial<AccessRequest> = {}) =>
      reasonOf(await store.access.create(anAccessRequest(clock, change)));
    expect(await tried()).toBe('requests_of_account_too_many');
    expect(await tried({ session: 'other', account: 'corp/2' })).toBe('written');
    const [, read = raise()] = reads;
    await store.access.change(read, { ...read.request, state: 'withdrawn' });
    expect(await tried()).toBe('written');
    expect(await tried()).toBe('requests_of_account_too_many');
    clock.advance(10);
    expect(await tried()).toBe('written');
    expect(await tried()).toBe('requests_of_account_too_many');
  });

  it.each([
    ['open requests', {}, MOST_OPEN, 'requests_too_many', 'requests_of_account_too_many'],
    ['grants', { grantSeconds: 60 }, MOST_GRANTS, 'grants_too_many', 'grants_of_account_too_many'],
  ])(
    'has %s of an account, and of a role, so that others find some',
    async (_what, options, most, ofRole, ofAccount) => {
      const subject = await open();
      const { store, clock } = subject;
      const users = most / 2 / MOST_OPEN_OF_ACCOUNT;
      for (let user = 0; user <= users; user += 1) {
        for (const part of [0, 1, 2]) {
          await openNow(subject, { id: `s${user}.${part}`, account: `corp/${user}`, subject: `${user}` });
        }
      }
      const { terms } = anAccessRequest(clock);
      const state = 'grantSeconds' in options ? 'granted' : 'open';
      const ask = async (user: number, index: number, role = 'break-glass') => {
        const session = `s${user}.${Math.floor(index / MOST_GRANTS_OF_SESSION)}`;
        const change = { session, account: `corp/${user}`, state, terms: { ...terms, name: role } } as const;
        return reasonOf(await store.access.create(anAccessRequest(clock, change), options));
      };
      const results: string[] = [];
      for (let user = 0; user < users; user += 1) {
        results.push(...(await parallel(MOST_GRANTS_OF_ACCOUNT, (index) => ask(user, index))));
      }
      expect(new Set(results)).toEqual(new Set(['written']));
      expect(await ask(0, MOST_GRANTS_OF_ACCOUNT)).toBe(ofAccount);
      expect(await ask(users, 0)).toBe(ofRole);
      expect(await ask(users, 0, 'another')).toBe('written');
      clock.advance(1);
      const [over] = (await store.access.list({ limit: 1, where: ({ terms: { name } }) => name === 'break-glass' }))
        .requests;
      if (over === undefined) throw new Error('none');
      if (state === 'open') await store.access.change(over, { ...over.request, state: 'withdrawn' });
      else await store.access.ended(over.request.id, { ending: 'user' });
      expect(await ask(users, 0)).toBe('written');
    },
  );

  it('begins no grant on the approval of a session that is over, or of a locked account', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    await openNow(subject, { id: 'first', account: 'corp/2', subject: '2' });
    await openNow(subject, { id: 'last', account: 'corp/3', subject: '3' });
    const read = await asked(subject);
    const approvals = [
      approver(clock, { session: 'first' }),
      approver(clock, { account: 'corp/3', session: 'last' }),
    ] as const;
    const begin = (decisions: AccessRequest['decisions']) =>
      store.access.begin(read, { ...read.request, state: 'granted', decisions }, 60);
    expect(reasonOf(await begin([approver(clock, { account: 'corp/4', session: 'first' })]))).toBe('approver_over');
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'first' } });
    expect(reasonOf(await begin(approvals))).toBe('approver_over');
    expect(await grantsOf(store)).toBeUndefined();
    expect(reasonOf(await begin([{ ...approvals[0], lapsed: 'session' }, approvals[1]]))).toBe('written');
    const again = await asked(subject);
    const lock = { reason: 'r', by: 'admin', at: clock.seconds() };
    await store.log.append({ requestId: 'lock', target: { kind: 'account', account: 'corp/3' }, lock });
    const next = { ...again.request, state: 'granted', decisions: [approvals[1]] } as const;
    expect(reasonOf(await store.access.begin(again, next, 60))).toBe('approver_over');
  });

  it('takes so many requests of an account within a day, whatever became of them', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 86_400 });
    for (let index = 0; index < MOST_DAILY_OF_ACCOUNT; index += 1) {
      const read = await asked(subject);
      await store.access.change(read, { ...read.request, state: 'withdrawn' });
    }
    const ask = () => store.access.create(anAccessRequest(clock));
    expect(reasonOf(await ask())).toBe('requests_of_account_too_many');
    clock.advance(86_400);
    await openNow(subject, { id: 'next' });
    expect(reasonOf(await store.access.create(anAccessRequest(clock, { session: 'next' })))).toBe('written');
  });

  it('gives a session five grants at a time', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const grants = [];
    for (let index = 0; index < MOST_GRANTS_OF_SESSION; index += 1) grants.push(await granted(subject));
    const read = await asked(subject);
    const again = () => store.access.begin(read, approved(clock, read), 60);
    expect(reasonOf(await again())).toBe('grants_of_session_too_many');
    expect(reasonOf(await store.access.create(anAccessRequest(clock), { grantSeconds: 60 }))).toBe(
      'grants_of_session_too_many',
    );
    expect(await store.access.find(read.request.id)).toEqual(read);
    await store.log.append({ requestId: 'end', target: grantTarget(grants[0] ?? raise()) });
    expect(reasonOf(await again())).toBe('written');
  });
}
