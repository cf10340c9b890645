import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import type { LogChange } from '../../../src/core/credential/revocation.ts';
import type { KeyHolder } from '../../../src/core/credential/key-agreement.ts';
import { ALICE, fly, pass, replicas, TestLog } from './replica-harness.ts';

describe('the guard watches', () => {
  let made: ReturnType<typeof replicas>;
  beforeEach(() => {
    vi.useFakeTimers();
    made = replicas();
  });
  afterEach(async () => {
    await made.stop();
    vi.useRealTimers();
  });
  const seconds = (): number => Math.floor(Date.now() / 1000);
  const open = async (idleSeconds: number): Promise<void> => {
    const session = {
      id: ALICE.session,
      account: ALICE.account,
      provider: ALICE.provider,
      subject: 'alice',
      client: 'c',
    };
    const opened = await made.store.sessions.open(
      {
        ...session,
        identity: { username: 'corp:alice', uid: '', groups: [], extra: {} },
        createdAt: seconds(),
        expiresAt: seconds() + 86_400,
        idleSeconds,
        address: '',
        userAgent: '',
        startedAt: await made.shared.position(),
      },
      {},
    );
    expect(opened.ok).toBe(true);
  };

  it('the log by two renewals a second, however long its lease is: a new primary waits for them no longer', async () => {
    const { log } = await made.started('a', { stalenessSeconds: 10 });
    const before = log.renewals;
    await pass(2_100);
    expect(log.renewals - before).toBeGreaterThanOrEqual(4);
  });

  it('a clock that stood still while the lease seemed to run: everything is cut and the log is joined again', async () => {
    let asleep = 0;
    const { guard, fences } = await made.started('a', { monotonicMs: () => performance.now() - asleep });
    await pass(1_000);
    const credential = await made.now(guard);
    const cuts = fly(guard, credential.position);
    const dropped: (LogChange | undefined)[] = [];
    guard.onChange((change) => void dropped.push(change));
    asleep = 3_600_000;
    await pass(600);
    expect(cuts).toEqual(['fenced']);
    expect(dropped).toContain(undefined);
    expect(guard.check(credential)).toBeUndefined();
    expect(fences).toMatchObject([{ cause: 'clock_jumped' }]);
    await pass(5_000);
    expect(fences).toHaveLength(1);
  });

  it.each([
    ['epoch', { epoch: 'another' }],
    ['server process', { generation: 'another' }],
  ])('the source of a renewal: another %s alone is another primary generation', async (_what, change) => {
    const { guard, log } = await made.started();
    const cuts = fly(guard, (await made.now(guard)).position);
    log.lie = (outcome) => {
      log.lie = undefined;
      return outcome.ok ? { ...outcome, ...change } : outcome;
    };
    await pass(600);
    expect(cuts).toEqual(['epoch_changed']);
  });

  it('that its view can be trusted: it is fenced as soon as it cannot, also if it cannot join again', async () => {
    const { guard, log } = await made.started();
    log.lie = () => ({ ok: false, reason: 'gap' });
    log.join = () => Promise.reject(new Error('away'));
    await pass(600);
    // A service account that passes with its own token checks nothing else.
    expect(guard.fenced).toBe(true);
  });

  it('that it has stopped: a reply that was under way then grants nothing, and nothing waits for it', async () => {
    const { guard, log } = await made.started();
    log.slow = 300;
    const refreshed = [guard.refresh(), guard.refresh()];
    await pass(10);
    refreshed.push(guard.refresh());
    const stopped = guard.stop();
    refreshed.push(guard.refresh());
    await pass(1_000);
    await Promise.all([stopped, ...refreshed]);
    await guard.refresh();
    expect(guard.fenced).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('its deadline, by one timer however often it renews', async () => {
    await made.started();
    await pass(1_100);
    const before = vi.getTimerCount();
    await pass(60_000);
    expect(vi.getTimerCount()).toBe(before);
  });

  it('its fences: each is reported once, when it serves again, and renewals are not', async () => {
    const { guard, log, fences } = await made.started();
    await pass(5_000);
    expect(fences).toEqual([]);
    log.away = true;
    await pass(10_000);
    expect(guard.fenced).toBe(true);
    expect(fences).toEqual([]);
    log.away = false;
    await pass(600);
    expect(fences).toMatchObject([{ cause: 'lease_lapsed' }]);
    expect(fences[0]?.seconds).toBeGreaterThan(9);
    log.lie = () => {
      log.lie = undefined;
      return { ok: false, reason: 'gap' };
    };
    await pass(600);
    expect(fences).toMatchObject([{ cause: 'lease_lapsed' }, { cause: 'log_gap' }]);
  });

  it('a session that goes idle: its streams are cut, and every other replica learns it from the log', async () => {
    const [a, b] = [await made.started('a'), await made.started('b')];
    await open(60);
    const credential = await made.now(a.guard);
    const ends = { expiresAt: seconds() + 86_400, idleAt: seconds() + 60 };
    const cuts = [fly(a.guard, credential.position, ends), fly(b.guard, credential.position, ends)];
    await pass(30_000);
    await made.store.sessions.mint('s1', {});
    await pass(40_000);
    expect(cuts).toEqual([[], []]);
    await pass(25_000);
    // The replica that notices it first writes the entry, and the other learns it from the log.
    expect(cuts).toEqual([['session_expired'], ['session_revoked']]);
    expect(a.ended).toMatchObject([{ session: 's1', how: 'idle', streamsCut: 1 }]);
    expect([a.guard.check(credential), b.guard.check(credential)]).toEqual(['session_revoked', 'session_revoked']);
    expect((await made.shared.position()).number).toBe(1);
  });

  it('which sessions have something in flight, and cuts one of them without revoking it', async () => {
    const { guard } = await made.started();
    const credential = await made.now(guard);
    const cuts = fly(guard, credential.position);
    expect(guard.sessionsInFlight()).toMatchObject([{ session: 's1', keys: ALICE.keys, flights: 1 }]);
    expect(guard.cutSession('other', 'recheck_overdue')).toBe(0);
    expect(guard.cutSession('s1', 'recheck_overdue')).toBe(1);
    expect(cuts).toEqual(['recheck_overdue']);
    expect(guard.sessionsInFlight()).toEqual([]);
    expect(guard.check(credential)).toBeUndefined();
  });

  it('the keys of the other live replicas, until it is fenced', async () => {
    const keysOf = (...has: readonly string[]) => {
      const seen: string[] = [];
      const keys = {
        registered: () => ({ has, uses: has.slice(0, 1) }),
        seen: (live: readonly KeyHolder[]) => void seen.push(live.map(({ keys: of }) => of?.has.join()).join(' ')),
        unseen: () => void seen.push('unseen'),
      };
      return { seen, keys };
    };
    const [here, there] = [keysOf('signing:a'), keysOf('signing:a', 'signing:b')];
    const a = await made.started('a', { keys: here.keys });
    const b = await made.started('b', { keys: there.keys });
    await a.guard.refresh();
    expect(here.seen.at(-1)).toBe('signing:a,signing:b');
    b.log.away = true;
    await pass(2_700);
    expect(here.seen.at(-1)).toBe('');
    expect(there.seen.at(-1)).toBe('unseen');
    // There may be replicas that have not come to a new epoch yet.
    const unsettled = keysOf();
    const log = Object.assign(new TestLog(made.shared), { settled: false });
    const c = await made.started('c', { keys: unsettled.keys, log });
    await c.guard.refresh();
    expect(unsettled.seen).toEqual(['unseen']);
  });

  it('the other replicas, and their parts in a drill', async () => {
    const [a, b] = [await made.started('a'), await made.started('b')];
    b.guard.reportDrill({ id: 'd', state: 'open' });
    await a.guard.refresh();
    expect(a.guard.replicas).toMatchObject([
      { id: 'a', self: true, state: 'live' },
      { id: 'b', self: false, state: 'live', drill: { id: 'd', state: 'open' } },
    ]);
    b.log.away = true;
    await pass(2_700);
    expect(a.guard.replicas.map(({ state }) => state)).toEqual(['live', 'silent']);
    expect(b.guard.replicas[0]?.state).toBe('fenced');
    const drills: unknown[] = [];
    a.guard.onChange((change) => void drills.push(change));
    await made.shared.announceDrill('d2');
    await pass(600);
    expect(drills).toEqual([{ kind: 'drill', id: 'd2' }]);
    expect(
      a.guard.check({ keys: coveringKeys(ALICE), position: { ...(await made.shared.position()), number: 0 } }),
    ).toBeUndefined();
  });
});
