import { describe, expect, it } from 'vitest';
import { requestLimit } from '../../../../src/proxy/admission/concurrency-limit.ts';

const LIMITS = { connections: 10, inFlightPerUser: 3 };

describe('the concurrency limit', () => {
  it('limits one user over all clusters, and no other', () => {
    const inFlight = requestLimit(LIMITS);
    expect(inFlight.acquire({ user: 'alice', cluster: 'a' }).ok).toBe(true);
    expect(inFlight.acquire({ user: 'alice', cluster: 'b' }).ok).toBe(true);
    const third = inFlight.acquire({ user: 'alice', cluster: 'b' });
    expect(inFlight.acquire({ user: 'alice', cluster: 'a' })).toEqual({ ok: false, reason: 'user' });
    expect(inFlight.acquire({ user: 'bob', cluster: 'a' }).ok).toBe(true);
    if (third.ok) third.value();
    expect(inFlight.acquire({ user: 'alice', cluster: 'a' }).ok).toBe(true);
  });

  it('leaves a fifth of the connections to the other clusters if one hangs', () => {
    const inFlight = requestLimit(LIMITS);
    for (let user = 0; user < 8; user += 1)
      expect(inFlight.acquire({ user: `p${user}`, cluster: 'hangs' }).ok).toBe(true);
    expect(inFlight.acquire({ user: 'late', cluster: 'hangs' })).toEqual({ ok: false, reason: 'cluster' });
    expect(inFlight.acquire({ user: 'late', cluster: 'other' }).ok).toBe(true);
  });

  it('keeps a tenth of a cluster for the first eight requests of each account, however many watches some have', () => {
    const inFlight = requestLimit({ connections: 10_000 });
    const held = new Map<string, (() => void)[]>();
    const open = (user: string, count: number): number => {
      const slots = held.get(user) ?? [];
      held.set(user, slots);
      for (let each = 0; each < count; each += 1) {
        const slot = inFlight.acquire({ user, cluster: 'a' });
        if (!slot.ok) return each;
        slots.push(slot.value);
      }
      return count;
    };
    let crowd = 0;
    for (let user = 0; user < 40; user += 1) crowd += open(`crowd${user}`, 400);
    // Nine tenths of 8,000 are open beyond the first eight of each of forty.
    expect(crowd).toBe(7200 + 40 * 8);
    expect(open('late', 9)).toBe(8);
    expect(inFlight.acquire({ user: 'late', cluster: 'a' })).toEqual({ ok: false, reason: 'beyond' });
    expect(inFlight.acquire({ user: 'late', cluster: 'b' }).ok).toBe(true);
    // Of the first ones, too, there are no more than the cluster may have.
    for (let user = 0; user < 100; user += 1) crowd += open(`few${user}`, 8);
    expect(crowd + 8).toBe(8000);
    expect(inFlight.acquire({ user: 'last', cluster: 'a' })).toEqual({ ok: false, reason: 'cluster' });
    for (const slots of held.values()) for (const release of slots) release();
    expect(open('crowd0', 400)).toBe(400);
  });

  it('releases a slot once, however often it is called', () => {
    const inFlight = requestLimit({ connections: 10, inFlightPerUser: 1 });
    const route = inFlight.acquire({ user: 'alice', cluster: 'a' });
    if (!route.ok) throw new Error('refused');
    route.value();
    const next = inFlight.acquire({ user: 'alice', cluster: 'a' });
    route.value();
    expect(next.ok).toBe(true);
    expect(inFlight.acquire({ user: 'alice', cluster: 'a' }).ok).toBe(false);
  });

  it('is 400 for a user by default', () => {
    expect(requestLimit({ connections: 10_000 })).toMatchObject({ most: { user: 400, cluster: 8000 } });
  });
});
