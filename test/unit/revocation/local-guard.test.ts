import { describe, expect, it } from 'vitest';
import { accountKey, coveringKeys, providerKey, sessionKey } from '../../../src/core/credential/revocation.ts';
import type { LogEntry, LogPosition, TargetKey } from '../../../src/core/credential/revocation.ts';
import { LocalGuard } from '../../../src/revocation/local-guard.ts';

const ALICE = coveringKeys({ session: 's1', account: 'corp/alice', provider: 'corp' });
const ACCOUNT = accountKey('corp/alice');
const at = (number: number): LogPosition => ({ epoch: 'e', number });
const entry = (number: number, key: TargetKey): LogEntry => ({ number, change: { kind: 'revoked', key }, until: 1 });

describe('the local guard', () => {
  it.each([sessionKey('s1'), ACCOUNT, providerKey('corp'), 'all'] as const)(
    'is shut for what a hold of %s targets',
    (key) => {
      const guard = new LocalGuard();
      expect(guard.rejects(ALICE)).toBe(false);
      guard.hold(key, 'r1');
      expect(guard.rejects(ALICE)).toBe(true);
      guard.release(key, 'r1');
      expect(guard.rejects(ALICE)).toBe(false);
    },
  );

  it('is shut for what is beneath a session that is held, and for nothing above it', () => {
    const guard = new LocalGuard();
    const ancestors = ['s1', 's2'];
    const child = coveringKeys({ session: 's3', account: 'corp/alice', provider: 'corp', ancestors });
    for (const held of ['s1', 's2', 's3']) {
      guard.hold(sessionKey(held), held);
      expect([held, guard.rejects(child), guard.rejects(ALICE)]).toEqual([held, true, held === 's1']);
      guard.release(sessionKey(held), held);
    }
    expect(guard.rejects(child)).toBe(false);
  });

  it('rejects while another request holds the same target', () => {
    const guard = new LocalGuard();
    guard.hold(ACCOUNT, 'r1');
    guard.hold(ACCOUNT, 'r2');
    guard.release(ACCOUNT, 'r1');
    expect(guard.rejects(ALICE)).toBe(true);
  });

  it('rejects for a request that failed until an entry of the same target comes that was not known when it was asked', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.hold(ACCOUNT, 'r1');
    guard.failed(ACCOUNT, 'r1');
    guard.applied(entry(5, sessionKey('s1')));
    guard.applied(entry(4, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(true);
    guard.applied(entry(6, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(false);
  });

  it('knows of an entry that was written here before it comes back', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.written(at(6));
    guard.applied(entry(5, sessionKey('another')));
    guard.hold(ACCOUNT, 'r2');
    guard.failed(ACCOUNT, 'r2');
    guard.applied(entry(6, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(true);
  });

  it('knows of an entry that it has followed, also when a join brings it once more', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.applied(entry(5, ACCOUNT));
    guard.hold(ACCOUNT, 'r1');
    guard.failed(ACCOUNT, 'r1');
    guard.joined(at(5));
    guard.applied(entry(5, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(true);
  });

  it('does not measure by what was written in another primary generation', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.written({ epoch: 'another', number: 9 });
    guard.hold(ACCOUNT, 'r1');
    guard.failed(ACCOUNT, 'r1');
    guard.applied(entry(5, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(false);
  });

  it('does not take a change that revokes nothing for a revocation of its target', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.hold(sessionKey('s1'), 'r1');
    guard.failed(sessionKey('s1'), 'r1');
    guard.applied({ number: 5, change: { kind: 'identity-changed', key: sessionKey('s1') }, until: 1 });
    expect(guard.rejects(ALICE)).toBe(true);
  });

  it('rejects while a request has no result, whatever comes meanwhile, and releases at its failure then', () => {
    const guard = new LocalGuard();
    guard.joined(at(4));
    guard.hold(ACCOUNT, 'r1');
    guard.applied(entry(5, ACCOUNT));
    expect(guard.rejects(ALICE)).toBe(true);
    guard.failed(ACCOUNT, 'r1');
    expect(guard.rejects(ALICE)).toBe(false);
  });

  it('releases what failed in another primary generation, and nothing in this one', () => {
    const guard = new LocalGuard();
    guard.hold('all', 'before the first');
    guard.failed('all', 'before the first');
    guard.joined(at(4));
    guard.joined(at(9));
    expect(guard.rejects(ALICE)).toBe(true);
    guard.joined({ epoch: 'another', number: 1 });
    expect(guard.rejects(ALICE)).toBe(false);
  });

  it('releases a request that was never one, and no other', () => {
    const guard = new LocalGuard();
    guard.hold(ACCOUNT, 'failed');
    guard.failed(ACCOUNT, 'failed');
    guard.hold(ACCOUNT, 'conflict');
    guard.release(ACCOUNT, 'conflict');
    expect(guard.rejects(ALICE)).toBe(true);
  });
});
