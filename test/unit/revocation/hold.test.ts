import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Gate } from '../../../src/revocation/revocation.ts';
import type { RevocationLog } from '../../../src/store/store.ts';
import { ALICE, fly, pass, replicas } from './replicas-of-a-test.ts';

describe('a hold', () => {
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
  const started = () => made.started();
  const now = (gate: Gate) => made.now(gate);

  it('lasts for as long as it is told, each time anew, and writes nothing', async () => {
    const { gate } = await started();
    const alice = await now(gate);
    const cuts = fly(gate, alice.position);
    expect(gate.hold({ kind: 'account', account: ALICE.account }, 10)).toBe(1);
    expect([gate.check(alice), cuts]).toEqual(['session_revoked', ['session_revoked']]);
    await pass(6_000);
    expect(gate.hold({ kind: 'account', account: ALICE.account }, 10)).toBe(0);
    await pass(9_900);
    expect(gate.check(alice)).toBe('session_revoked');
    await pass(200);
    expect(gate.check(alice)).toBeUndefined();
    expect((await shared.position()).number).toBe(0);
  });

  it('ends when a revocation of its target comes through the log, which spares who signs in behind that', async () => {
    const { gate } = await started();
    const alice = await now(gate);
    gate.hold({ kind: 'account', account: ALICE.account }, 20);
    await shared.append({ requestId: 'r', target: { kind: 'account', account: ALICE.account } });
    await pass(600);
    expect([gate.check(alice), gate.check(await now(gate))]).toEqual(['session_revoked', undefined]);
    // The end of a hold that is over lets go of no later one.
    await pass(18_000);
    gate.hold({ kind: 'account', account: ALICE.account }, 20);
    await pass(2_000);
    expect(gate.check(await now(gate))).toBe('session_revoked');
  });

  it('leaves shut what a revocation that could not be written keeps shut', async () => {
    const { gate, log } = await started();
    const alice = await now(gate);
    const target = { kind: 'account', account: ALICE.account } as const;
    log.away = true;
    await expect(gate.revoke({ target })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    log.away = false;
    gate.hold(target, 10);
    await pass(11_000);
    expect(gate.check(alice)).toBe('session_revoked');
  });
});
