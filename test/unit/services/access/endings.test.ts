import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROLE, Stage, problem } from './stage.ts';

const ORDER = { role: 'shop-admins', seconds: 600, reason: 'INC-4711' };

let stage: Stage;
beforeEach(async () => {
  stage = new Stage();
  await stage.start();
});
afterEach(() => stage.guard.stop());

/** Alice has the role; the events so far are forgotten. @returns the id */
async function granted(access: ReturnType<Stage['access']>): Promise<string> {
  const { id } = await access.requests.request(await stage.caller('alice'), ORDER);
  await access.requests.approve(await stage.caller('bob'), id);
  stage.audited.splice(0);
  stage.counted.splice(0);
  return id;
}
const stored = async (id: string) => (await stage.store.access.find(id))?.request;
const facts = () =>
  stage.audited.map(({ annotations }) =>
    Object.fromEntries(
      ['event', 'ending', 'by', 'complete', 'receipts', 'account', 'session', 'role'].flatMap((name) => {
        const value = annotations[`portcullis.dev/${name}`];
        return value === undefined ? [] : [[name, value]];
      }),
    ),
  );

/** The guard of this stage with another value of a member: of another replica, or of a fenced one. */
const guardWith = (member: 'incarnation' | 'fenced', value: unknown) =>
  new Proxy(stage.guard, {
    get: (guard, name) => {
      if (name === member) return value;
      const own: unknown = Reflect.get(guard, name, guard);
      return typeof own === 'function' ? (own.bind(guard) as unknown) : own;
    },
  });

const ENDED = {
  event: 'access-ended',
  complete: 'true',
  receipts: 'a=applied',
  account: 'corp/alice',
  session: 'alice',
  role: 'shop-admins',
};

describe('the end of a grant', () => {
  it('by its time is found, proven, audited once and kept with its receipt', async () => {
    const access = stage.access();
    const id = await granted(access);
    stage.nowMs += 599_000;
    await access.endings.check();
    expect(stage.audited).toEqual([]);
    stage.nowMs += 1000;
    const other = stage.access({}, { guard: guardWith('incarnation', 'another replica') });
    await Promise.all([access.endings.check(), other.endings.check()]);
    await access.endings.check();
    expect(facts()).toEqual([{ ...ENDED, ending: 'expired' }]);
    const request = await stored(id);
    expect(request).toMatchObject({ state: 'ended', grant: { ending: 'expired' } });
    const receipt = await access.results.find(request?.grant?.revocation ?? '');
    expect(receipt).toMatchObject({ complete: true, target: `grant:${id}`, replicas: [{ id: 'a', state: 'applied' }] });
    expect(stage.counted).toEqual(['grant ended shop-admins']);
    expect((await stage.store.sessions.read('alice'))?.grants ?? []).toEqual([]);
  });

  it.each([
    ['its user', 'alice', 'user'],
    ['an approver of its role', 'carol', 'approver'],
    ['an admin', 'root', 'admin'],
  ])('by %s is a revocation of the grant alone', async (_who, session, ending) => {
    const access = stage.access();
    const id = await granted(access);
    const { result, request } = await access.requests.end(await stage.caller(session), id, 'done');
    expect(result).toMatchObject({ complete: true, sessions: 0 });
    expect(request).toMatchObject({ state: 'ended', grant: { ending, endedBy: `corp:${session}@example.com` } });
    expect(facts()).toEqual([{ ...ENDED, ending, by: `corp:${session}@example.com` }]);
    const own = await stage.store.sessions.read('alice');
    expect(own).toMatchObject({ id: 'alice' });
    expect(own?.grants ?? []).toEqual([]);
    expect(await stage.store.freshSignIns.find('corp/alice')).toBeUndefined();
    expect(await problem(access.requests.end(await stage.caller(session), id))).toBe('409 grant_over');
  });

  it('is for no auditor and no other user, and for an admin only after a fresh sign-in', async () => {
    const access = stage.access();
    const id = await granted(access);
    expect(await problem(access.requests.end(await stage.caller('audrey'), id))).toBe('403 may_not_end');
    expect(await problem(access.requests.end(await stage.caller('mallory'), id))).toBe('404 request_not_found');
    await stage.signIn('old-root', { groups: ['corp:platform'] }, { authTime: stage.seconds - 2000 });
    expect(await problem(access.requests.end(await stage.caller('old-root'), id))).toBe('401 fresh_sign_in_needed');
    expect((await stored(id))?.state).toBe('granted');
  });

  it('with its session is noted without a second revocation', async () => {
    const access = stage.access();
    const id = await granted(access);
    await stage.guard.revoke({ target: { kind: 'session', session: 'alice' } });
    await access.endings.check();
    const { complete: _complete, receipts: _receipts, ...rest } = ENDED;
    expect(facts()).toEqual([{ ...rest, ending: 'session' }]);
    expect(await stored(id)).toMatchObject({ state: 'ended', grant: { ending: 'session' } });
    expect((await stored(id))?.grant?.revocation).toBeUndefined();
  });

  it('comes when the role is not configured any more', async () => {
    const id = await granted(stage.access());
    await stage.access({ roles: [{ ...ROLE, name: 'other' }] }).endings.check();
    expect(facts()).toEqual([{ ...ENDED, ending: 'role' }]);
    expect((await stored(id))?.grant?.ending).toBe('role');
  });

  it('comes when the user has left the groups that may ask: at once where the session says so', async () => {
    const access = stage.access();
    const id = await granted(access);
    await access.endings.check();
    const record = await stage.store.sessions.read('alice');
    if (record === undefined) throw new Error('no session');
    await stage.store.sessions.update('alice', {
      identity: { ...record.identity, groups: ['shop-admins'] },
      secret: {},
    });
    await stage.guard.refresh();
    await access.endings.check();
    expect(facts()).toEqual([{ ...ENDED, ending: 'group' }]);
    expect((await stored(id))?.grant?.ending).toBe('group');
  });

  it('is written by another replica where the first one has died in between', async () => {
    const id = await granted(stage.access());
    stage.nowMs += 600_000;
    // Claimed, revoked, and never noted.
    await stage.store.access.claimEnding(id, 'a replica that is gone', 30);
    const access = stage.access();
    await access.endings.check();
    expect(stage.audited).toEqual([]);
    stage.nowMs += 30_000;
    await access.endings.check();
    expect(facts()).toEqual([{ ...ENDED, ending: 'expired' }]);
  });

  it('is one revocation, however often it is written', async () => {
    const access = stage.access();
    const id = await granted(access);
    const ended = stage.store.access.ended.bind(stage.store.access);
    stage.store.access.ended = () => Promise.reject(new Error('cut'));
    expect(await problem(access.requests.end(await stage.caller('alice'), id))).toBe('500 internal');
    stage.store.access.ended = ended;
    const before = await stage.store.log.position();
    await access.requests.end(await stage.caller('alice'), id);
    expect(await stage.store.log.position()).toEqual(before);
    expect((await stored(id))?.state).toBe('ended');
  });

  it.each([
    ['by its user', 'alice'],
    ['with its session', undefined],
  ])('%s is audited and told once, also where a sweep has read it just before that was noted', async (_how, by) => {
    const access = stage.access();
    const id = await granted(access);
    const { access: store } = stage.store;
    const [active, ended] = [store.active.bind(store), store.ended.bind(store)];
    store.ended = async (...args) => {
      const read = await active();
      store.active = () => Promise.resolve(read);
      return await ended(...args);
    };
    if (by === undefined) await stage.guard.revoke({ target: { kind: 'session', session: 'alice' } });
    else await access.requests.end(await stage.caller(by), id);
    await access.endings.check();
    await access.endings.check();
    expect(stage.audited.map(({ annotations }) => annotations['portcullis.dev/event'])).toEqual(['access-ended']);
    expect(stage.notices.filter(({ kind }) => kind === 'ended')).toHaveLength(1);
  });

  it('is a revocation with an id that no one who knows the request can know beforehand', async () => {
    const ids: (string | undefined)[] = [];
    const { access, guard } = { access: stage.access(), guard: stage.guard };
    const id = await granted(access);
    const request = await stored(id);
    if (request === undefined) throw new Error('no request');
    await access.requests.end(await stage.caller('alice'), id);
    ids.push((await stored(id))?.grant?.revocation);
    // The same request, in another store.
    await guard.stop();
    stage = new Stage();
    await stage.start();
    await stage.store.access.create({ ...request, state: 'granted' }, { grantSeconds: 600 });
    await stage.access().requests.end(await stage.caller('alice'), id);
    ids.push((await stored(id))?.grant?.revocation);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(2);
  });

  it('is not looked for while the replica is fenced or the audit log cannot be written', async () => {
    const id = await granted(stage.access());
    stage.nowMs += 600_000;
    await stage.access({}, { audit: { record: () => undefined, blocked: true } }).endings.check();
    await stage.access({}, { guard: guardWith('fenced', true) }).endings.check();
    expect((await stored(id))?.state).toBe('granted');
  });
});

