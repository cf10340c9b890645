import { expect, it } from 'vitest';

import { sessionKey, type RevocationTarget } from '../../src/core/credential/revocation.ts';
import type { ReplicaState } from '../../src/store/store.ts';
import { parallel, replica, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const sessionTarget = (session: string): RevocationTarget => ({ kind: 'session', session });

const revoke = ({ store }: StoreUnderTest, requestId: string) =>
  store.log.append({ requestId, target: sessionTarget(requestId) });

/** How long an entry stands after `join(TOKEN_SECONDS)`: the token's life and two minutes for clocks that differ. */
const TOKEN_SECONDS = 300;
const STANDS_SECONDS = 420;

export function logConforms(open: OpenStore): void {
  numbersConform(open);
  renewalConforms(open);
  registryConforms(open);
  noticesConform(open);
  waitingConforms(open);
}

function numbersConform(open: OpenStore): void {
  it('begins at 0 in an epoch of at least 128 bits, which stays', async () => {
    const { store } = await open();
    const position = await store.log.position();
    expect(position.number).toBe(0);
    expect(Buffer.from(position.epoch, 'base64url').byteLength).toBeGreaterThanOrEqual(16);
    expect(await store.log.position()).toEqual(position);
  });

  it('gives 100 revocations that come at once the numbers 1 to 100, without a gap, in the order of the log', async () => {
    const subject = await open();
    const { store } = subject;
    const start = await store.log.position();
    const answers = await parallel(100, (index) => revoke(subject, `r${index}`));
    const byNumber = new Map(answers.map((answer, index) => [answer.position.number, `r${index}`]));
    expect([...byNumber.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    const renewed = await store.log.renew(replica(), start);
    expect(renewed.ok && renewed.entries.map(({ number, change }) => [number, change])).toEqual(
      Array.from({ length: 100 }, (_, index) => [
        index + 1,
        { kind: 'revoked', key: sessionKey(byNumber.get(index + 1) ?? '') },
      ]),
    );
  });

  it('answers the same request again as before and writes nothing', async () => {
    const subject = await open();
    const first = await revoke(subject, 'same');
    await revoke(subject, 'other');
    expect(await revoke(subject, 'same')).toEqual(first);
    expect((await subject.store.log.position()).number).toBe(2);
    subject.clock.advance(599);
    expect(await revoke(subject, 'same')).toEqual(first);
    subject.clock.advance(1);
    expect((await revoke(subject, 'same')).position.number).toBe(3);
  });

  it('writes one entry for 50 equal requests at once', async () => {
    const subject = await open();
    const answers = await parallel(50, () => revoke(subject, 'same'));
    expect(new Set(answers.map((answer) => answer.position.number))).toEqual(new Set([1]));
    expect((await subject.store.log.position()).number).toBe(1);
  });

  it('refuses a request id that comes again for something else', async () => {
    const subject = await open();
    await revoke(subject, 'same');
    const other = { requestId: 'same', target: { kind: 'all' } } as const;
    await expect(subject.store.log.append(other)).rejects.toMatchObject({ code: 'conflict' });
    expect((await subject.store.log.position()).number).toBe(1);
  });
}

function renewalConforms(open: OpenStore): void {
  it('joins with the entries that may still cover someone', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await store.log.join(TOKEN_SECONDS);
    await revoke(subject, 'early');
    clock.advance(STANDS_SECONDS - 1);
    await revoke(subject, 'late');
    const until = clock.seconds() + STANDS_SECONDS;
    expect((await store.log.join(TOKEN_SECONDS)).live.map(({ number }) => number)).toEqual([1, 2]);
    clock.advance(1);
    const joined = await store.log.join(TOKEN_SECONDS);
    expect(joined.position.number).toBe(2);
    expect(joined.live).toEqual([{ number: 2, change: { kind: 'revoked', key: sessionKey('late') }, until }]);
  });

  it('brings only what came after the given place', async () => {
    const subject = await open();
    const { store } = subject;
    await revoke(subject, 'before');
    const { position } = await store.log.join(TOKEN_SECONDS);
    expect(await store.log.renew(replica(), position)).toMatchObject({ ok: true, epoch: position.epoch, entries: [] });
    await revoke(subject, 'after');
    const renewed = await store.log.renew(replica(), position);
    expect(renewed.ok && renewed.entries.map(({ number }) => number)).toEqual([2]);
  });

  it('says `epoch` to a place in another epoch and does not register who asks', async () => {
    const { store } = await open();
    await store.log.position();
    const elsewhere = { epoch: 'another-epoch', number: 0 };
    expect(await store.log.renew(replica(), elsewhere)).toEqual({ ok: false, reason: 'epoch' });
    const here = await store.log.renew(replica({ incarnation: 'b' }), await store.log.position());
    expect(here.ok && here.replicas.map(({ incarnation }) => incarnation)).toEqual(['b']);
  });

  it('says `gap` where entries after the given place were trimmed, and never skips them in silence', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const start = await store.log.position();
    await store.log.join(TOKEN_SECONDS);
    await revoke(subject, 'a');
    await revoke(subject, 'b');
    clock.advance(STANDS_SECONDS);
    await revoke(subject, 'c');
    expect(await store.log.renew(replica(), start)).toEqual({ ok: false, reason: 'gap' });
    const upToDate = await store.log.join(TOKEN_SECONDS);
    clock.advance(100_000);
    expect(await store.log.renew(replica(), upToDate.position)).toMatchObject({ ok: true, entries: [] });
  });

  it('does not send away who was up to date before a quiet time', async () => {
    const subject = await open();
    const { store } = subject;
    await revoke(subject, 'a');
    const { position } = await store.log.join(TOKEN_SECONDS);
    subject.clock.advance(100_000);
    await revoke(subject, 'b');
    await revoke(subject, 'c');
    expect(await store.log.renew(replica(), position)).toMatchObject({
      ok: true,
      entries: [{ number: 2 }, { number: 3 }],
    });
  });

  it('keeps the last entry although its time is over, so that a replica that applied it finds its place', async () => {
    const subject = await open();
    const { store, clock } = subject;
    const start = await store.log.position();
    await revoke(subject, 'over');
    clock.advance(100_000);
    const { position, live } = await store.log.join(TOKEN_SECONDS);
    expect(live).toEqual([]);
    expect(await store.log.renew(replica(), start)).toMatchObject({ ok: true, entries: [{ number: 1 }] });
    await revoke(subject, 'next');
    clock.advance(STANDS_SECONDS);
    await revoke(subject, 'after');
    expect(await store.log.renew(replica(), position)).toEqual({ ok: false, reason: 'gap' });
    expect(await store.log.renew(replica(), await store.log.position())).toMatchObject({ ok: true, entries: [] });
  });

  it('says `rollback` to a place that the log has not reached', async () => {
    const { store } = await open();
    const { epoch } = await store.log.position();
    expect(await store.log.renew(replica(), { epoch, number: 7 })).toEqual({ ok: false, reason: 'rollback' });
  });
}

function registryConforms(open: OpenStore): void {
  it('says how long the longest lease is that a replica has registered, and takes none for the longest that there may be', async () => {
    const { store } = await open();
    const { position } = await store.log.join(TOKEN_SECONDS);
    const { leaseMs: _none, ...unregistered } = replica({ incarnation: '0.1.0' });
    const longest = async (state: ReplicaState): Promise<number | false> => {
      const renewed = await store.log.renew(state, position);
      return renewed.ok && renewed.longestLeaseMs;
    };
    expect(await longest(replica())).toBe(2000);
    expect(await longest(replica({ incarnation: 'b', leaseMs: 10_000 }))).toBe(10_000);
    expect(await longest(replica())).toBe(10_000);
    expect(await longest(unregistered)).toBe(30_000);
  });

  it('shows each replica as it last renewed, to renewals and revocations, until it leaves', async () => {
    const subject = await open();
    const { store } = subject;
    const { position } = await store.log.join(TOKEN_SECONDS);
    const a = replica({ incarnation: 'a', name: 'portcullis-0', servesNothing: true });
    const keys = { has: ['signing:a', 'signing:b'], uses: ['signing:a'], thumbprints: { 'signing:a': 'x' } };
    const b = replica({ incarnation: 'b', name: 'portcullis-1', count: 41, streamsCut: 3, keys });
    await store.log.renew(a, position);
    await store.log.renew({ ...b, count: 40 }, position);
    const renewed = await store.log.renew(b, position);
    const known = renewed.ok ? renewed.replicas : [];
    expect(known.toSorted((left, right) => (left.incarnation < right.incarnation ? -1 : 1))).toEqual([a, b]);
    expect((await revoke(subject, 'r')).replicas).toHaveLength(2);
    await store.log.leave('a');
    await store.log.leave('never-there');
    expect((await revoke(subject, 's')).replicas).toEqual([b]);
  });

  it('keeps a replica that has renewed since it was last seen, when another takes it for gone', async () => {
    const subject = await open();
    const { store } = subject;
    const { position } = await store.log.join(TOKEN_SECONDS);
    const back = replica({ incarnation: 'a', count: 8 });
    await store.log.renew(back, position);
    await store.log.leave('a', 7);
    expect((await revoke(subject, 'r')).replicas).toEqual([back]);
    await store.log.leave('a', 8);
    await store.log.leave('never-there', 8);
    expect((await revoke(subject, 's')).replicas).toEqual([]);
  });
}

function noticesConform(open: OpenStore): void {
  it('announces a drill to every replica, and shows each one’s part', async () => {
    const { store } = await open();
    const { position } = await store.log.join(TOKEN_SECONDS);
    expect(await store.log.announceDrill('drill-1')).toEqual({ ...position, number: 1 });
    const part = replica({ drill: { id: 'drill-1', state: 'failed', reason: 'no route to itself' } });
    expect(await store.log.renew(part, position)).toMatchObject({
      ok: true,
      entries: [{ number: 1, change: { kind: 'drill', id: 'drill-1' } }],
      replicas: [part],
    });
    expect((await store.log.join(TOKEN_SECONDS)).live).toEqual([]);
  });

  it('keeps one notice after another for a reader who is a moment behind', async () => {
    const { store } = await open();
    const { position } = await store.log.join(TOKEN_SECONDS);
    for (const id of ['one', 'two', 'three']) await store.log.announceDrill(id);
    expect(await store.log.renew(replica(), position)).toMatchObject({
      ok: true,
      entries: [{ change: { id: 'one' } }, { change: { id: 'two' } }, { change: { id: 'three' } }],
    });
  });

  it('refuses a drill whose id would not fit a row', async () => {
    const { store } = await open();
    for (const id of ['', 'two parts', 'x'.repeat(65), 'a\nb']) {
      await expect(store.log.announceDrill(id)).rejects.toThrow(RangeError);
    }
    expect((await store.log.position()).number).toBe(0);
  });

  it('refuses a provider whose name would not fit a row', async () => {
    const { store } = await open();
    const target = { kind: 'provider', provider: 'two parts' } as const;
    await expect(store.log.append({ requestId: 'r', target })).rejects.toThrow(RangeError);
    expect((await store.log.position()).number).toBe(0);
  });

  it('lets an entry stand for the longest life of a token that it was ever told', async () => {
    const subject = await open();
    const { store, clock } = subject;
    for (const seconds of [60, 900, 300]) await store.log.join(seconds);
    await revoke(subject, 'r');
    expect((await store.log.join(60)).live).toMatchObject([{ until: clock.seconds() + 1020 }]);
  });

  it('refuses a life of tokens that is no number', async () => {
    const { store } = await open();
    await expect(store.log.join(Number.NaN)).rejects.toThrow(RangeError);
  });

  it('says the same primary generation to renewals and revocations', async () => {
    const subject = await open();
    const { store } = subject;
    const { position } = await store.log.join(TOKEN_SECONDS);
    const renewed = await store.log.renew(replica(), position);
    const { generation, acknowledged } = await revoke(subject, 'r');
    expect(renewed).toMatchObject({ ok: true, epoch: position.epoch, generation });
    expect(generation.length).toBeGreaterThan(8);
    expect(acknowledged).toBe(true);
  });
}

export function waitingConforms(open: OpenStore): void {
  it('wakes everyone who waits when an entry is written', async () => {
    const subject = await open();
    const { signal } = new AbortController();
    const waits = [subject.store.log.waitForEntry(0, signal), subject.store.log.waitForEntry(0, signal)];
    await revoke(subject, 'r');
    await expect(Promise.all(waits)).resolves.toHaveLength(2);
  });

  it('does not wait for an entry that is there already', async () => {
    const subject = await open();
    await revoke(subject, 'r');
    await expect(subject.store.log.waitForEntry(0, new AbortController().signal)).resolves.toBeUndefined();
  });

  it('stops waiting when told to', async () => {
    const { store } = await open();
    const abort = new AbortController();
    const wait = store.log.waitForEntry(0, abort.signal);
    abort.abort();
    await expect(wait).resolves.toBeUndefined();
    await expect(store.log.waitForEntry(0, abort.signal)).resolves.toBeUndefined();
  });

  it('stops waiting when the store is closed', async () => {
    const { store } = await open();
    await store.ping();
    await store.log.position();
    const wait = store.log.waitForEntry(0, new AbortController().signal).then(
      () => 'over',
      () => 'over',
    );
    await store.close();
    expect(await wait).toBe('over');
  });
}
