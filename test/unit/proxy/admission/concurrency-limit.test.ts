import { describe, expect, it } from 'vitest';
import { requestLimit } from '../../../../src/proxy/admission/concurrency-limit.ts';

const LIMITS = { connections: 10, inFlightPerPerson: 3 };

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

  it('releases a slot once, however often it is called', () => {
    const inFlight = requestLimit({ connections: 10, inFlightPerPerson: 1 });
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
