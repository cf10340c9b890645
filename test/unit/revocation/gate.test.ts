import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { LogChange, LogEntry, LogPosition } from '../../../src/core/revocation.ts';
import { createGate } from '../../../src/revocation/gate.ts';
import type { CutReason, Gate } from '../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { RenewOutcome, RevocationLog } from '../../../src/store/store.ts';

const ALICE = { session: 's1', account: 'corp/alice', provider: 'corp' } as const;
const away = (): AppError => new AppError('store_unavailable', 'away');

/** The memory store's log with a network in front of it that can be cut, slowed and lied on. */
class TestLog implements RevocationLog {
  readonly inner: RevocationLog;
  away = false;
  /** Milliseconds that an answer is under way. */
  slow = 0;
  lie: ((outcome: RenewOutcome) => RenewOutcome) | undefined;
  renewals = 0;
  readonly left: string[] = [];

  constructor(inner: RevocationLog) {
    this.inner = inner;
  }
  async #pass<T>(call: () => Promise<T>): Promise<T> {
    if (this.away) throw away();
    const answer = await call();
    if (this.slow > 0) await new Promise((resolve) => setTimeout(resolve, this.slow));
    return answer;
  }
  position = (): Promise<LogPosition> => this.#pass(() => this.inner.position());
  join = (): ReturnType<RevocationLog['join']> => this.#pass(() => this.inner.join());
  renew: RevocationLog['renew'] = async (state, position) => {
    this.renewals += 1;
    const outcome = await this.#pass(() => this.inner.renew(state, position));
    return this.lie?.(outcome) ?? outcome;
  };
  leave: RevocationLog['leave'] = async (incarnation) => {
    this.left.push(incarnation);
    await this.#pass(() => this.inner.leave(incarnation));
  };
  append: RevocationLog['append'] = (request) => this.#pass(() => this.inner.append(request));
  waitForEntry: RevocationLog['waitForEntry'] = async (number, signal) => {
    if (this.away) throw away();
    await this.inner.waitForEntry(number, signal);
  };
}

