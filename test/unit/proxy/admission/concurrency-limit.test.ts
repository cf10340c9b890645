import { describe, expect, it } from 'vitest';
import { ConcurrencyLimit } from '../../../../src/proxy/admission/concurrency-limit.ts';

const LIMITS = { connections: 10, inFlightPerPerson: 3 };

describe('the concurrency limit', () => {
  it('limits one user over all clusters, and no other', () => {
    const inFlight = new ConcurrencyLimit(LIMITS);
    expect(inFlight.acquire('alice', 'a').ok).toBe(true);
    expect(inFlight.acquire('alice', 'b').ok).toBe(true);
    const third = inFlight.acquire('alice', 'b');
    expect(inFlight.acquire('alice', 'a')).toEqual({ ok: false, reason: 'user' });
    expect(inFlight.acquire('bob', 'a').ok).toBe(true);
    if (third.ok) third.value();
    expect(inFlight.acquire('alice', 'a').ok).toBe(true);
  });

  it('leaves a fifth of the connections to the other clusters if one hangs', () => {
    const inFlight = new ConcurrencyLimit(LIMITS);
    for (let user = 0; user < 8; user += 1) expect(inFlight.acquire(`p${user}`, 'hangs').ok).toBe(true);
    expect(inFlight.acquire('late', 'hangs')).toEqual({ ok: false, reason: 'cluster' });
    expect(inFlight.acquire('late', 'other').ok).toBe(true);
  });

  it('releases a slot once, however often it is called', () => {
    const inFlight = new ConcurrencyLimit({ connections: 10, inFlightPerPerson: 1 });
    const route = inFlight.acquire('alice', 'a');
    if (!route.ok) throw new Error('refused');
    route.value();
    const next = inFlight.acquire('alice', 'a');
    route.value();
    expect(next.ok).toBe(true);
    expect(inFlight.acquire('alice', 'a').ok).toBe(false);
  });

  it('is 400 for a user by default', () => {
    expect(new ConcurrencyLimit({ connections: 10_000 })).toMatchObject({ perUser: 400, perCluster: 8000 });
  });
});
