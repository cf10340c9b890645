import { describe, expect, it } from 'vitest';
import { accountKey, coveringKeys, providerKey, sessionKey } from '../../../src/core/revocation.ts';
import { OwnGate } from '../../../src/revocation/own-gate.ts';

const ALICE = coveringKeys({ session: 's1', account: 'corp/alice', provider: 'corp' });
const ACCOUNT = accountKey('corp/alice');

describe('the own gate', () => {
  it.each([sessionKey('s1'), ACCOUNT, providerKey('corp'), 'all'] as const)(
    'is shut for what a hold of %s targets',
    (key) => {
      const gate = new OwnGate();
      expect(gate.shutFor(ALICE)).toBe(false);
      gate.hold(key, 'r1');
      expect(gate.shutFor(ALICE)).toBe(true);
      gate.release(key, 'r1');
      expect(gate.shutFor(ALICE)).toBe(false);
    },
  );

  it('stays shut while another request holds the same target', () => {
    const gate = new OwnGate();
    gate.hold(ACCOUNT, 'r1');
    gate.hold(ACCOUNT, 'r2');
    gate.release(ACCOUNT, 'r1');
    expect(gate.shutFor(ALICE)).toBe(true);
  });

  it('stays shut for a request that failed until another of the same target has been written', () => {
    const gate = new OwnGate();
    gate.hold(ACCOUNT, 'r1');
    gate.failed(ACCOUNT, 'r1');
    gate.hold(ACCOUNT, 'r2');
    gate.release(sessionKey('s1'), 'r3');
    expect(gate.shutFor(ALICE)).toBe(true);
    gate.release(ACCOUNT, 'r2');
    expect(gate.shutFor(ALICE)).toBe(false);
  });

  it('lets go of a request that was never one, and of nobody else', () => {
    const gate = new OwnGate();
    gate.hold(ACCOUNT, 'failed');
    gate.failed(ACCOUNT, 'failed');
    gate.hold(ACCOUNT, 'conflict');
    gate.withdraw(ACCOUNT, 'conflict');
    expect(gate.shutFor(ALICE)).toBe(true);
  });
});
