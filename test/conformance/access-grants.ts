import { expect, it, vi } from 'vitest';

import { LONGEST_GRANT_SECONDS } from '../../src/core/access/request.ts';
import { cacheKey, grantKey, targetKey, type RevocationTarget } from '../../src/core/credential/revocation.ts';
import type { ActiveGrant, SessionRecord } from '../../src/store/store.ts';
import {
  anAccessRequest,
  approved,
  asked,
  begun,
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

export function beginningConforms(open: OpenStore): void {
  it('puts the grant into its session, for every way in which that is read, and has replicas read it again', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const { position } = await store.log.join(300);
    const read = await asked(subject);
    expect(await entriesAfter(store, position)).toEqual([]);
    const { request, version } = await begun(subject, read, 1800);
    expect(version).toBe(2);
    const { beganAt = 0, endsAt = 0 } = request.grant ?? {};
    expect(endsAt - beganAt).toBe(1_800_000);
    expect(request).toEqual({ ...approved(clock, read), grant: { beganAt, endsAt } });
    expect(await store.access.find(request.id)).toEqual({ request, version: 2 });
    const grant = { id: request.id, role: 'shop-admins', groups: ['shop-admins'], clusters: ['prod'], endsAt };
    const minted = await store.sessions.mint('session-1', {});
    const listed = (await store.sessions.list({ limit: 10 })).sessions[0];
    const updated = await store.sessions.update('session-1', { identity: listed?.identity ?? raise(), secret: {} });
    for (const record of [await store.sessions.read('session-1'), minted.ok && minted.record, listed, updated]) {
      const { grants = [] } = record as SessionRecord;
      expect(grants).toEqual([{ ...grant, leftMs: expect.any(Number) }]);
      expect(grants[0]?.leftMs).toBeGreaterThan(1_795_000);
      expect(grants[0]?.leftMs).toBeLessThanOrEqual(1_800_000);
    }
    expect(changes(await entriesAfter(store, position))).toEqual([`identity-changed ${cacheKey('session-1')}`]);
  });

  it('begins at once what needs no approval, in the script that stores the request', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const { position } = await store.log.join(300);
    const request = anAccessRequest(clock, { terms: { ...anAccessRequest(clock).terms, approval: 'none' } });
    const made = stored(await store.access.create(request, { grantSeconds: 60 }));
    expect(made).toMatchObject({ version: 1, request: { state: 'granted', grant: {} } });
    expect(await grantsOf(store)).toEqual([request.id]);
    expect(changes(await entriesAfter(store, position))).toEqual([`identity-changed ${cacheKey('session-1')}`]);
    for (const seconds of [0, -1, 0.5, Number.NaN, LONGEST_GRANT_SECONDS + 1]) {
      await expect(store.access.create(anAccessRequest(clock), { grantSeconds: seconds })).rejects.toThrow(RangeError);
    }
  });

  it('begins once, of many approvals at once', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    const all = await parallel(8, () => store.access.begin(read, approved(clock, read), 60));
    const results = all.map(reasonOf);
    expect(results.filter((result) => result === 'written')).toHaveLength(1);
    expect(results.filter((result) => result === 'request_changed')).toHaveLength(7);
    expect(await grantsOf(store)).toEqual([read.request.id]);
    expect(await store.access.active()).toHaveLength(1);
  });

  it('lets of a denial and an approval at once exactly one count', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    for (let round = 0; round < 4; round += 1) {
      const read = await asked(subject);
      const [begin, change] = await Promise.all([
        store.access.begin(read, approved(clock, read), 60),
        store.access.change(read, denied(clock, read)),
      ]);
      expect([begin, change].map(reasonOf).toSorted()).toEqual(['request_changed', 'written']);
      expect(((await grantsOf(store)) ?? []).includes(read.request.id)).toBe(begin.ok);
    }
  });

  it('begins nothing that is not known', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const never = { request: anAccessRequest(clock), version: 1 };
    expect(reasonOf(await store.access.begin(never, approved(clock, never), 60))).toBe('request_unknown');
    expect(reasonOf(await store.access.change(never, never.request))).toBe('request_unknown');
  });

  it.each(['session', 'account', 'provider', 'all'] as const)(
    'begins nothing after a revocation by %s, and ends with one that comes after',
    async (kind) => {
      const subject = await opened(open);
      const { store, clock } = subject;
      const before = await granted(subject);
      const read = await asked(subject);
      const targets = {
        session: { kind: 'session', session: 'session-1' },
        account: { kind: 'account', account: 'corp/1' },
        provider: { kind: 'provider', provider: 'corp' },
        all: { kind: 'all' },
      } as const;
      await store.log.append({ requestId: 'r', target: targets[kind] });
      expect(reasonOf(await store.access.begin(read, approved(clock, read), 60))).toBe('session_over');
      expect(await grantsOf(store)).toBeUndefined();
      const active = await store.access.active();
      expect(active.map(({ stored: { request }, sessionActive }) => [request.id, sessionActive])).toEqual([
        [before.request.id, false],
      ]);
    },
  );

  it('lets a revocation and a begin at once never leave a grant in a session that lives', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    const target = { kind: 'account', account: 'corp/1' } as const;
    const lock = { reason: 'r', by: 'admin', at: clock.seconds() };
    const [begin] = await Promise.all([
      store.access.begin(read, approved(clock, read), 60),
      store.log.append({ requestId: 'r', target, lock }),
    ]);
    expect(['written', 'account_locked']).toContain(reasonOf(begin));
    expect(await store.sessions.read('session-1')).toBeUndefined();
    expect((await store.access.active()).map(({ sessionActive }) => sessionActive)).toEqual(begin.ok ? [false] : []);
  });

  it('begins nothing in a session that has expired, by its absolute or by its idle end', async () => {
    const subject = await open();
    const { store, clock } = subject;
    for (const [id, ends] of [
      ['idle', { idleSeconds: 100 }],
      ['absolute', { expiresAt: clock.seconds() + 100 }],
    ] as const) {
      await openNow(subject, { id, ...ends });
    }
    const [idle, absolute] = [await asked(subject, { session: 'idle' }), await asked(subject, { session: 'absolute' })];
    clock.advance(100);
    for (const read of [idle, absolute]) {
      expect(reasonOf(await store.access.begin(read, approved(clock, read), 60))).toBe('session_over');
    }
  });

  it('reaches no delegated session beneath, and no other session of the account', async () => {
    const subject = await opened(open);
    const { store } = subject;
    await openNow(subject, { id: 'other' });
    await delegate(subject, { id: 'child', delegation: delegationBeneath('session-1') });
    await granted(subject);
    for (const id of ['other', 'child']) expect(await store.sessions.read(id)).not.toHaveProperty('grants');
    const beneath = await store.sessions.list({ ancestor: 'session-1', limit: 10 });
    expect(beneath.sessions.map(({ grants }) => grants)).toEqual([undefined]);
  });
}