describe('the gate', () => {
  let shared: RevocationLog;
  let gates: Gate[] = [];
  beforeEach(() => {
    vi.useFakeTimers();
    shared = createMemoryStore({ clock: { now: () => Date.now() } }).log;
    gates = [];
  });
  afterEach(async () => {
    const stops = gates.map((gate) => gate.stop());
    await vi.advanceTimersByTimeAsync(5_000);
    await Promise.all(stops);
    vi.useRealTimers();
  });

  const replica = (name = 'a', log = new TestLog(shared)) => {
    const gate = createGate({
      log,
      stalenessSeconds: 2,
      replicaName: name,
      monotonic: () => performance.now(),
      clock: { now: () => Date.now() },
      entryLifeSeconds: 400,
    });
    gates.push(gate);
    return { gate, log };
  };
  const started = async (name?: string) => {
    const made = replica(name);
    await made.gate.start();
    return made;
  };
  const now = async (gate: Gate) => ({ ...ALICE, position: gate.position ?? (await shared.position()) });
  const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
  const fly = (gate: Gate, position: LogPosition) => {
    const cuts: CutReason[] = [];
    const registration = gate.register({ cut: (reason) => void cuts.push(reason) });
    const credential = { ...ALICE, position, tokenId: '', audience: '', client: '', issuedAt: 0, expiresAt: 0 };
    registration.bind(credential, Date.now() / 1000 + 86_400);
    return cuts;
  };

  it('refuses everything before its first lease', async () => {
    const { gate } = replica();
    expect(gate.check({ ...ALICE, position: { epoch: 'e', number: 0 } })).toBe('fenced');
    expect(gate.position).toBeUndefined();
    expect(gate.stalenessSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it('lets a credential of its epoch pass while the lease is renewed', async () => {
    const { gate } = await started();
    await pass(60_000);
    expect(gate.check(await now(gate))).toBeUndefined();
    expect(gate.stalenessSeconds).toBeLessThanOrEqual(0.5);
  });

  it('knows at its first lease what was revoked before it joined', async () => {
    const before = await shared.position();
    await shared.append({ requestId: 'r', target: { kind: 'session', session: 's1' }, until: Date.now() / 1000 + 400 });
    const { gate } = await started();
    expect(gate.check({ ...ALICE, position: before })).toBe('session_revoked');
  });

  it('refuses a credential of another epoch', async () => {
    const { gate } = await started();
    expect(gate.check({ ...ALICE, position: { epoch: 'other', number: 99 } })).toBe('epoch_changed');
  });

  it('is fenced and cuts, L after the last renewal was sent, when the store is away', async () => {
    const { gate, log } = await started();
    const credential = await now(gate);
    const cuts = fly(gate, credential.position);
    const unbound: CutReason[] = [];
    gate.register({ cut: (reason) => void unbound.push(reason) });
    log.away = true;
    await pass(1_400);
    expect(gate.check(credential)).toBeUndefined();
    await pass(601);
    expect(gate.fenced).toBe(true);
    expect(gate.check(credential)).toBe('fenced');
    expect([cuts, unbound]).toEqual([['fenced'], ['fenced']]);
  });

  it('fences again before a lapsed lease is renewed, and then lets pass', async () => {
    const { gate, log } = await started();
    log.away = true;
    await pass(2_100);
    const cuts = fly(gate, (await now(gate)).position);
    const dropped: (LogChange | undefined)[] = [];
    gate.onChange((change) => void dropped.push(change));
    log.away = false;
    await pass(600);
    expect(cuts).toEqual(['fenced']);
    expect(dropped).toContain(undefined);
    expect(gate.check(await now(gate))).toBeUndefined();
  });

  it('is granted nothing by an answer that comes too late', async () => {
    const { gate, log } = await started();
    log.slow = 2_000;
    await pass(10_000);
    expect(gate.fenced).toBe(true);
    log.slow = 100;
    await pass(4_000);
    expect(gate.fenced).toBe(false);
  });

  it('has no first lease from an answer that comes too late', async () => {
    const { gate, log } = replica();
    log.slow = 2_000;
    let leased = false;
    void gate.start().then(() => (leased = true));
    await pass(9_000);
    expect([leased, gate.position, gate.fenced]).toEqual([false, undefined, true]);
    log.slow = 0;
    await pass(3_000);
    expect([leased, gate.fenced]).toEqual([true, false]);
  });

  it('counts its lease from the sending of the renewal, however long the answer took', async () => {
    const { gate, log } = await started();
    log.slow = 800;
    await pass(600); // sent at 500, answered at 1300
    log.away = true;
    await pass(1_890);
    expect(gate.fenced).toBe(false);
    await pass(20);
    expect(gate.fenced).toBe(true);
  });

  it('joins afresh, and lets nothing of the old view pass, when the store says that its log is another', async () => {
    const { gate, log } = await started();
    const credential = await now(gate);
    const cuts = fly(gate, credential.position);
    for (const reason of ['epoch', 'gap', 'rollback'] as const) {
      const cutsNow = fly(gate, credential.position);
      log.lie = () => {
        log.lie = undefined;
        return { ok: false, reason };
      };
      await pass(600);
      expect(cutsNow).toEqual([reason === 'gap' ? 'fenced' : 'epoch_changed']);
      expect(gate.check(credential)).toBeUndefined();
    }
    expect(cuts).toEqual(['epoch_changed']);
  });

  it('does not follow a log with a number missing', async () => {
    const { gate, log } = await started();
    const credential = await now(gate);
    const entry = (number: number): LogEntry => ({
      number,
      change: { kind: 'identity-changed', session: 'x' },
      until: 1,
    });
    let told = false;
    log.lie = (outcome) => {
      if (!outcome.ok || told) return outcome;
      told = true;
      return { ...outcome, entries: [entry(1), entry(3)] };
    };
    const cuts = fly(gate, credential.position);
    await pass(600);
    expect(told).toBe(true);
    expect(cuts).toEqual(['fenced']);
    expect(gate.position?.number).toBe(0);
  });

  it('refuses and cuts in the very tick in which it is asked to revoke', async () => {
    const { gate } = await started();
    const credential = await now(gate);
    const cuts = fly(gate, credential.position);
    const answer = gate.revoke({ target: { kind: 'session', session: 's1' } });
    expect(gate.check(credential)).toBe('session_revoked');
    expect(cuts).toEqual(['session_revoked']);
    await pass(50);
    expect(await answer).toMatchObject({ complete: true, streamsClosed: 1, canSignInAgain: true });
    expect((await answer).missing).toBeUndefined();
  });

  it('lets a credential pass that was minted after the revocation, once the entry has come back', async () => {
    const { gate } = await started();
    const answer = gate.revoke({ target: { kind: 'account', account: 'corp/alice' } });
    await pass(50);
    await answer;
    const later = { ...ALICE, position: await shared.position() };
    expect(gate.check(later)).toBeUndefined();
    expect(gate.check({ ...ALICE, position: { ...later.position, number: 0 } })).toBe('session_revoked');
  });

  it('keeps refusing where the write failed, and lets go when a later one is written', async () => {
    const { gate, log } = await started();
    const target = { kind: 'account', account: 'corp/alice' } as const;
    log.away = true;
    const failed = gate.revoke({ target, requestId: 'r1' });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable', reason: 'revocation_not_written' });
    log.away = false;
    await pass(600);
    expect(gate.check({ ...ALICE, position: await shared.position() })).toBe('session_revoked');
    const written = gate.revoke({ target, requestId: 'r1' });
    await pass(100);
    expect((await written).complete).toBe(true);
    expect(gate.check({ ...ALICE, position: await shared.position() })).toBeUndefined();
  });

  it('answers the same request id with the same revocation, and refuses it for another target', async () => {
    const { gate } = await started();
    const request = { target: { kind: 'session', session: 's1' }, requestId: 'r1' } as const;
    const answers = [gate.revoke(request), gate.revoke(request)];
    await pass(50);
    const [one, two] = await Promise.all(answers);
    expect(two).toEqual(one);
    expect((await shared.position()).number).toBe(1);
    await expect(gate.revoke({ ...request, target: { kind: 'all' } })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('tells each change once, after it has been applied', async () => {
    const { gate } = await started();
    const seen: unknown[] = [];
    const before = await now(gate);
    gate.onChange((change) => void seen.push([change, gate.check(before)]));
    await shared.append({ requestId: 'r', target: { kind: 'session', session: 's1' }, until: Date.now() / 1000 + 400 });
    await pass(1_000);
    expect(seen).toEqual([[{ kind: 'revoked', target: { kind: 'session', session: 's1' } }, 'session_revoked']]);
  });

  it('takes itself out of the registry, and cuts, when it stops', async () => {
    const { gate, log } = await started();
    const cuts = fly(gate, (await now(gate)).position);
    const stopped = gate.stop();
    await pass(10);
    await stopped;
    expect(cuts).toEqual(['shutdown']);
    expect(log.left).toHaveLength(1);
    expect(gate.fenced).toBe(true);
  });

  it('does not cut what was minted after the entry, where the entry itself comes late', async () => {
    const { gate, log } = await started();
    const before = await shared.position();
    log.away = true;
    const until = Date.now() / 1000 + 400;
    const { position } = await shared.append({ requestId: 'r', target: { kind: 'all' }, until });
    const [old, fresh] = [fly(gate, before), fly(gate, position)];
    log.away = false;
    await pass(1_100);
    expect([old, fresh]).toEqual([['session_revoked'], []]);
  });

  describe('with another replica', () => {
    it('cuts there too, and answers incomplete with its receipt', async () => {
      const a = await started('a');
      const b = await started('b');
      await pass(600);
      const cuts = fly(b.gate, (await now(b.gate)).position);
      const answer = a.gate.revoke({ target: { kind: 'session', session: 's1' }, requestId: 'r1' });
      await pass(200);
      expect(cuts).toEqual(['session_revoked']);
      expect(await answer).toMatchObject({
        complete: false,
        streamsClosed: 1,
        replicas: [
          { id: 'a', state: 'applied', streamsClosed: 0 },
          { id: 'b', state: 'applied', streamsClosed: 1 },
        ],
      });
      expect((await answer).missing).toHaveLength(1);
    });

    it('waits about W for a replica that does not answer, then names it; its receipt is taken in later', async () => {
      const a = await started('a');
      const b = await started('b');
      await pass(600);
      b.log.away = true;
      let settled = false;
      const answer = a.gate.revoke({ target: { kind: 'session', session: 's1' }, requestId: 'r1' });
      void answer.finally(() => (settled = true));
      await pass(2_000);
      expect(settled).toBe(false);
      await pass(200);
      expect(await answer).toMatchObject({ complete: false, missing: ['replica b: no receipt yet'] });
      b.log.away = false;
      await pass(1_200);
      expect(a.gate.answer('r1')?.replicas[1]).toMatchObject({ id: 'b', state: 'applied' });
      await pass(600_000);
      expect(a.gate.answer('r1')).toBeUndefined();
    });

    it('does not count one that has been silent for W, and takes it out of the registry after a minute', async () => {
      const a = await started('a');
      const b = await started('b');
      await pass(600);
      b.log.away = true;
      await pass(3_000);
      const answer = a.gate.revoke({ target: { kind: 'session', session: 's1' } });
      await pass(100);
      expect(await answer).toMatchObject({ complete: true });
      expect(a.log.left).toEqual([]);
      await pass(61_000);
      expect(a.log.left).toHaveLength(1);
    });
  });

  it('does not turn hints without entries into a busy loop', async () => {
    const { gate, log } = replica();
    log.waitForEntry = () => Promise.resolve();
    await gate.start();
    await pass(5_000);
    expect(log.renewals).toBeLessThan(40);
  });
});
