import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RevocationGuard } from '../../../src/revocation/revocation.ts';
import type { RevocationLog } from '../../../src/store/store.ts';
import { ALICE, fly, pass, replicas } from './replica-harness.ts';

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
  const now = (guard: RevocationGuard) => made.now(guard);

  it('lasts for the given time, from the start again with each call, and writes nothing', async () => {
    const { guard } = await started();
    const alice = await now(guard);
    const cuts = fly(guard, alice.position);
    expect(guard.hold({ kind: 'account', account: ALICE.account }, 10)).toBe(1);
    expect([guard.check(alice), cuts]).toEqual(['session_revoked', ['session_revoked']]);
    await pass(6_000);
    expect(guard.hold({ kind: 'account', account: ALICE.account }, 10)).toBe(0);
    await pass(9_900);
    expect(guard.check(alice)).toBe('session_revoked');
    await pass(200);
    expect(guard.check(alice)).toBeUndefined();
    expect((await shared.position()).number).toBe(0);
  });

  it('ends when a revocation of its target comes through the log, and then accepts users who sign in after that', async () => {
    const { guard } = await started();
    const alice = await now(guard);
    guard.hold({ kind: 'account', account: ALICE.account }, 20);
    await shared.append({ requestId: 'r', target: { kind: 'account', account: ALICE.account } });
    await pass(600);
    expect([guard.check(alice), guard.check(await now(guard))]).toEqual(['session_revoked', undefined]);
    // The end of a hold that is over releases no later one.
    await pass(18_000);
    guard.hold({ kind: 'account', account: ALICE.account }, 20);
    await pass(2_000);
    expect(guard.check(await now(guard))).toBe('session_revoked');
  });

  it('does not release a target that a revocation which could not be written holds', async () => {
    const { guard, log } = await started();
    const alice = await now(guard);
    const target = { kind: 'account', account: ALICE.account } as const;
    log.away = true;
    await expect(guard.revoke({ target })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    log.away = false;
    guard.hold(target, 10);
    await pass(11_000);
    expect(guard.check(alice)).toBe('session_revoked');
  });
});
