import { expect, it } from 'vitest';

import type { RecentRequest, Store } from '../../src/store/store.ts';
import { openNow, parallel, type OpenStore } from './fixtures.ts';

export const aRequest = (change: Partial<RecentRequest> = {}): RecentRequest => ({
  at: Date.UTC(2031, 0, 1),
  auditId: 'request-1',
  cluster: 'prod',
  verb: 'list',
  uri: '/api/v1/namespaces/shop/pods',
  resource: 'pods',
  namespace: 'shop',
  code: 200,
  address: '192.0.2.7',
  ...change,
});

/** Requests by number, a second apart. */
export const requests = (first: number, count: number): RecentRequest[] =>
  Array.from({ length: count }, (_, index) =>
    aRequest({ auditId: `request-${first + index}`, at: Date.UTC(2031, 0, 1) + (first + index) * 1000 }),
  );

const numbersOf = async ({ recent }: Store, session = 'session-1'): Promise<readonly number[]> =>
  (await recent.read(session)).map(({ auditId }) => Number(auditId.slice('request-'.length)));

const downFrom = (last: number, count: number): number[] => Array.from({ length: count }, (_, index) => last - index);

/** What is shown of the latest requests of a session. */
export function recentRequestsConform(open: OpenStore): void {
  it('gives back what was added, newest first', async () => {
    const subject = await open();
    await openNow(subject);
    const { recent } = subject.store;
    expect(await recent.read('session-1')).toEqual([]);
    const refused = aRequest({
      auditId: 'request-2',
      at: aRequest().at + 1,
      code: 403,
      reason: 'impersonation_refused',
    });
    await recent.add('session-1', [aRequest(), refused]);
    const third = aRequest({ auditId: 'request-3', at: aRequest().at + 2, name: 'web-0', impersonatedUser: 'bob' });
    await recent.add('session-1', [third]);
    expect(await recent.read('session-1')).toEqual([third, refused, aRequest()]);
    expect(await recent.read('session-1', 2)).toEqual([third, refused]);
    expect(await recent.read('session-1', 1)).toEqual([third]);
    await openNow(subject, { id: 'session-2' });
    await recent.add('session-2', [aRequest()]);
    expect(await recent.readEach(['session-2', 'unknown', 'session-1'])).toEqual([
      [aRequest()],
      [],
      [third, refused, aRequest()],
    ]);
    expect(await recent.readEach([])).toEqual([]);
  });

  it('keeps the newest 50, in whatever portions they came', async () => {
    const subject = await open();
    const { store } = subject;
    await openNow(subject);
    for (let first = 1; first <= 120; first += 7) await store.recent.add('session-1', requests(first, 7));
    expect(await numbersOf(store)).toEqual(downFrom(126, 50));
    await store.recent.add('session-1', requests(127, 80));
    expect(await numbersOf(store)).toEqual(downFrom(206, 50));
    await store.recent.add('session-1', requests(207, 1));
    expect(await numbersOf(store)).toEqual(downFrom(207, 50));
    await store.recent.add('session-1', []);
    expect(await numbersOf(store)).toEqual(downFrom(207, 50));
  });

  it('loses none of what replicas add at once, and puts it in order', async () => {
    const subject = await open();
    await openNow(subject);
    await parallel(20, (index) => subject.store.recent.add('session-1', requests(1 + index * 2, 2)));
    expect(await numbersOf(subject.store)).toEqual(downFrom(40, 40));
  });

  it('shows a stream once, by its end', async () => {
    const subject = await open();
    const { recent } = subject.store;
    await openNow(subject);
    await recent.add('session-1', [aRequest({ verb: 'watch' }), ...requests(2, 1)]);
    await recent.add('session-1', [aRequest({ verb: 'watch', reason: 'revoked' })]);
    expect(await recent.read('session-1')).toEqual([...requests(2, 1), aRequest({ verb: 'watch', reason: 'revoked' })]);
  });

  it('keeps what belongs to one session from another', async () => {
    const subject = await open();
    await openNow(subject);
    await openNow(subject, { id: 'session-2' });
    await subject.store.recent.add('session-1', requests(1, 1));
    await subject.store.recent.add('session-2', requests(2, 1));
    expect(await numbersOf(subject.store)).toEqual([1]);
    expect(await numbersOf(subject.store, 'session-2')).toEqual([2]);
  });

  it('moves the last use of its session once a minute at most, and never its idle end', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await openNow(subject, { idleSeconds: 150 });
    await openNow(subject, { id: 'session-2', idleSeconds: 150 });
    const opened = clock.seconds();
    const requestAfter = async (seconds: number) => {
      clock.advance(opened + seconds - clock.seconds());
      await store.recent.add('session-1', [aRequest({ auditId: `request-${seconds}`, at: clock.seconds() * 1000 })]);
      return (await store.sessions.read('session-1'))?.lastRequestAt;
    };
    expect(await requestAfter(59)).toBeUndefined();
    expect(await requestAfter(61)).toBe(opened + 61);
    expect(await requestAfter(120)).toBe(opened + 61);
    const { sessions } = await store.sessions.list({ order: 'last-used', limit: 10 });
    expect(sessions.map(({ id }) => id)).toEqual(['session-1', 'session-2']);
    expect(await requestAfter(149)).toBe(opened + 149);
    expect((await store.sessions.read('session-1'))?.lastUsedAt).toBe(opened);
    clock.advance(1);
    expect(await store.sessions.read('session-1')).toBeUndefined();
  });

  it('keeps nothing of a session that is not there or has ended', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await store.recent.add('unknown', requests(1, 1));
    expect(await numbersOf(store, 'unknown')).toEqual([]);
    await openNow(subject, { idleSeconds: 10 });
    await store.recent.add('session-1', requests(1, 1));
    clock.advance(10);
    await store.recent.add('session-1', requests(2, 1));
    expect(await numbersOf(store)).toEqual([]);
  });

  it('forgets all of it with a session that is revoked, and takes no more', async () => {
    const subject = await open();
    const { store } = subject;
    for (const [id, target] of [
      ['by-session', { kind: 'session', session: 'by-session' }],
      ['by-account', { kind: 'account', account: 'corp/1' }],
      ['by-provider', { kind: 'provider', provider: 'corp' }],
    ] as const) {
      await openNow(subject, { id, authTime: subject.clock.seconds() });
      await store.recent.add(id, requests(1, 1));
      await store.log.append({ requestId: id, target });
      await store.recent.add(id, requests(2, 1));
      expect(await numbersOf(store, id)).toEqual([]);
    }
  });

  it('has nothing left of a session for another one of its id', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await store.recent.add('session-1', requests(1, 1));
    await openNow(subject);
    expect(await numbersOf(store)).toEqual([]);
    await store.recent.add('session-1', requests(2, 1));
    await store.log.append({ requestId: 'r', target: { kind: 'session', session: 'session-1' } });
    await openNow(subject, { authTime: clock.seconds() });
    expect(await numbersOf(store)).toEqual([]);
    await store.recent.add('session-1', requests(3, 1));
    expect(await numbersOf(store)).toEqual([3]);
  });

  it('shares no object with its callers', async () => {
    const subject = await open();
    await openNow(subject);
    const given = [aRequest()];
    await subject.store.recent.add('session-1', given);
    Object.assign(given[0] ?? {}, { verb: 'changed' });
    Object.assign((await subject.store.recent.read('session-1'))[0] ?? {}, { verb: 'changed' });
    expect(await subject.store.recent.read('session-1')).toEqual([aRequest()]);
  });
}
