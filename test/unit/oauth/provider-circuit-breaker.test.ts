import { describe, expect, it } from 'vitest';
import { Lane } from '../../../src/oauth/provider-circuit-breaker.ts';

describe('a lane to one provider', () => {
  const requests = (lane: Lane, count: number) => {
    const running: (() => void)[] = [];
    const all = Array.from({ length: count }, () =>
      lane.run(() => new Promise<void>((resolve) => running.push(resolve))),
    );
    return { running, all };
  };

  it('runs eight at a time, in order', async () => {
    const lane = new Lane();
    const { running, all } = requests(lane, 20);
    await expect.poll(() => running.length).toBe(8);
    for (const [index, end] of running.entries()) {
      end();
      await expect.poll(() => running.length).toBe(Math.min(20, 9 + index));
    }
    await Promise.all(all);
  });

  it('runs one at a time while the provider fails', async () => {
    const lane = new Lane();
    expect([lane.failed(0), lane.failed(0)]).toEqual([true, false]);
    const { running, all } = requests(lane, 10);
    await expect.poll(() => running.length).toBe(1);
    running[0]?.();
    await expect.poll(() => running.length).toBe(2);
    expect([lane.recovered(), lane.recovered()]).toEqual([true, false]);
    running[1]?.();
    await expect.poll(() => running.length).toBe(10);
    for (const end of running) end();
    await Promise.all(all);
  });

  it('is closed for a moment after a failure', () => {
    const lane = new Lane();
    lane.failed(1_000);
    expect([lane.isClosed(5_999), lane.isClosed(6_000)]).toEqual([true, false]);
    // The clock was set back: the pause must not last as long.
    expect(lane.isClosed(-3_600_000)).toBe(false);
  });

  it('gives the place of a request that throws to the next', async () => {
    const lane = new Lane();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => lane.run(() => Promise.reject(new Error('no')))),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    await expect(lane.run(async () => 'served')).resolves.toBe('served');
  });
});
