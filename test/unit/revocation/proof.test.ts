import { describe, expect, it } from 'vitest';
import { isGenerationOver, judgeProof } from '../../../src/revocation/proof.ts';
import type { UnbrokenLease, OtherReplica, ProofInput, Written } from '../../../src/revocation/proof.ts';

const W = 2102;
const ARRIVED = 10_000;
const written: Written = {
  position: { epoch: 'e', number: 5 },
  generation: 'r',
  acknowledged: true,
  arrivedAtMs: ARRIVED,
  sessions: 1,
};
/** It has followed this generation for long, and has renewed since. */
const unbrokenLease: UnbrokenLease = { epoch: 'e', generation: 'r', sinceMs: 0, renewedAtMs: ARRIVED + 1, waitMs: W };
const other = (state: OtherReplica['state'], name = 'b'): OtherReplica => ({ name, state, withinMs: 2050 });
const judge = (change: Partial<ProofInput>) =>
  judgeProof({ written, isBack: true, streamsLeft: 0, others: [], unbrokenLease, nowMs: ARRIVED + 5, ...change });

describe('the primary generation in which an entry was written', () => {
  it.each([
    ['this one', 'e', 'r', ARRIVED + 1, false],
    ['another epoch, seen since', 'f', 'r', ARRIVED + 1, true],
    ['another server process, seen since', 'e', 's', ARRIVED + 1, true],
    ['another epoch, seen before and perhaps the older one', 'f', 'r', ARRIVED, false],
  ])('is over: %s', (_which, epoch, generation, renewedAtMs, over) => {
    expect(isGenerationOver({ ...unbrokenLease, epoch, generation, renewedAtMs }, written)).toBe(over);
  });
});

describe('the proof', () => {
  it('is given immediately if there is no other replica', () => {
    expect(judge({})).toEqual({ outcome: 'proven' });
  });

  it('waits until this replica has applied the entry itself', () => {
    const missing = ['this replica: it has not yet read the entry back'];
    expect(judge({ isBack: false, nowMs: ARRIVED + W })).toEqual({ outcome: 'open', missing });
  });

  it('waits until this replica has closed the streams', () => {
    const missing = ['this replica: it still closes streams, 7 are left'];
    expect(judge({ streamsLeft: 7, nowMs: ARRIVED + W })).toEqual({ outcome: 'open', missing });
  });

  it('is given when every other replica has applied the entry or has no lease', () => {
    expect(judge({ others: [other('applied'), other('fenced', 'c')] })).toEqual({ outcome: 'proven' });
  });

  it('waits for each replica that has not, and names it, also beyond W', () => {
    const others = [other('applied'), other('pending', 'c'), other('pending', 'd')];
    const open = { outcome: 'open', missing: ['replica c: within 2.0 s', 'replica d: within 2.0 s'] };
    expect(judge({ others: others.map((each) => ({ ...each, withinMs: 2000 })) })).toEqual(open);
    expect(judge({ others, nowMs: ARRIVED + W })).toMatchObject({ outcome: 'open' });
  });

  it('waits until enough followers have confirmed the entry, or a renewal that was sent after it', () => {
    const unconfirmed = { ...written, acknowledged: false };
    const before = { ...unbrokenLease, renewedAtMs: ARRIVED };
    const missing = ['redis: not enough followers have acknowledged'];
    expect(judge({ written: unconfirmed, unbrokenLease: before })).toEqual({ outcome: 'open', missing });
    expect(judge({ written: unconfirmed, unbrokenLease: before, nowMs: ARRIVED + W })).toEqual({
      outcome: 'open',
      missing,
    });
    expect(judge({ written: unconfirmed })).toEqual({ outcome: 'proven' });
  });

  it('waits, in a young generation, for leases of the generation before: W since we follow it, or since the entry', () => {
    const young = { ...unbrokenLease, sinceMs: ARRIVED - 100 };
    const open = { outcome: 'open', missing: [expect.stringContaining('within 2.0 s')] };
    expect(judge({ unbrokenLease: young, nowMs: ARRIVED })).toEqual(open);
    expect(judge({ unbrokenLease: young, nowMs: ARRIVED + W - 101 })).toMatchObject({ outcome: 'open' });
    expect(judge({ unbrokenLease: young, nowMs: ARRIVED + W - 100 })).toEqual({ outcome: 'proven' });
    const later = { ...unbrokenLease, sinceMs: ARRIVED + 50 };
    expect(judge({ unbrokenLease: later, nowMs: ARRIVED + W - 1 })).toMatchObject({ outcome: 'open' });
    expect(judge({ unbrokenLease: later, nowMs: ARRIVED + W })).toEqual({ outcome: 'proven' });
  });

  it('waits for the longest lease of an earlier generation, however long its own lease is', () => {
    const young = { ...unbrokenLease, sinceMs: ARRIVED - 100, waitMs: 10_110 };
    expect(judge({ unbrokenLease: young, nowMs: ARRIVED + 10_009 })).toMatchObject({ outcome: 'open' });
    expect(judge({ unbrokenLease: young, nowMs: ARRIVED + 10_010 })).toEqual({ outcome: 'proven' });
  });

  it('counts nothing from a reply that no follower confirmed: a primary that has been replaced sends it too', () => {
    const unconfirmed = { ...written, acknowledged: false };
    const young = { ...unbrokenLease, sinceMs: ARRIVED + W, renewedAtMs: ARRIVED + W };
    expect(judge({ written: unconfirmed, unbrokenLease: young, nowMs: ARRIVED + W })).toMatchObject({
      outcome: 'open',
    });
    expect(judge({ written: unconfirmed, unbrokenLease: young, nowMs: ARRIVED + 2 * W })).toEqual({
      outcome: 'proven',
    });
  });

  it('is never given by a replica without a lease, however long it takes', () => {
    expect(judge({ unbrokenLease: undefined, nowMs: ARRIVED + 60_000 })).toMatchObject({ outcome: 'open' });
  });

  it.each([{ epoch: 'other' }, { generation: 'other' }])('is void with a new primary generation: %j', (change) => {
    const verdict = judge({ unbrokenLease: { ...unbrokenLease, ...change }, nowMs: ARRIVED + 60_000 });
    expect(verdict).toEqual({ outcome: 'void', missing: [expect.stringContaining('to be sure')] });
  });

  it('is open, not void, if the entry is the first sign of a new generation that reaches this replica', () => {
    const old = { ...unbrokenLease, epoch: 'old', generation: 'old', renewedAtMs: ARRIVED - 100 };
    expect(judge({ unbrokenLease: old })).toMatchObject({ outcome: 'open' });
  });
});