describe('a request whose session has ended', () => {
  it('waits for no one from then on, is withdrawn and audited once, and the revocation counts it', async () => {
    const access = stage.access();
    const { id } = await access.requests.request(await stage.caller('alice'), ORDER);
    const bob = await stage.caller('bob');
    const queue = async () => (await access.requests.queue(bob, { limit: 10 })).requests.map((one) => one.id);
    expect(await queue()).toEqual([id]);
    stage.events();
    const result = await stage.guard.revoke({ target: { kind: 'account', account: 'corp/alice' } });
    expect(result.requestsWithdrawn).toBe(1);
    // Before any replica has written it.
    expect((await stored(id))?.state).toBe('open');
    expect(await queue()).toEqual([]);
    const seen = await access.requests.find(bob, id);
    expect([seen.state, seen.sessionEnded, access.requests.may(bob, seen)]).toEqual(['withdrawn', true, []]);
    expect(await problem(access.requests.approve(bob, id))).toBe('409 requester_gone');
    stage.audited.splice(0);
    await Promise.all([access.endings.check(), stage.access().endings.check()]);
    expect(facts()).toEqual([
      { event: 'access-denied', ending: 'session', account: 'corp/alice', session: 'alice', role: 'shop-admins' },
    ]);
    expect(await stored(id)).toMatchObject({ state: 'withdrawn', sessionEnded: true });
    expect(stage.counted.at(-1)).toBe('withdrawn shop-admins');
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['requested', 'withdrawn']);
    expect(await problem(access.requests.approve(bob, id))).toBe('409 requester_gone');
  });
});

describe('a request that no one decides about', () => {
  it('expires after a day, audited once', async () => {
    const access = stage.access();
    const { id } = await access.requests.request(await stage.caller('alice'), ORDER);
    stage.events();
    stage.nowMs += 86_400_000;
    await Promise.all([access.endings.check(), stage.access().endings.check()]);
    expect(stage.events()).toEqual(['access-denied 200']);
    expect((await stored(id))?.state).toBe('expired');
    expect(stage.counted.at(-1)).toBe('expired shop-admins');
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['requested', 'expired']);
  });
});
