import { describe, expect, it } from 'vitest';
import { ClockWitness } from '../../../src/revocation/clocks.ts';

describe('the witness of the clocks', () => {
  const setUp = () => {
    const at = { monotonic: 5_000, wall: 1_000_000, uptime: 90_000 };
    const witness = new ClockWitness(
      { monotonic: () => at.monotonic, clock: { now: () => at.wall }, uptime: () => at.uptime },
      2000,
    );
    const pass = (monotonic: number, wall: number, uptime: number): number | undefined => {
      at.monotonic += monotonic;
      at.wall += wall;
      at.uptime += uptime;
      return witness.jump();
    };
    return { pass };
  };

  it('lets clocks drift apart by a lease between two looks, and begins anew with each', () => {
    const { pass } = setUp();
    for (let look = 0; look < 10; look += 1) expect(pass(500, 2500, 500)).toBeUndefined();
  });

  it.each([
    ['the monotonic clock stood still', 0, 10_000, 10_000],
    ['monotonic clock and uptime stood still, as in a snapshot that is resumed', 500, 3_600_500, 500],
    ['the wall clock was set back', 500, -3_599_500, 500],
    ['the machine slept, which only its uptime counts', 500, 500, 9_000],
  ])('notices that %s, once', (_what, monotonic, wall, uptime) => {
    const { pass } = setUp();
    expect(pass(monotonic, wall, uptime)).toBeGreaterThan(2000);
    expect(pass(500, 500, 500)).toBeUndefined();
  });
});
