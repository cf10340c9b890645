import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lease } from '../../../src/revocation/lease.ts';

describe('the lease', () => {
  it('holds from the sending of the renewal, not from its reply', () => {
    const lease = new Lease(2000);
    expect(lease.judge(1000, 1900)).toBe('first');
    lease.grant(1000);
    expect(lease.holds(2999)).toBe(true);
    expect(lease.holds(3000)).toBe(false);
  });

  it('is granted nothing by a reply that came after the lease it could have granted', () => {
    expect(new Lease(2000).judge(1000, 3000)).toBe('late');
    expect(new Lease(2000).judge(1000, 2999)).toBe('first');
  });

  it('counts as lapsed when the reply comes after the old deadline', () => {
    const lease = new Lease(2000);
    lease.grant(1000);
    expect(lease.judge(2500, 2999)).toBe('extended');
    expect(lease.judge(2500, 3000)).toBe('lapsed');
  });

  it('never moves its deadline back', () => {
    const lease = new Lease(2000);
    lease.grant(1000);
    lease.grant(500);
    expect(lease.deadlineMs).toBe(3000);
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
    expect(lease.freshAtMs).toBe(1000);
  });
});