export function endingConforms(open: OpenStore): void {
  it('is over by the store’s clock, with no message', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const long = await granted(subject);
    const short = await granted(subject, {}, 1);
    expect(await grantsOf(store)).toEqual([long.request.id, short.request.id]);
    // Memory has the clock of the test. Redis has its own, which no replica's clock moves.
    await vi.waitFor(
      async () => {
        clock.advance(0.1);
        expect(await grantsOf(store)).toEqual([long.request.id]);
      },
      { timeout: 10_000, interval: 50 },
    );
    const active = await store.access.active();
    const left = active.find(({ stored: { request } }) => request.id === short.request.id)?.leftMs;
    expect(left).toBeLessThanOrEqual(0);
    // What is over is removed when the next one begins.
    const next = await granted(subject);
    expect(await grantsOf(store)).toEqual([long.request.id, next.request.id]);
  });

  it('ends one by a revocation of its own: first the session is read again, then the grant is over', async () => {
    const subject = await opened(open);
    const { store } = subject;
    const { position } = await store.log.join(300);
    const [first, second] = [await granted(subject), await granted(subject)];
    const appended = await store.log.append({ requestId: 'end', target: grantTarget(first) });
    expect(appended).toMatchObject({ sessions: 0 });
    expect(await grantsOf(store)).toEqual([second.request.id]);
    const entries = await entriesAfter(store, position);
    const notice = `identity-changed ${cacheKey('session-1')}`;
    expect(changes(entries)).toEqual([notice, notice, notice, `revoked ${grantKey(first.request.id)}`]);
    expect(entries.at(-1)?.number).toBe(appended.position.number);
    expect(await store.freshSignIns.find('corp/1')).toBeUndefined();
    expect(await store.sessions.mint('session-1', {})).toMatchObject({ ok: true });
  });

  it('leaves nothing of a grant in a session that was proven, and has another identity, while it lasted', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const grant = await granted(subject);
    const proven = await store.sessions.prove('session-1', clock.seconds());
    const identity = { ...(proven?.identity ?? raise()), groups: ['corp:on-call'] };
    const updated = await store.sessions.update('session-1', { identity, secret: {} });
    for (const record of [proven, updated]) expect(record?.grants).toHaveLength(1);
    expect(updated).toMatchObject({ identity, authTime: clock.seconds() });
    await store.log.append({ requestId: 'end', target: grantTarget(grant) });
    expect(await store.sessions.read('session-1')).not.toHaveProperty('grants');
  });

  it('writes the end of a grant once, and tells another one that has its request id', async () => {
    const subject = await opened(open);
    const { store } = subject;
    const [first, second] = [await granted(subject), await granted(subject)];
    const request = { requestId: 'end', target: grantTarget(first) };
    expect(await store.log.hasWritten(request)).toBe(false);
    const appended = await store.log.append(request);
    expect(await store.log.hasWritten(request)).toBe(true);
    expect(await store.log.append(request)).toEqual(appended);
    expect((await store.log.position()).number).toBe(appended.position.number);
    await expect(store.log.append({ ...request, target: grantTarget(second) })).rejects.toMatchObject({
      reason: 'request_id_reused',
    });
    expect(await grantsOf(store)).toEqual([second.request.id]);
  });

  it('keeps the entry until the grant would have been over, however short tokens are', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    await store.log.join(1);
    const grant = await granted(subject, {}, 7200);
    const began = clock.seconds();
    await store.log.append({ requestId: 'end', target: grantTarget(grant) });
    const unknown = { kind: 'grant', grant: 'unknown', session: 'session-1' } as const;
    await store.log.append({ requestId: 'unknown', target: unknown });
    const { live } = await store.log.join(1);
    const until = (target: RevocationTarget) =>
      live.find(({ change }) => change.kind === 'revoked' && change.key === targetKey(target))?.until ?? 0;
    expect(until(grantTarget(grant))).toBeGreaterThanOrEqual(began + 7200 + 120);
    // No one knows how long it would have lasted.
    expect(until(unknown)).toBeGreaterThanOrEqual(began + LONGEST_GRANT_SECONDS + 120);
  });

  it('notes how a grant ended, once: the first ending counts', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const read = await asked(subject);
    expect(await store.access.ended(read.request.id, { ending: 'admin' })).toEqual(read);
    const grant = await begun(subject, read);
    await store.log.append({ requestId: 'end', target: grantTarget(grant) });
    const first = await store.access.ended(grant.request.id, { ending: 'user', endedBy: 'alice', revocation: 'r-1' });
    const { grant: period } = grant.request;
    expect(first).toEqual({
      version: 3,
      request: {
        ...grant.request,
        state: 'ended',
        grant: { ...period, endedAt: clock.seconds(), ending: 'user', endedBy: 'alice', revocation: 'r-1' },
      },
    });
    expect(await store.access.ended(grant.request.id, { ending: 'expired' })).toEqual(first);
    expect(await store.access.find(grant.request.id)).toEqual(first);
    expect(await store.access.active()).toEqual([]);
    expect(await store.access.ended('unknown', { ending: 'expired' })).toBeUndefined();
  });

  it('lists those that go on page by page, in the order in which they were asked for', async () => {
    const subject = await opened(open);
    const { store, clock } = subject;
    const terms = { ...anAccessRequest(clock).terms, approval: 'none' } as const;
    const ids: string[] = [];
    for (let user = 0; user < 11; user += 1) {
      const of = { session: `many-${user}`, account: `corp/many-${user}` } as const;
      await openNow(subject, { id: of.session, account: of.account, subject: `many-${user}` });
      for (let count = 0; count < 5; count += 1) {
        const request = anAccessRequest(clock, { ...of, terms });
        ids.push(stored(await store.access.create(request, { grantSeconds: 60 })).request.id);
      }
    }
    const idsOf = (grants: readonly ActiveGrant[]) => grants.map(({ stored: found }) => found.request.id);
    const first = await store.access.activePage();
    const second = await store.access.activePage(first.cursor);
    expect([idsOf(first.grants), idsOf(second.grants)]).toEqual([ids.slice(0, 50), ids.slice(50)]);
    expect(second.cursor).toBeUndefined();
    expect(second.grants[0]).toMatchObject({ sessionActive: true });
    await expect(store.access.activePage('first')).rejects.toMatchObject({ code: 'bad_request' });
    expect(idsOf(await store.access.active())).toEqual(ids);
  });

  it('notes of one that goes on what was audited and who is ending it, which changes nothing else', async () => {
    const subject = await opened(open);
    const { store } = subject;
    const { position } = await store.log.join(300);
    const read = await asked(subject);
    const { id } = read.request;
    expect(await store.access.note(id, { audited: true, ending: 'admin' })).toEqual(read);
    const { request } = await begun(subject, read);
    await store.access.note(id, { audited: true });
    const first = { ending: 'user', endedBy: 'alice', revocation: 'r-1' } as const;
    await store.access.note(id, first);
    await store.access.note(id, { audited: true, ending: 'admin', endedBy: 'root', revocation: 'r-2' });
    const noted = { ...request, grant: { ...request.grant, audited: true, ...first } };
    expect(await store.access.find(id)).toEqual({ version: 4, request: noted });
    expect((await store.access.active()).map(({ stored: found }) => found.request)).toEqual([noted]);
    expect(await grantsOf(store)).toEqual([id]);
    expect(changes(await entriesAfter(store, position))).toEqual([`identity-changed ${cacheKey('session-1')}`]);
    const ended = await store.access.ended(id, { ending: 'user' });
    expect(await store.access.note(id, { ending: 'admin' })).toEqual(ended);
    expect(await store.access.note('unknown', { audited: true })).toBeUndefined();
  });

  it('notes one ending of two at once', async () => {
    const subject = await opened(open);
    const { store } = subject;
    const grant = await granted(subject);
    const endings = await parallel(4, (index) =>
      store.access.ended(grant.request.id, { ending: 'admin', endedBy: `admin-${index}` }),
    );
    expect(new Set(endings.map((ending) => ending?.request.grant?.endedBy)).size).toBe(1);
  });

  it('names every grant whose end is not written, whatever became of its session', async () => {
    const subject = await opened(open);
    const { store } = subject;
    await openNow(subject, { id: 'other' });
    const [here, there] = [await granted(subject), await granted(subject, { session: 'other' })];
    await asked(subject);
    await store.log.append({ requestId: 'out', target: { kind: 'session', session: 'other' }, ended: true });
    const active = await store.access.active();
    expect(new Map(active.map((one) => [one.stored.request.id, one.sessionActive]))).toEqual(
      new Map([
        [here.request.id, true],
        [there.request.id, false],
      ]),
    );
    expect(active.map(({ stored: read }) => read)).toEqual(expect.arrayContaining([here, there]));
    for (const { leftMs } of active) expect(leftMs).toBeGreaterThan(1_795_000);
    await store.access.ended(there.request.id, { ending: 'session' });
    expect((await store.access.active()).map(({ stored: { request } }) => request.id)).toEqual([here.request.id]);
  });

  it('lets one replica at a time write the end of a grant', async () => {
    const { store, clock } = await open();
    const claims = await parallel(5, (index) => store.access.claimEnding('grant', `replica-${index}`, 10));
    expect(claims.filter(Boolean)).toHaveLength(1);
    const holder = `replica-${claims.indexOf(true)}`;
    expect(await store.access.claimEnding('grant', holder, 10)).toBe(true);
    expect(await store.access.claimEnding('another', 'replica-9', 10)).toBe(true);
    clock.advance(10);
    expect(await store.access.claimEnding('grant', 'replica-9', 10)).toBe(true);
  });
}
