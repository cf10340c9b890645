import { describe, expect, it } from 'vitest';
import { Peers } from '../../../src/revocation/peers.ts';
import { replicaViews } from '../../../src/revocation/replicas.ts';

const state = (incarnation: string, count: number) => ({
  incarnation,
  name: incarnation,
  count,
  number: 0,
  streamsCut: 0,
  leaseMs: 2000,
});
const silent = (peers: Peers): string[] =>
  peers
    .all()
    .filter((peer) => peer.silent)
    .map((peer) => peer.state.incarnation);

describe('the other replicas', () => {
  it('are silent once their count has not moved for W, from one reading to another', () => {
    const peers = new Peers('me');
    peers.observe([state('me', 1), state('b', 1)], 0);
    peers.observe([state('b', 1)], 2101);
    expect(silent(peers)).toEqual([]);
    peers.observe([state('b', 1)], 2102);
    expect(silent(peers)).toEqual(['b']);
    peers.observe([state('b', 2)], 2103);
    expect(silent(peers)).toEqual([]);
  });

  it('are silent by the lease that each has registered: none counts as the longest, and a shorter one later does not count', () => {
    const peers = new Peers('me');
    const { leaseMs: _none, ...unregistered } = state('0.1.0', 1);
    peers.observe([{ ...state('long', 1), leaseMs: 10_000 }, unregistered], 0);
    peers.observe([{ ...state('long', 1), leaseMs: 1000 }, unregistered], 10_109);
    expect(silent(peers)).toEqual([]);
    peers.observe([{ ...state('long', 1), leaseMs: 1000 }, unregistered], 10_110);
    expect(silent(peers)).toEqual(['long']);
    peers.observe([unregistered], 30_129);
    expect(silent(peers)).toEqual([]);
    peers.observe([unregistered], 30_130);
    expect(silent(peers)).toEqual(['0.1.0']);
  });

  it('are not silent for time in which the registry was not read', () => {
    const peers = new Peers('me');
    peers.observe([state('b', 1)], 0);
    expect(peers.get('b')?.silent).toBe(false);
    peers.observe([state('b', 9)], 60_000);
    expect(silent(peers)).toEqual([]);
  });

  it('are forgotten once they have left the registry', () => {
    const peers = new Peers('me');
    peers.observe([state('b', 1)], 0);
    peers.observe([], 1);
    expect(peers.get('b')).toBeUndefined();
  });

  it('are named as gone after the given time', () => {
    const peers = new Peers('me');
    peers.observe([state('b', 1), state('c', 1)], 0);
    peers.observe([state('b', 1), state('c', 2)], 50_000);
    expect(peers.gone(60_000, 60_000)).toEqual([state('b', 1)]);
  });

  it('are shown with this one, each with its name and incarnation', () => {
    const peers = new Peers('me');
    peers.observe([state('b', 1), { ...state('c', 1), drill: { id: 'd', state: 'open' } }], 0);
    peers.observe([state('b', 1), { ...state('c', 2), drill: { id: 'd', state: 'open' } }], 3000);
    const own = {
      id: 'a',
      incarnation: 'me',
      fenced: true,
      freshAtMs: 500,
      number: 7,
      streamsCut: 2,
      drill: undefined,
    };
    expect(replicaViews(own, peers.all(), 3100)).toEqual([
      { id: 'a', incarnation: 'me', self: true, state: 'fenced', seenMsAgo: 2600, number: 7, streamsCut: 2 },
      { id: 'b', incarnation: 'b', self: false, state: 'silent', seenMsAgo: 3100, number: 0, streamsCut: 0 },
      {
        id: 'c',
        incarnation: 'c',
        self: false,
        state: 'live',
        seenMsAgo: 100,
        number: 0,
        streamsCut: 0,
        drill: { id: 'd', state: 'open' },
      },
    ]);
  });
});
