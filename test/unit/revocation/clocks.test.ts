import { describe, expect, it } from 'vitest';
import { ClockComparison } from '../../../src/revocation/clocks.ts';

describe('the comparison of the clocks', () => {
  const setUp = () => {
    const at = { monotonicMs: 5_000, wall: 1_000_000, uptimeMs: 90_000 };
    const witness = new ClockComparison(
      { monotonicMs: () => at.monotonicMs, clock: { nowMs: () => at.wall }, uptimeMs: () => at.uptimeMs },
      2000,
    );
    const pass = (monotonicMs: number, wall: number, uptimeMs: number): number | undefined => {
      at.monotonicMs += monotonicMs;
      at.wall += wall;
      at.uptimeMs += uptimeMs;
      return witness.jump();
    };
    return { pass };
  };

  it('lets clocks drift apart by a lease between two readings, and starts again with each', () => {
    const { pass } = setUp();
    for (let look = 0; look < 10; look += 1) expect(pass(500, 2500, 500)).toBeUndefined();
  });

  it.each([
    ['the monotonic clock stood still', 0, 10_000, 10_000],
    ['monotonic clock and uptime stood still, as in a snapshot that is resumed', 500, 3_600_500, 500],
    ['the wall clock was set back', 500, -3_599_500, 500],
    ['the machine slept, which only its uptime counts', 500, 500, 9_000],
  ])('notices that %s, once', (_what, monotonicMs, wall, uptimeMs) => {
    const { pass } = setUp();
    expect(pass(monotonicMs, wall, uptimeMs)).toBeGreaterThan(2000);
    expect(pass(500, 500, 500)).toBeUndefined();
  });
});
