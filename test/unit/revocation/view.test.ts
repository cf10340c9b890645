import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coveringKeys, grantKey, sessionKey, targetKey, targets } from '../../../src/core/credential/revocation.ts';
import type { LogEntry, RevocationTarget } from '../../../src/core/credential/revocation.ts';
import { View } from '../../../src/revocation/view.ts';

const ALICE = coveringKeys({ session: 's1', account: 'corp/alice', provider: 'corp' });

const revoked = (number: number, target: RevocationTarget, until = 1000): LogEntry => ({
  number,
  change: { kind: 'revoked', key: targetKey(target) },
  until,
});

const ALL_KINDS: readonly RevocationTarget[] = [
  { kind: 'session', session: 's1' },
  { kind: 'account', account: 'corp/alice' },
  { kind: 'provider', provider: 'corp' },
  { kind: 'all' },
];

describe('the view', () => {
  it.each(ALL_KINDS)('covers a credential minted before an entry of kind $kind, and not one minted after', (target) => {
    const view = new View();
    view.apply(revoked(5, target));
    expect(view.covers(ALICE, 4)).toBe(true);
    expect(view.covers(ALICE, 5)).toBe(false);
  });

  it('ends a grant by any entry about it, the first of the log too, and covers no session by it', () => {
    const view = new View();
    view.apply(revoked(1, { kind: 'grant', grant: 'g1', session: 's1' }));
    expect(['g1', 'g2'].map((grant) => view.endsGrant(grantKey(grant)))).toEqual([true, false]);
    expect(view.covers(ALICE, 0)).toBe(false);
  });

  it('covers a delegated session by an entry of any session above it, and of none beneath', () => {
    const child = { session: 's3', account: 'corp/alice', provider: 'corp', ancestors: ['s1', 's2'] } as const;
    for (const session of ['s1', 's2', 's3']) {
      const view = new View();
      view.apply(revoked(5, { kind: 'session', session }));
      expect([view.covers(coveringKeys(child), 4), view.covers(coveringKeys(child), 5)]).toEqual([true, false]);
      expect(targets({ kind: 'session', session }, child)).toBe(true);
    }
    const view = new View();
    view.apply(revoked(5, { kind: 'session', session: 's3' }));
    expect(view.covers(ALICE, 4)).toBe(false);
  });

  it('does not mistake one kind for another with the same value', () => {
    const view = new View();
    view.apply(revoked(5, { kind: 'provider', provider: 's1' }));
    view.apply(revoked(6, { kind: 'session', session: 'corp' }));
    expect(view.covers(ALICE, 0)).toBe(false);
  });

  it('covers no credential by an entry that revokes nothing', () => {
    const view = new View();
    view.apply({ number: 5, change: { kind: 'identity-changed', key: sessionKey('s1') }, until: 1000 });
    expect(view.covers(ALICE, 0)).toBe(false);
  });

  it('keeps the highest number where entries come twice', () => {
    const view = new View();
    view.reset([revoked(7, { kind: 'all' }), revoked(3, { kind: 'all' })]);
    expect(view.covers(ALICE, 6)).toBe(true);
  });

  it.each(ALL_KINDS)('is replaced by what a join has read, whatever it knew of kind $kind', (target) => {
    const view = new View();
    view.apply(revoked(5, target));
    view.reset([]);
    expect([view.covers(ALICE, 0), view.size]).toEqual([false, 0]);
  });

  it.each(ALL_KINDS)('forgets an entry of kind $kind after `until` and not before', (target) => {
    const view = new View();
    view.apply(revoked(5, target, 1000));
    view.prune(1000);
    expect(view.covers(ALICE, 4)).toBe(true);
    view.prune(1000.5);
    expect(view.covers(ALICE, 4)).toBe(false);
    expect(view.size).toBe(0);
  });

  it('forgets nothing early where a later entry for the same target lives longer', () => {
    const view = new View();
    view.apply(revoked(5, { kind: 'all' }, 2000));
    view.apply(revoked(6, { kind: 'all' }, 1000));
    view.prune(1500);
    expect(view.covers(ALICE, 4)).toBe(true);
  });

  it('gives the same result as a search through every entry', () => {
    const word = fc.constantFrom('a', 'b', 'c');
    const target: fc.Arbitrary<RevocationTarget> = fc.oneof(
      word.map((session) => ({ kind: 'session', session }) as const),
      word.map((name) => ({ kind: 'account', account: `corp/${name}` }) as const),
      word.map((provider) => ({ kind: 'provider', provider }) as const),
      fc.constant({ kind: 'all' } as const),
    );
    const coverable = fc.record({
      session: word,
      account: word.map((name) => `corp/${name}` as const),
      provider: word,
    });
    fc.assert(
      fc.property(fc.array(target, { maxLength: 8 }), coverable, fc.nat(9), (list, credential, number) => {
        const view = new View();
        list.forEach((one, index) => view.apply(revoked(index + 1, one)));
        const expected = list.some((one, index) => index + 1 > number && targets(one, credential));
        expect(view.covers(coveringKeys(credential), number)).toBe(expected);
      }),
    );
  });
});
