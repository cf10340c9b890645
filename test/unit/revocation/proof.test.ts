import { describe, expect, it } from 'vitest';
import { isOver, judgeProof } from '../../../src/revocation/proof.ts';
import type { UnbrokenLease, OtherReplica, ProofQuestion, Written } from '../../../src/revocation/proof.ts';

const W = 2102;
const ARRIVED = 10_000;
const written: Written = {
  position: { epoch: 'e', number: 5 },
  generation: 'r',
  acknowledged: true,
  arrivedAt: ARRIVED,
  sessions: 1,
};
/** It has followed this life for long, and has renewed since. */
const footing: UnbrokenLease = { epoch: 'e', generation: 'r', sinceMs: 0, renewedAtMs: ARRIVED + 1, waitMs: W };
const other = (state: OtherReplica['state'], name = 'b'): OtherReplica => ({ name, state, withinMs: 2050 });
const judge = (change: Partial<ProofQuestion>) =>
  judgeProof({ written, isBack: true, isCutting: false, others: [], footing, now: ARRIVED + 5, ...change });

describe('the life of the store in which an entry was written', () => {
  it.each([
    ['this one', 'e', 'r', ARRIVED + 1, false],
    ['another epoch, seen since', 'f', 'r', ARRIVED + 1, true],
    ['another server process, seen since', 'e', 's', ARRIVED + 1, true],
    ['another epoch, seen before and perhaps the older one', 'f', 'r', ARRIVED, false],
  ])('is over: %s', (_which, epoch, generation, renewedAtMs, over) => {
    expect(isOver({ ...footing, epoch, generation, renewedAtMs }, written)).toBe(over);
  });
});

describe('the proof', () => {
  it('is there at once where nobody else is', () => {
    expect(judge({})).toEqual({ outcome: 'proven' });
  });

  it('waits until this replica has applied the entry itself', () => {
    const missing = ['this replica: it has not yet read the entry back'];
    expect(judge({ isBack: false, now: ARRIVED + W })).toEqual({ outcome: 'open', missing });
  });

  it('waits until this replica has closed the streams', () => {
    const missing = ['this replica: it still closes streams'];
    expect(judge({ isCutting: true, now: ARRIVED + W })).toEqual({ outcome: 'open', missing });
  });

  it('is there when every other has applied the entry or has no lease', () => {
    expect(judge({ others: [other('applied'), other('fenced', 'c')] })).toEqual({ outcome: 'proven' });
  });

  it('waits for each replica that has not, and names it, also beyond W', () => {
    const others = [other('applied'), other('pending', 'c'), other('pending', 'd')];
    const open = { outcome: 'open', missing: ['replica c: within 2.0 s', 'replica d: within 2.0 s'] };
    expect(judge({ others: others.map((each) => ({ ...each, withinMs: 2000 })) })).toEqual(open);
    expect(judge({ others, now: ARRIVED + W })).toMatchObject({ outcome: 'open' });
  });

  it('waits until enough followers have confirmed the entry, or a renewal that was sent after it', () => {
    const unconfirmed = { ...written, acknowledged: false };
    const before = { ...footing, renewedAtMs: ARRIVED };
    const missing = ['redis: not enough followers have acknowledged'];
    expect(judge({ written: unconfirmed, footing: before })).toEqual({ outcome: 'open', missing });
    expect(judge({ written: unconfirmed, footing: before, now: ARRIVED + W })).toEqual({ outcome: 'open', missing });
    expect(judge({ written: unconfirmed })).toEqual({ outcome: 'proven' });
  });

  it('waits, in a young life of the store, for leases of the life before: W since we follow it, or since the entry', () => {
    const young = { ...footing, sinceMs: ARRIVED - 100 };
    const open = { outcome: 'open', missing: [expect.stringContaining('within 2.0 s')] };
    expect(judge({ footing: young, now: ARRIVED })).toEqual(open);
    expect(judge({ footing: young, now: ARRIVED + W - 101 })).toMatchObject({ outcome: 'open' });
    expect(judge({ footing: young, now: ARRIVED + W - 100 })).toEqual({ outcome: 'proven' });
    const later = { ...footing, sinceMs: ARRIVED + 50 };
    expect(judge({ footing: later, now: ARRIVED + W - 1 })).toMatchObject({ outcome: 'open' });
    expect(judge({ footing: later, now: ARRIVED + W })).toEqual({ outcome: 'proven' });
  });

  it('waits for the longest lease of an earlier life, whatever the own one is', () => {
    const young = { ...footing, sinceMs: ARRIVED - 100, waitMs: 10_110 };
    expect(judge({ footing: young, now: ARRIVED + 10_009 })).toMatchObject({ outcome: 'open' });
    expect(judge({ footing: young, now: ARRIVED + 10_010 })).toEqual({ outcome: 'proven' });
  });

  it('counts nothing from an answer that no follower confirmed: a primary that has been replaced gives it too', () => {
    const unconfirmed = { ...written, acknowledged: false };
    const young = { ...footing, sinceMs: ARRIVED + W, renewedAtMs: ARRIVED + W };
    expect(judge({ written: unconfirmed, footing: young, now: ARRIVED + W })).toMatchObject({ outcome: 'open' });
    expect(judge({ written: unconfirmed, footing: young, now: ARRIVED + 2 * W })).toEqual({ outcome: 'proven' });
  });

  it('is never given by a replica without a lease, however long it takes', () => {
    expect(judge({ footing: undefined, now: ARRIVED + 60_000 })).toMatchObject({ outcome: 'open' });
  });

  it.each([{ epoch: 'other' }, { generation: 'other' }])(
    'is void when the store has begun a new life: %j',
    (change) => {
      const verdict = judge({ footing: { ...footing, ...change }, now: ARRIVED + 60_000 });
      expect(verdict).toEqual({ outcome: 'void', missing: [expect.stringContaining('send it again to be sure')] });
    },
  );

  it('is open, not void, where the entry is the first that this replica hears of a new life', () => {
    const old = { ...footing, epoch: 'old', generation: 'old', renewedAtMs: ARRIVED - 100 };
    expect(judge({ footing: old })).toMatchObject({ outcome: 'open' });
  });
});
