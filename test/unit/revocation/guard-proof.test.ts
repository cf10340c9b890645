import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sessionKey } from '../../../src/core/credential/revocation.ts';
import type { RevocationGuardOptions } from '../../../src/revocation/types.ts';
import type { RevocationGuard, RevocationResult } from '../../../src/revocation/revocation.ts';
import type { Renewal, RenewOutcome } from '../../../src/store/store.ts';
import { openNow, type TestClock } from '../../conformance/fixtures.ts';
import { ALICE, begin, fly, pass, replicas } from './replica-harness.ts';

const SESSION = { kind: 'session', session: 's1' } as const;

describe('a revocation among replicas', () => {
  let made: ReturnType<typeof replicas>;
  beforeEach(() => {
    vi.useFakeTimers();
    made = replicas();
  });
  afterEach(async () => {
    await made.stop();
    vi.useRealTimers();
  });
  const started = (name: string, change?: Partial<RevocationGuardOptions>) => made.started(name, change);
  /** The result so far. */
  const asked = (guard: RevocationGuard, requestId = 'r1') => {
    const state: { result: RevocationResult | undefined } = { result: undefined };
    void guard.revoke({ target: SESSION, requestId }).then((result) => (state.result = result));
    return state;
  };
  const settled = { name: 'b' };
  /** A replica, and session `s1`, which was opened through a browser session. */
  const openedThrough = async () => {
    const { guard, log } = await started('a');
    const browser = 'of-the-browser';
    const clock = { seconds: () => Math.floor(Date.now() / 1000) } as TestClock;
    await openNow({ store: made.store, clock }, { id: browser });
    await openNow({ store: made.store, clock }, { id: 's1', via: browser });
    await pass(600);
    return { guard, log, browser };
  };

  it('is complete as soon as each replica has applied it and cut', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    const cuts = fly(b.guard, (await made.now(b.guard)).position);
    const asking = asked(a.guard);
    await pass(60);
    expect(cuts).toEqual(['session_revoked']);
    expect(asking.result).toMatchObject({
      complete: true,
      streamsClosed: 1,
      replicas: [
        { id: 'a', state: 'applied', streamsClosed: 0 },
        { id: 'b', state: 'applied', streamsClosed: 1 },
      ],
    });
    expect(asking.result).not.toHaveProperty('missing');
  });

  it('is complete when the lease of a silent replica has lapsed, and not before', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    const credential = await made.now(b.guard);
    b.log.away = true;
    const asking = asked(a.guard);
    await pass(500);
    expect(b.guard.check(credential)).toBeUndefined();
    while (asking.result === undefined) await pass(1);
    // The promise: at no moment does one replica report complete while another still accepts the credential.
    expect(b.guard.check(credential)).toBe('fenced');
    expect(asking.result).toMatchObject({ complete: true, replicas: [{}, { id: 'b', state: 'fenced' }] });
    expect(asking.result.elapsedMs).toBeGreaterThan(1_500);
    expect(asking.result.elapsedMs).toBeLessThan(2_200);
  });

  it('waits for the lease of the silent replica, however short its own lease is', async () => {
    const [a, b] = [await started('a', { stalenessSeconds: 1 }), await started('b', { stalenessSeconds: 10 })];
    await pass(600);
    const credential = await made.now(b.guard);
    b.log.away = true;
    await pass(5_000);
    const asking = asked(a.guard);
    while (asking.result === undefined) await pass(1);
    expect(b.guard.check(credential)).toBe('fenced');
    expect(asking.result).toMatchObject({ complete: true, replicas: [{}, { id: 'b', state: 'fenced' }] });
  });

  it('waits for the longest lease that the store remembers from before a failover, although no replica here has it', async () => {
    const a = made.replica('a', { isFirstGeneration: false });
    a.log.lie = (outcome) => (outcome.ok ? { ...outcome, longestLeaseMs: 8_000 } : outcome);
    await a.guard.start();
    const asking = asked(a.guard);
    await pass(7_900);
    expect(asking.result).toBeUndefined();
    await pass(700);
    expect(asking.result).toMatchObject({ complete: true });
  });

  it('waits for as long as any lease may last if the silent replica registers none, and lets no caller wait longer than ten seconds', async () => {
    const [a, b] = [await started('a'), await started('b')];
    const { renew } = b.log;
    b.log.renew = ({ leaseMs: _none, ...state }, position) => renew(state, position);
    await pass(600);
    b.log.away = true;
    await pass(5_000);
    const asking = asked(a.guard);
    await pass(10_050);
    expect(asking.result).toMatchObject({
      complete: false,
      missing: [expect.stringMatching(/^replica b: within 1\d\./)],
    });
    await pass(14_000);
    expect(a.guard.result('r1')).toMatchObject({
      complete: false,
      missing: [expect.stringMatching(/^replica b: within/)],
    });
    await pass(2_000);
    expect(a.guard.result('r1')).toMatchObject({ complete: true, replicas: [{}, { id: 'b', state: 'fenced' }] });
  });

  it('is complete immediately if the silent replica has been silent for W already, and removes it after a minute', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    b.log.away = true;
    await pass(3_000);
    const asking = asked(a.guard);
    await pass(60);
    expect(asking.result).toMatchObject({ complete: true, replicas: [{}, { id: 'b', state: 'fenced' }] });
    expect(a.log.left).toEqual([]);
    await pass(61_000);
    // Its count as it was last seen: if it has come back by then, it stays.
    expect(a.log.left).toEqual([{ incarnation: b.guard.incarnation, count: expect.any(Number) }]);
  });

  it('distinguishes two replicas with the same name', async () => {
    const [a, b, twin] = [await started('a'), await started('b'), await started('b')];
    await pass(600);
    twin.log.away = true;
    const asking = asked(a.guard);
    await pass(1_000);
    expect(a.guard.result('r1')).toMatchObject({
      complete: false,
      missing: [expect.stringMatching(/^replica b: within/)],
    });
    await pass(1_200);
    expect(asking.result).toMatchObject({
      complete: true,
      replicas: [{ id: 'a' }, { id: 'b', state: 'applied' }, { id: 'b', state: 'fenced' }],
    });
    expect(b.guard.fenced).toBe(false);
  });

  it('returns incomplete after W and half a second if a replica moves and never applies the entry, and is reported again when it does', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    // Its renewals reach the store, and no reply of the store reaches it in time.
    b.log.slow = 2_500;
    const told: RevocationResult[] = [];
    a.guard.onResult((result) => void told.push(result));
    let count = 1_000;
    a.log.lie = (outcome) => withPeer(outcome, settled.name, () => (count += 1));
    const asking = asked(a.guard);
    await pass(2_550);
    expect(asking.result).toBeUndefined();
    await pass(150);
    expect(asking.result).toMatchObject({ complete: false, missing: [expect.stringMatching(/^replica b: within 2/)] });
    expect(told).toEqual([]);
    [a.log.lie, b.log.slow] = [undefined, 0];
    await pass(3_000);
    expect(told).toMatchObject([{ id: 'r1', complete: true, replicas: [{}, { id: 'b', state: 'applied' }] }]);
    expect(a.guard.result('r1')).toEqual(told[0]);
    await pass(600_000);
    expect(a.guard.result('r1')).toBeUndefined();
  });

  it('does not count a replica that has left', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    b.log.away = true;
    const asking = asked(a.guard);
    await pass(100);
    b.log.away = false;
    void b.guard.stop();
    await pass(100);
    expect(asking.result).toMatchObject({ complete: true, replicas: [{ id: 'a' }] });
  });

  it('does not take a replica for gone because an older reply of the store, which comes late, does not name it yet', async () => {
    const a = await started('a');
    await pass(600);
    // A renewal is on its way back to the replica that is asked while the other joins, and then the entry is
    // written.
    a.log.slow = 300;
    const append = a.log.append;
    a.log.append = (request) => made.shared.append(request);
    void a.guard.refresh();
    await pass(10);
    const b = await started('b');
    const credential = await made.now(b.guard);
    b.log.away = true;
    const asking = asked(a.guard);
    await pass(500);
    expect(b.guard.check(credential)).toBeUndefined();
    expect(asking.result).toBeUndefined();
    [a.log.slow, a.log.append] = [0, append];
    await pass(2_200);
    expect(asking.result).toMatchObject({ complete: true, replicas: [{}, { id: 'b', state: 'fenced' }] });
  });

  it('waits in a primary generation that is younger than W, although there is no other replica', async () => {
    const { guard } = await started('a', { isFirstGeneration: false });
    await pass(500);
    const asking = asked(guard);
    await pass(1_500);
    expect(asking.result).toBeUndefined();
    await pass(200);
    expect(asking.result).toMatchObject({ complete: true });
    const next = asked(guard, 'r2');
    await pass(60);
    expect(next.result).toMatchObject({ complete: true });
  });

  it('counts that generation from the start again after its own lease lapsed', async () => {
    const { guard, log } = await started('a', { isFirstGeneration: false });
    await pass(5_000);
    log.away = true;
    await pass(2_200);
    log.away = false;
    await pass(600);
    const asking = asked(guard);
    await pass(1_000);
    expect(asking.result).toBeUndefined();
    await pass(1_200);
    expect(asking.result).toMatchObject({ complete: true });
  });

  it('is not complete while followers have not confirmed it, and is reported when they have', async () => {
    const a = await started('a');
    await pass(600);
    a.log.unconfirmed = true;
    const told: RevocationResult[] = [];
    a.guard.onResult((result) => void told.push(result));
    const asking = asked(a.guard);
    await pass(1_000);
    expect(a.guard.result('r1')?.missing).toEqual([
      'this replica: it has not yet read the entry back',
      'redis: not enough followers have acknowledged',
    ]);
    await pass(1_700);
    expect(asking.result).toMatchObject({ complete: false, missing: [expect.stringContaining('no lease')] });
    a.log.unconfirmed = false;
    await pass(600);
    expect(told).toMatchObject([{ complete: true }]);
  });

  it('is never complete with a new primary generation; the local guard holds until this replica follows that generation', async () => {
    const a = await started('a');
    await pass(600);
    const credential = await made.now(a.guard);
    a.log.unconfirmed = true;
    const asking = asked(a.guard);
    await pass(10);
    begin(a.log, credential.position.epoch);
    expect(a.guard.check(credential)).toBe('session_revoked');
    a.log.unconfirmed = false;
    await pass(600);
    expect(asking.result).toMatchObject({
      complete: false,
      missing: ['there is a new primary generation, so all users sign in again: send the revocation again to be sure'],
    });
    expect(a.guard.check(credential)).toBe('epoch_changed');
    await pass(10_000);
    expect(a.guard.result('r1')).toMatchObject({ complete: false });
  });

  it('is held here if it was written into a primary generation that this replica does not follow, until it does', async () => {
    const a = await started('a');
    await pass(600);
    const credential = await made.now(a.guard);
    const position = { epoch: 'of a primary that was promoted elsewhere', number: 1 };
    a.log.append = async () => ({ position, generation: 'other', acknowledged: false, sessions: 1, replicas: [] });
    const asking = asked(a.guard);
    await pass(1_200);
    expect(asking.result).toMatchObject({
      complete: false,
      missing: [expect.stringContaining('new primary generation')],
    });
    expect(a.guard.check(credential)).toBe('session_revoked');
    begin(a.log, credential.position.epoch);
    await pass(600);
    expect(a.guard.check(credential)).toBe('epoch_changed');
    expect(a.guard.check(await made.now(a.guard))).toBeUndefined();
  });

  it('does not take a replica for gone because the registry of another primary generation does not name it', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    const credential = await made.now(b.guard);
    b.log.away = true;
    asked(a.guard);
    await pass(600);
    const position = { epoch: 'of a primary that was promoted elsewhere', number: 1 };
    a.log.append = async () => ({ position, generation: 'other', acknowledged: false, sessions: 1, replicas: [] });
    asked(a.guard, 'r2');
    await pass(10);
    expect(b.guard.check(credential)).toBeUndefined();
    expect(a.guard.result('r1')).toMatchObject({ complete: false, replicas: [{}, { id: 'b', state: 'pending' }] });
  });

  it('is rejected and holds nothing if its id belongs to another revocation in the store', async () => {
    const [a, b] = [await started('a'), await started('b')];
    asked(a.guard);
    await pass(100);
    const refused = b.guard.revoke({ target: { kind: 'all' }, requestId: 'r1' });
    await expect(refused).rejects.toMatchObject({ code: 'conflict', reason: 'request_id_reused' });
    await pass(100);
    expect(b.guard.check(await made.now(b.guard))).toBeUndefined();
  });

  it('is not complete before the replica that was asked has read its entries back, that of the browser session included', async () => {
    const { guard, log, browser } = await openedThrough();
    const through = await made.now(guard);
    const inBrowser = { ...through, keys: { ...ALICE.keys, session: sessionKey(browser) } };
    log.away = true;
    log.append = (request) => made.shared.append(request);
    const asking = asked(guard);
    await pass(1_000);
    expect(guard.check(inBrowser)).toBeUndefined();
    expect(guard.result('r1')).toMatchObject({
      complete: false,
      missing: ['this replica: it has not yet read the entry back'],
    });
    log.away = false;
    await pass(600);
    expect(asking.result).toMatchObject({ complete: true, sessions: 2 });
    expect(guard.check(inBrowser)).toBe('session_revoked');
  });

  it('is proven after the lease returns, if the replica that was asked had none', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    const append = a.log.append;
    a.log.away = true;
    await pass(2_100);
    expect(a.guard.fenced).toBe(true);
    a.log.append = (request) => made.shared.append(request);
    const asking = asked(a.guard);
    await pass(500);
    expect(b.guard.check({ ...ALICE, position: { ...(await made.shared.position()), number: 0 } })).toBe(
      'session_revoked',
    );
    expect(a.guard.result('r1')).toMatchObject({ complete: false });
    [a.log.away, a.log.append] = [false, append];
    await pass(600);
    expect(asking.result).toMatchObject({ complete: true });
  });

  it('states that the owner of a locked account cannot sign in again', async () => {
    const { guard } = await started('a');
    const lock = { reason: 'INC-1', by: 'root', at: 1 };
    const result = guard.revoke({ target: { kind: 'account', account: 'corp/alice' }, lock });
    await pass(50);
    expect(await result).toMatchObject({ complete: true, canSignInAgain: false });
    expect(await made.store.locks.find('corp/alice')).toMatchObject(lock);
    const open = guard.revoke({ target: SESSION, canSignInAgain: false });
    await pass(50);
    expect(await open).toMatchObject({ canSignInAgain: false });
  });

  it('keeps up with a thousand revocations in a second, each of them proven', async () => {
    const [a, b] = [await started('a'), await started('b')];
    await pass(600);
    const answers: RevocationResult[] = [];
    for (let each = 0; each < 1_000; each += 1) {
      void a.guard.revoke({ target: { kind: 'session', session: `s${each}` } }).then((result) => answers.push(result));
      if (each % 10 === 0) await pass(10);
    }
    await pass(500);
    expect(answers.filter(({ complete }) => complete)).toHaveLength(1_000);
    expect(b.guard.position?.number).toBe(1_000);
    expect(
      b.guard.check({
        keys: { ...ALICE.keys, session: sessionKey('s999') },
        position: { ...(await made.shared.position()), number: 0 },
      }),
    ).toBe('session_revoked');
  });
});

/** Another replica in the registry, as the faked reply has it. */
function withPeer(outcome: RenewOutcome, name: string, count: () => number): RenewOutcome {
  if (!outcome.ok) return outcome;
  const replicas: Renewal['replicas'] = outcome.replicas.map((state) =>
    state.name === name ? { ...state, number: 0, count: count() } : state,
  );
  return { ...outcome, replicas };
}
