import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lease } from '../../../src/revocation/lease.ts';
import { Peers } from '../../../src/revocation/peers.ts';

describe('the lease', () => {
  it('holds from the sending of the renewal, not from its answer', () => {
    const lease = new Lease(2000);
    expect(lease.judge(1000, 1900)).toBe('first');
    lease.grant(1000);
    expect(lease.holds(2999)).toBe(true);
    expect(lease.holds(3000)).toBe(false);
  });

  it('is granted nothing by an answer that came after the lease it could have given', () => {
    expect(new Lease(2000).judge(1000, 3000)).toBe('late');
    expect(new Lease(2000).judge(1000, 2999)).toBe('first');
  });

  it('is told apart as lapsed when the answer comes after the old deadline', () => {
    const lease = new Lease(2000);
    lease.grant(1000);
    expect(lease.judge(2500, 2999)).toBe('extended');
    expect(lease.judge(2500, 3000)).toBe('lapsed');
  });

  it('never moves its deadline back', () => {
    const lease = new Lease(2000);
    lease.grant(1000);
    lease.grant(500);
    expect(lease.deadline).toBe(3000);
  });

  it('holds at no moment that is L or more after the last renewal was sent', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000), { minLength: 1 }), fc.nat(20_000), (sent, now) => {
        const lease = new Lease(2000);
        for (const at of sent) lease.grant(at);
        expect(lease.holds(now)).toBe(now < Math.max(...sent) + 2000);
      }),
    );
  });

  it('is stale since the last grant, also after it was dropped', () => {
    const lease = new Lease(2000);
    lease.grant(1000);
    lease.drop();
    expect(lease.holds(1001)).toBe(false);
    expect(lease.freshAt).toBe(1000);
  });
});

describe('the other replicas', () => {
  const state = (incarnation: string, count: number) => ({
    incarnation,
    name: incarnation,
    count,
    number: 0,
    streamsCut: 0,
  });
  const names = (peers: Peers, now: number): string[] => peers.alive(now).map((peer) => peer.state.incarnation);

  it('are alive while their count moves, and when they are seen for the first time', () => {
    const peers = new Peers('me', 2102);
    peers.observe([state('me', 1), state('b', 1)], 0);
    expect(names(peers, 2101)).toEqual(['b']);
    peers.observe([state('b', 2)], 2101);
    peers.observe([state('b', 2)], 4000);
    expect(names(peers, 4202)).toEqual(['b']);
    expect(names(peers, 4203)).toEqual([]);
  });

  it('are forgotten once they have left the registry', () => {
    const peers = new Peers('me', 2102);
    peers.observe([state('b', 1)], 0);
    peers.observe([], 1);
    expect(peers.get('b')).toBeUndefined();
  });

  it('are named as silent after the time that is asked for', () => {
    const peers = new Peers('me', 2102);
    peers.observe([state('b', 1), state('c', 1)], 0);
    peers.observe([state('b', 1), state('c', 2)], 50_000);
    expect(peers.silent(60_000, 60_000)).toEqual(['b']);
  });
});
