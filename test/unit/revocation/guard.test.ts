import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import { sessionKey } from '../../../src/core/credential/revocation.ts';
import type { LogChange, LogEntry } from '../../../src/core/credential/revocation.ts';
import type { CutReason, RevocationGuard } from '../../../src/revocation/revocation.ts';
import type { RevocationLog } from '../../../src/store/store.ts';
import { ALICE, begin, fly, pass, replicas } from './replica-harness.ts';

describe('the revocation guard', () => {
  let made: ReturnType<typeof replicas>;
  let shared: RevocationLog;
  beforeEach(() => {
    vi.useFakeTimers();
    made = replicas();
    shared = made.shared;
  });
  afterEach(async () => {
    await made.stop();
    vi.useRealTimers();
  });
  const replica = () => made.replica();
  const started = () => made.started();
  const now = (guard: RevocationGuard) => made.now(guard);

  it('rejects everything before its first lease', async () => {
    const { guard } = replica();
    expect(guard.check({ ...ALICE, position: { epoch: 'e', number: 0 } })).toBe('fenced');
    expect(guard.position).toBeUndefined();
    expect(guard.stalenessSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it('accepts a credential of its epoch while the lease is renewed', async () => {
    const { guard } = await started();
    await pass(60_000);
    expect(guard.check(await now(guard))).toBeUndefined();
    expect(guard.stalenessSeconds).toBeLessThanOrEqual(0.5);
  });

  it('knows at its first lease what was revoked before it joined', async () => {
    const before = await shared.position();
    await shared.append({ requestId: 'r', target: { kind: 'session', session: 's1' } });
    const { guard } = await started();
    expect(guard.check({ ...ALICE, position: before })).toBe('session_revoked');
  });

  it('rejects a credential of another epoch', async () => {
    const { guard } = await started();
    expect(guard.check({ ...ALICE, position: { epoch: 'other', number: 99 } })).toBe('epoch_changed');
  });

  it('is fenced and cuts, L after the last renewal was sent, when the store is unavailable', async () => {
    const { guard, log } = await started();
    const credential = await now(guard);
    const cuts = fly(guard, credential.position);
    const unbound: CutReason[] = [];
    guard.register({ cut: (reason) => void unbound.push(reason) });
    log.away = true;
    await pass(1_400);
    expect(guard.check(credential)).toBeUndefined();
    await pass(601);
    expect(guard.fenced).toBe(true);
    expect(guard.check(credential)).toBe('fenced');
    expect([cuts, unbound]).toEqual([['fenced'], ['fenced']]);
  });

  it('fences again before a lapsed lease is renewed, and then lets pass', async () => {
    const { guard, log } = await started();
    log.away = true;
    await pass(2_100);
    const cuts = fly(guard, (await now(guard)).position);
    const dropped: (LogChange | undefined)[] = [];
    guard.onChange((change) => void dropped.push(change));
    log.away = false;
    await pass(600);
    expect(cuts).toEqual(['fenced']);
    expect(dropped).toContain(undefined);
    expect(guard.check(await now(guard))).toBeUndefined();
  });

  it('is granted nothing by a reply that comes too late', async () => {
    const { guard, log } = await started();
    log.slow = 2_000;
    await pass(10_000);
    expect(guard.fenced).toBe(true);
    log.slow = 100;
    await pass(4_000);
    expect(guard.fenced).toBe(false);
  });

  it('has no first lease from a reply that comes too late', async () => {
    const { guard, log } = replica();
    log.slow = 2_000;
    let leased = false;
    void guard.start().then(() => (leased = true));
    await pass(9_000);
    expect([leased, guard.position, guard.fenced]).toEqual([false, undefined, true]);
    log.slow = 0;
    await pass(3_000);
    expect([leased, guard.fenced]).toEqual([true, false]);
  });

  it('counts its lease from the sending of the renewal, however long the reply took', async () => {
    const { guard, log } = await started();
    log.slow = 800;
    await pass(600); // sent at 500, replied at 1300
    log.away = true;
    await pass(1_890);
    expect(guard.fenced).toBe(false);
    await pass(20);
    expect(guard.fenced).toBe(true);
  });

  it('joins again, and accepts nothing of the old view, when the store reports another log', async () => {
    const { guard, log } = await started();
    const credential = await now(guard);
    const cuts = fly(guard, credential.position);
    for (const reason of ['epoch', 'gap', 'rollback'] as const) {
      const cutsNow = fly(guard, credential.position);
      log.lie = () => {
        log.lie = undefined;
        return { ok: false, reason };
      };
      await pass(600);
      expect(cutsNow).toEqual([reason === 'gap' ? 'fenced' : 'epoch_changed']);
      expect(guard.check(credential)).toBeUndefined();
    }
    expect(cuts).toEqual(['epoch_changed']);
  });

  it('does not follow a log with a number missing', async () => {
    const { guard, log } = await started();
    const credential = await now(guard);
    const entry = (number: number): LogEntry => ({
      number,
      change: { kind: 'identity-changed', key: sessionKey('x') },
      until: 1,
    });
    let told = false;
    log.lie = (outcome) => {
      if (!outcome.ok || told) return outcome;
      told = true;
      return { ...outcome, entries: [entry(1), entry(3)] };
    };
    const cuts = fly(guard, credential.position);
    await pass(600);
    expect(told).toBe(true);
    expect(cuts).toEqual(['fenced']);
    expect(guard.position?.number).toBe(0);
  });

  it('rejects and cuts in the very tick in which it is asked to revoke', async () => {
    const { guard } = await started();
    const credential = await now(guard);
    const cuts = fly(guard, credential.position);
    const result = guard.revoke({ target: { kind: 'session', session: 's1' } });
    expect(guard.check(credential)).toBe('session_revoked');
    expect(cuts).toEqual(['session_revoked']);
    await pass(50);
    expect(await result).toMatchObject({ complete: true, streamsClosed: 1, canSignInAgain: true });
    expect((await result).missing).toBeUndefined();
  });

  it('accepts a credential that was minted after the revocation, once the entry has come back', async () => {
    const { guard } = await started();
    const result = guard.revoke({ target: { kind: 'account', account: 'corp/alice' } });
    await pass(50);
    await result;
    const later = { ...ALICE, position: await shared.position() };
    expect(guard.check(later)).toBeUndefined();
    expect(guard.check({ ...ALICE, position: { ...later.position, number: 0 } })).toBe('session_revoked');
  });

  it('keeps rejecting if the write failed, and releases when a later one is written', async () => {
    const { guard, log } = await started();
    const target = { kind: 'account', account: 'corp/alice' } as const;
    log.away = true;
    const failed = guard.revoke({ target, requestId: 'r1' });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable', reason: 'revocation_not_written' });
    log.away = false;
    await pass(600);
    expect(guard.check({ ...ALICE, position: await shared.position() })).toBe('session_revoked');
    const written = guard.revoke({ target, requestId: 'r1' });
    await pass(100);
    expect((await written).complete).toBe(true);
    expect(guard.check({ ...ALICE, position: await shared.position() })).toBeUndefined();
  });

  it('cuts nothing for an entry that revokes nothing', async () => {
    const { guard, log } = await started();
    const credential = await now(guard);
    const cuts = fly(guard, credential.position);
    log.lie = (outcome) => {
      const change = { kind: 'identity-changed', key: sessionKey('s1') } as const;
      log.lie = undefined;
      return outcome.ok ? { ...outcome, entries: [{ number: 1, change, until: 1 }] } : outcome;
    };
    const seen: unknown[] = [];
    guard.onChange((told) => void seen.push([told?.kind, guard.check(credential), [...cuts]]));
    await pass(600);
    expect(seen[0]).toEqual(['identity-changed', undefined, []]);
  });

  it('releases a write that failed when another replica’s entry comes with a join', async () => {
    const [{ guard, log }, other] = [await started(), await started()];
    const target = { kind: 'account', account: 'corp/alice' } as const;
    log.away = true;
    await expect(guard.revoke({ target })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    void other.guard.revoke({ target });
    await pass(100);
    log.away = false;
    log.lie = () => {
      log.lie = undefined;
      return { ok: false, reason: 'gap' };
    };
    await pass(1_000);
    const later = await shared.position();
    expect(guard.check({ ...ALICE, position: later })).toBeUndefined();
    expect(guard.check({ ...ALICE, position: { ...later, number: 0 } })).toBe('session_revoked');
  });

  it('has caches emptied at the fence, and once more when it has joined: what was read in between is of the old view', async () => {
    const { guard, log } = await started();
    const joined: boolean[] = [];
    const join = log.join;
    let isJoined = false;
    log.join = async (seconds) => {
      const result = await join(seconds);
      isJoined = true;
      return result;
    };
    guard.onChange((change) => void (change === undefined && joined.push(isJoined)));
    log.lie = () => {
      log.lie = undefined;
      return { ok: false, reason: 'gap' };
    };
    await pass(600);
    expect(joined).toEqual([false, true]);
  });

  it('releases a write that failed once another replica has written the same target', async () => {
    const [{ guard, log }, other] = [await started(), await started()];
    const target = { kind: 'account', account: 'corp/alice' } as const;
    log.append = () => Promise.reject(new Error('away'));
    await expect(guard.revoke({ target })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    expect(guard.check(await now(guard))).toBe('session_revoked');
    await other.guard.revoke({ target });
    await pass(100);
    const later = await shared.position();
    expect(guard.check({ ...ALICE, position: later })).toBeUndefined();
    expect(guard.check({ ...ALICE, position: { ...later, number: 0 } })).toBe('session_revoked');
  });

  it.each(['before its failure is known', 'after'])(
    'lets go of a write that seemed to fail and stands, where its entry comes back %s',
    async (when) => {
      const { guard, log } = await started();
      log.append = async (request) => {
        if (when === 'after') log.away = true;
        await shared.append(request);
        if (when !== 'after') await pass(600);
        throw new Error('the answer was lost');
      };
      const failed = guard.revoke({ target: { kind: 'all' } });
      await expect(failed).rejects.toMatchObject({ reason: 'revocation_not_written' });
      log.away = false;
      await pass(600);
      expect(guard.check({ ...ALICE, position: await shared.position() })).toBeUndefined();
    },
  );

  it('does not take an earlier entry for the one that failed, although it comes back later', async () => {
    const { guard, log } = await started();
    const target = { kind: 'account', account: 'corp/alice' } as const;
    const append = log.append;
    log.renew = () => Promise.reject(new Error('away'));
    void guard.revoke({ target, requestId: 'r1' });
    await pass(10);
    log.append = () => Promise.reject(new Error('away'));
    await expect(guard.revoke({ target, requestId: 'r2' })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    log.renew = (state, position) => shared.renew(state, position);
    await pass(600);
    expect(guard.position?.number).toBe(1);
    expect(guard.check(await now(guard))).toBe('session_revoked');
    log.append = append;
    await guard.revoke({ target, requestId: 'r2' });
    await pass(100);
    expect(guard.check(await now(guard))).toBeUndefined();
  });

  it('releases a write that failed with a new primary generation, in which nothing of the old one is accepted', async () => {
    const { guard, log } = await started();
    const before = await now(guard);
    log.append = () => Promise.reject(new Error('away'));
    await expect(guard.revoke({ target: { kind: 'all' } })).rejects.toMatchObject({ code: 'store_unavailable' });
    begin(log, before.position.epoch);
    await pass(600);
    expect(guard.check(before)).toBe('epoch_changed');
    expect(guard.check(await now(guard))).toBeUndefined();
  });

  it('returns the same revocation for the same request id, and rejects it for another target', async () => {
    const { guard } = await started();
    const request = { target: { kind: 'session', session: 's1' }, requestId: 'r1' } as const;
    const answers = [guard.revoke(request), guard.revoke(request)];
    await pass(50);
    const [one, two] = await Promise.all(answers);
    expect(two).toEqual(one);
    expect((await shared.position()).number).toBe(1);
    await expect(guard.revoke({ ...request, target: { kind: 'all' } })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('rejects the same request id with a lock, which the first request had not', async () => {
    const { guard } = await started();
    const request = { target: { kind: 'account', account: 'corp/alice' }, requestId: 'r1' } as const;
    const first = guard.revoke(request);
    const lock = { reason: 'INC-1', by: 'root', at: 1 };
    await expect(guard.revoke({ ...request, lock })).rejects.toMatchObject({ reason: 'request_id_reused' });
    await pass(50);
    expect(await first).toMatchObject({ complete: true });
    expect(await made.store.locks.find('corp/alice')).toBeUndefined();
  });

  it('reports each change once, after it has been applied', async () => {
    const { guard } = await started();
    const seen: unknown[] = [];
    const before = await now(guard);
    guard.onChange((change) => void seen.push([change, guard.check(before)]));
    await shared.append({ requestId: 'r', target: { kind: 'session', session: 's1' } });
    await pass(1_000);
    expect(seen).toEqual([[{ kind: 'revoked', key: sessionKey('s1') }, 'session_revoked']]);
  });

  it('removes itself from the registry, and cuts, when it stops', async () => {
    const { guard, log } = await started();
    const cuts = fly(guard, (await now(guard)).position);
    const stopped = guard.stop();
    await pass(10);
    await stopped;
    expect(cuts).toEqual(['shutdown']);
    expect(log.left).toEqual([{ incarnation: guard.incarnation, count: undefined }]);
    expect(guard.fenced).toBe(true);
  });

  it('does not cut a credential minted after the entry, if the entry itself comes late', async () => {
    const { guard, log } = await started();
    const before = await shared.position();
    log.away = true;
    const { position } = await shared.append({ requestId: 'r', target: { kind: 'all' } });
    const [old, fresh] = [fly(guard, before), fly(guard, position)];
    log.away = false;
    await pass(1_100);
    expect([old, fresh]).toEqual([['session_revoked'], []]);
  });

  it('logs each reason for which it has no lease once, also one that comes later, until it has one again', async () => {
    const said: unknown[] = [];
    const logger = {
      info: () => void said.push('again'),
      warn: ({ reason }: Record<string, unknown>) => void said.push(reason),
    };
    const { log } = await made.started('a', { logger });
    const renew = log.renew;
    for (const reason of ['redis_timeout', 'redis_timeout', 'log_entry_unreadable', 'redis_timeout']) {
      log.renew = () => Promise.reject(new AppError('store_unavailable', 'away', { reason }));
      await pass(500);
    }
    log.renew = renew;
    await pass(600);
    expect(said).toEqual(['redis_timeout', 'log_entry_unreadable', 'again']);
    log.renew = () => Promise.reject(new AppError('store_unavailable', 'away', { reason: 'redis_timeout' }));
    await pass(1_000);
    expect(said.slice(3)).toEqual(['redis_timeout']);
  });

  it('does not turn hints without entries into a busy loop', async () => {
    const { guard, log } = replica();
    log.waitForEntry = () => Promise.resolve();
    await guard.start();
    await pass(5_000);
    expect(log.renewals).toBeLessThan(40);
  });
});
