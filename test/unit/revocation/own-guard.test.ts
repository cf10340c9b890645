import { describe, expect, it } from 'vitest';
import { accountKey, coveringKeys, providerKey, sessionKey } from '../../../src/core/credential/revocation.ts';
import type { LogEntry, LogPosition, TargetKey } from '../../../src/core/credential/revocation.ts';
import { OwnGate } from '../../../src/revocation/own-guard.ts';

const ALICE = coveringKeys({ session: 's1', account: 'corp/alice', provider: 'corp' });
const ACCOUNT = accountKey('corp/alice');
const at = (number: number): LogPosition => ({ epoch: 'e', number });
const entry = (number: number, key: TargetKey): LogEntry => ({ number, change: { kind: 'revoked', key }, until: 1 });

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

  it('stays shut for a request that failed until an entry of the same target comes that was not known when it was asked', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.hold(ACCOUNT, 'r1');
    gate.failed(ACCOUNT, 'r1');
    gate.applied(entry(5, sessionKey('s1')));
    gate.applied(entry(4, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(true);
    gate.applied(entry(6, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(false);
  });

  it('knows of an entry that was written here before it comes back', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.written(at(6));
    gate.applied(entry(5, sessionKey('another')));
    gate.hold(ACCOUNT, 'r2');
    gate.failed(ACCOUNT, 'r2');
    gate.applied(entry(6, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(true);
  });

  it('knows of an entry that it has followed, also when a join brings it once more', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.applied(entry(5, ACCOUNT));
    gate.hold(ACCOUNT, 'r1');
    gate.failed(ACCOUNT, 'r1');
    gate.began(at(5));
    gate.applied(entry(5, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(true);
  });

  it('does not measure by what was written in another life of the store', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.written({ epoch: 'another', number: 9 });
    gate.hold(ACCOUNT, 'r1');
    gate.failed(ACCOUNT, 'r1');
    gate.applied(entry(5, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(false);
  });

  it('takes a change that revokes nobody for no revocation of its target', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.hold(sessionKey('s1'), 'r1');
    gate.failed(sessionKey('s1'), 'r1');
    gate.applied({ number: 5, change: { kind: 'identity-changed', key: sessionKey('s1') }, until: 1 });
    expect(gate.shutFor(ALICE)).toBe(true);
  });

  it('stays shut while a request is not answered, whatever comes meanwhile, and lets go at its failure then', () => {
    const gate = new OwnGate();
    gate.began(at(4));
    gate.hold(ACCOUNT, 'r1');
    gate.applied(entry(5, ACCOUNT));
    expect(gate.shutFor(ALICE)).toBe(true);
    gate.failed(ACCOUNT, 'r1');
    expect(gate.shutFor(ALICE)).toBe(false);
  });

  it('lets go of what failed in another life of the store, and of nothing in this one', () => {
    const gate = new OwnGate();
    gate.hold('all', 'before the first');
    gate.failed('all', 'before the first');
    gate.began(at(4));
    gate.began(at(9));
    expect(gate.shutFor(ALICE)).toBe(true);
    gate.began({ epoch: 'another', number: 1 });
    expect(gate.shutFor(ALICE)).toBe(false);
  });

  it('lets go of a request that was never one, and of nobody else', () => {
    const gate = new OwnGate();
    gate.hold(ACCOUNT, 'failed');
    gate.failed(ACCOUNT, 'failed');
    gate.hold(ACCOUNT, 'conflict');
    gate.release(ACCOUNT, 'conflict');
    expect(gate.shutFor(ALICE)).toBe(true);
  });
});
