import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Credential } from '../../../src/core/credential.ts';
import { FlightRegistry } from '../../../src/revocation/registry.ts';
import type { CutReason } from '../../../src/revocation/revocation.ts';

const credential = (session: string, number = 0): Credential => ({
  session,
  account: `corp/${session[0] ?? ''}`,
  provider: 'corp',
  tokenId: 'j',
  audience: 'a',
  client: 'c',
  issuedAt: 0,
  expiresAt: 300,
  position: { epoch: 'e', number },
});

const FAR = 10_000_000_000;

describe('the registry of what is in flight', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const setUp = () => {
    const registry = new FlightRegistry({ now: () => Date.now() });
    const cuts: [string, CutReason][] = [];
    const fly = (name: string, bound?: Credential, expiresAt = FAR) => {
      const registration = registry.register({ cut: (reason) => void cuts.push([name, reason]) });
      if (bound !== undefined) registration.bind(bound, expiresAt);
      return registration;
    };
    return { registry, cuts, fly };
  };

  it('cuts what a target covers and nothing else', () => {
    const { registry, cuts, fly } = setUp();
    fly('a1', credential('a1'));
    fly('a2', credential('a2'));
    fly('b1', credential('b1'));
    expect(registry.cut({ kind: 'session', session: 'a1' }, 'session_revoked')).toBe(1);
    expect(registry.cut({ kind: 'account', account: 'corp/a' }, 'session_revoked')).toBe(1);
    expect(cuts.map(([name]) => name)).toEqual(['a1', 'a2']);
    expect(registry.cut({ kind: 'provider', provider: 'corp' }, 'session_revoked')).toBe(1);
    expect(registry.cutTotal).toBe(3);
  });

  it('leaves alone what was minted after the entry', () => {
    const { registry, cuts, fly } = setUp();
    fly('before', credential('a1', 4));
    fly('after', credential('a1', 5));
    registry.cut({ kind: 'session', session: 'a1' }, 'session_revoked', 5);
    expect(cuts).toEqual([['before', 'session_revoked']]);
  });

  it('cuts what has no credential yet only when everything is cut', () => {
    const { registry, cuts, fly } = setUp();
    const unbound = fly('unbound');
    registry.cut({ kind: 'all' }, 'session_revoked');
    expect(cuts).toEqual([]);
    registry.cutAll('fenced');
    expect(cuts).toEqual([['unbound', 'fenced']]);
    expect(unbound.cutReason).toBe('fenced');
  });

  it('cuts a flight once, and goes on after one that throws', () => {
    const { registry, cuts, fly } = setUp();
    registry.register({
      cut: () => {
        throw new Error('broken');
      },
    });
    fly('b', credential('b1'));
    expect(registry.cutAll('fenced')).toBe(2);
    expect(registry.cutAll('fenced')).toBe(0);
    expect(cuts).toEqual([['b', 'fenced']]);
  });

  it('does not cut what has closed, and closing twice is harmless', () => {
    const { registry, cuts, fly } = setUp();
    const flight = fly('a', credential('a1'));
    flight.close();
    flight.close();
    registry.cutAll('fenced');
    registry.cut({ kind: 'session', session: 'a1' }, 'session_revoked');
    expect(cuts).toEqual([]);
    expect(registry.size).toBe(0);
  });

  it('ends each flight when its session ends, by one timer', () => {
    const { cuts, fly } = setUp();
    const now = Math.floor(Date.now() / 1000);
    fly('late', credential('a1'), now + 7200);
    fly('early', credential('b1'), now + 60);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(59_000);
    expect(cuts).toEqual([]);
    vi.advanceTimersByTime(2_000);
    expect(cuts).toEqual([['early', 'session_expired']]);
    vi.advanceTimersByTime(7_200_000);
    expect(cuts).toEqual([
      ['early', 'session_expired'],
      ['late', 'session_expired'],
    ]);
  });

  it('ends at once what is bound to a session that is over', () => {
    const { cuts, fly } = setUp();
    fly('over', credential('a1'), Math.floor(Date.now() / 1000) - 1);
    vi.advanceTimersByTime(1);
    expect(cuts).toEqual([['over', 'session_expired']]);
  });
});
