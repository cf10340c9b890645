import { describe, expect, it } from 'vitest';
import { ProviderCircuitBreaker } from '../../../src/oauth/provider-circuit-breaker.ts';

describe('the circuit breaker of one provider', () => {
  const requests = (breaker: ProviderCircuitBreaker, count: number) => {
    const running: (() => void)[] = [];
    const all = Array.from({ length: count }, () =>
      breaker.run(() => new Promise<void>((resolve) => running.push(resolve))),
    );
    return { running, all };
  };

  it('runs eight at a time, in order', async () => {
    const breaker = new ProviderCircuitBreaker();
    const { running, all } = requests(breaker, 20);
    await expect.poll(() => running.length).toBe(8);
    for (const [index, end] of running.entries()) {
      end();
      await expect.poll(() => running.length).toBe(Math.min(20, 9 + index));
    }
    await Promise.all(all);
  });

  it('runs one at a time while the provider fails', async () => {
    const breaker = new ProviderCircuitBreaker();
    expect([breaker.recordFailure(0), breaker.recordFailure(0)]).toEqual([true, false]);
    const { running, all } = requests(breaker, 10);
    await expect.poll(() => running.length).toBe(1);
    running[0]?.();
    await expect.poll(() => running.length).toBe(2);
    expect([breaker.recordSuccess(), breaker.recordSuccess()]).toEqual([true, false]);
    running[1]?.();
    await expect.poll(() => running.length).toBe(10);
    for (const end of running) end();
    await Promise.all(all);
  });

  it('is closed for a moment after a failure', () => {
    const breaker = new ProviderCircuitBreaker();
    breaker.recordFailure(1_000);
    expect([breaker.isOpen(5_999), breaker.isOpen(6_000)]).toEqual([true, false]);
    // The clock was set back: the pause must not last as long.
    expect(breaker.isOpen(-3_600_000)).toBe(false);
  });

  it('gives the place of a request that throws to the next', async () => {
    const breaker = new ProviderCircuitBreaker();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => breaker.run(() => Promise.reject(new Error('no')))),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    await expect(breaker.run(async () => 'served')).resolves.toBe('served');
  });
});
